"""What is judged of a pair of recordings before it is learnt from: the one judgement of `data check` and of `train`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlxopto.data.alignment import MAX_LAG, Alignment, align
from mlxopto.metrics.levels import SILENT_DBFS, level_dbfs

ALLOWED_LAG = 2  # samples: filters in the device shift the correlation's peak by as much without any delay
FULL_SCALE = 0.99997  # that integers of 16 bits have as well
CLIPPED_RUN = 4  # samples in a row at full scale
OFFSET = 1e-3  # of a recording's mean, -60 dBFS, that is worth a word
FRAME_S = 0.05  # in which the noise floor is looked for


@dataclass(frozen=True)
class Report:
    """One pair of recordings: problems forbid to use it, remarks do not.

    Levels are RMS in dBFS, the noise floor is that of the quietest hundredth of the target, in frames of 50 ms. Lag is in
    samples, positive where the target is late, None where there is no alignment; polarity 1 or -1; clipped counts samples in a
    row at full scale. All None where it cannot be read.
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


def judge(source: Path, target: Path, x: np.ndarray, y: np.ndarray, rate: int, remarks: Sequence[str] = ()) -> Report:
    """The judgement of an input and a target, float32 (samples,); `source` and `target` are what they are called."""
    levels = level_dbfs(x), level_dbfs(y)
    runs = _clipped_run(x), _clipped_run(y)
    problems = []
    if len(x) != len(y):
        problems.append(f"{target} has {len(y)} samples, its input {source} has {len(x)}")
    for path, level, run in zip((source, target), levels, runs, strict=True):
        if level < SILENT_DBFS:
            problems.append(f"{path} is silent ({level:.0f} dBFS)")
        if run >= CLIPPED_RUN:
            problems.append(f"{path} is clipped ({run} samples in a row at full scale)")
    audible = min(levels) >= SILENT_DBFS
    alignment = align(x, y) if audible else Alignment(None, 0)
    if audible:
        problems += _misalignments(source, target, alignment, rate)
    quietest = np.percentile([level_dbfs(frame) for frame in _frames(y, rate)], 1)
    return Report(
        str(target), tuple(problems), (*remarks, *_remarks(source, target, x, y)), round(len(y) / rate, 3), round(levels[0], 1),
        round(levels[1], 1), round(float(quietest), 1), alignment.lag, alignment.polarity, max(runs),
    )  # fmt: skip


def _misalignments(source: Path, target: Path, found: Alignment, rate: int) -> list[str]:
    if found.lag is None:
        guess = f"; it may be {abs(found.beyond)} samples {_late(found.beyond)}" if found.beyond else ", as of other material"
        return [f"{target} has no alignment with its input {source} within {MAX_LAG} samples{guess}"]
    problems = []
    if not found.steady:
        told = ", ".join(f"{lag} at {start / rate:.1f} s" for start, lag in found.lags)
        problems.append(f"{target} changes its lag ({told}): samples were lost or put in")
    elif abs(found.lag) > ALLOWED_LAG:
        problems.append(f"{target} is {abs(found.lag)} samples {_late(found.lag)} against its input {source}")
    if found.polarity < 0:
        problems.append(f"{target} has its polarity inverted")
    return problems


def _late(lag: int) -> str:
    return "late" if lag > 0 else "early"


def _remarks(source: Path, target: Path, x: np.ndarray, y: np.ndarray) -> list[str]:
    remarks = []
    if len(x) == len(y) and np.array_equal(x, y):
        remarks.append(f"{target} is its input {source}, sample by sample; was the unit bypassed?")
    offset = float(np.mean(y, dtype=np.float64)) if len(y) else 0.0
    if abs(offset) > OFFSET and abs(offset) > 10 * abs(float(np.mean(x, dtype=np.float64))):
        remarks.append(f"{target} has a constant offset of {offset:+.4f}")
    return remarks


def _frames(y: np.ndarray, rate: int) -> list[np.ndarray]:
    frame = max(1, round(FRAME_S * rate))
    return [y[at : at + frame] for at in range(0, len(y) - frame + 1, frame)] or [y]


def _clipped_run(signal: np.ndarray) -> int:
    """Samples in a row at full scale, or at the peak of a signal that goes beyond it, as float files may."""
    magnitudes = np.abs(signal)
    peak = float(magnitudes.max(initial=0.0))
    flags = magnitudes >= (FULL_SCALE if peak <= 1 else peak * (1 - 1e-6))
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return int((edges[1::2] - edges[::2]).max()) if len(edges) else 0
