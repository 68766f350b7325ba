"""What is in a data folder, recording by recording, and what cannot be used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlxopto.data import captures, formats, pickles, signaltrain
from mlxopto.data.captures import Capture, level_dbfs, measure, problems_of
from mlxopto.errors import RequestError

HEARD_S = 60.0  # of each recording of SignalTrain, whose files last up to 20 minutes
_FRAME_S = 0.05  # in which the noise floor is looked for


@dataclass(frozen=True)
class Report:
    """One pair of recordings.

    Levels are RMS in dBFS, the noise floor is that of the quietest hundredth of the target, in frames of 50 ms. Lag is in samples,
    positive where the target is late; polarity 1 or -1; clipped counts samples in a row at full scale. All None where it cannot be read.
    """

    recording: str
    problems: tuple[str, ...]
    remarks: tuple[str, ...] = ()
    seconds: float | None = None
    input_dbfs: float | None = None
    target_dbfs: float | None = None
    noise_floor_dbfs: float | None = None
    lag: int | None = None
    polarity: int | None = None
    clipped: int | None = None


Read = Callable[[], tuple[np.ndarray, np.ndarray, int]]


def reports(folder: Path) -> Iterator[Report]:
    """One report a pair, as each is read.

    Raises:
        RequestError: the folder itself cannot be understood.
    """
    for input_path, target_path, read, remarks in _pairs(folder):
        try:
            x, y, rate = read()
        except RequestError as error:
            yield Report(str(target_path), (str(error),), remarks)
            continue
        yield _report(input_path, target_path, x, y, rate, remarks)


def _report(input_path: Path, target_path: Path, x: np.ndarray, y: np.ndarray, rate: int, remarks: tuple[str, ...]) -> Report:
    pair = measure(x, y)
    frame = max(1, round(_FRAME_S * rate))
    frames = y[: len(y) // frame * frame].reshape(-1, frame)
    quietest = np.percentile([level_dbfs(part) for part in frames], 1) if len(frames) else pair.levels[1]
    return Report(
        str(target_path),
        tuple(problems_of(pair, Capture(input_path, target_path, {}, "train"))),
        remarks,
        round(len(y) / rate, 3),
        round(pair.levels[0], 1),
        round(pair.levels[1], 1),
        round(float(quietest), 1),
        pair.lag,
        pair.polarity,
        max(pair.clipped),
    )


def _pairs(folder: Path) -> Iterator[tuple[Path, Path, Read, tuple[str, ...]]]:
    kind = formats.kind(folder)
    if kind == "signaltrain":
        for pair in signaltrain.pairs(folder):
            yield pair.input, pair.target, _signaltrain(pair), pair.remarks
    elif kind == "pickles":
        for where, x, y in pickles.recordings(folder):
            yield where, where, _at_hand(x, y), ()
    else:
        if not folder.is_dir():
            raise RequestError(f"{folder} is not a folder")
        _, panel, _ = captures.load_panel(folder / captures.DEVICE)
        for capture in captures.load_manifest(folder / captures.MANIFEST, panel):
            yield capture.input, capture.target, _capture(capture), ()


def _signaltrain(pair: signaltrain.Pair) -> Read:
    def read() -> tuple[np.ndarray, np.ndarray, int]:
        take = pair.read(0, min(pair.samples, round(HEARD_S * pair.sample_rate)))
        return take.x, take.y, pair.sample_rate

    return read


def _at_hand(x: np.ndarray, y: np.ndarray) -> Read:
    return lambda: (x, y, pickles.SAMPLE_RATE)


def _capture(capture: Capture) -> Read:
    def read() -> tuple[np.ndarray, np.ndarray, int]:
        (x, rate), (y, target_rate) = captures.read_mono(capture.input), captures.read_mono(capture.target)
        if rate != target_rate:
            raise RequestError(f"{capture.target} has {target_rate} Hz, its input {capture.input} {rate}")
        return x, y, rate

    return read
