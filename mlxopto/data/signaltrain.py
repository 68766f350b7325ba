"""SignalTrain LA-2A 1.1 (Hawley, Colburn and Mimilakis 2019; Zenodo 3824876): 20 GB, read by segments.

Train, Val and Test each hold pairs input_NUMBER_.wav and target_NUMBER_LA2A_3c__SWITCH__PEAK.wav: the switch is 0 for compress
and 1 for limit, the peak reduction 0 to 100. Where a pair's lengths differ, the longer file's end is left out; of files with
equal channels one is taken.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlxopto import audio
from mlxopto.controls import Control, Panel, Setting
from mlxopto.data.judgement import Report, judge
from mlxopto.data.takes import Take, shuffled, split_by_known_settings
from mlxopto.errors import RequestError, UnusableError

SPLITS = {"Train": "train", "Val": "val", "Test": "test"}
SEGMENT_S = (
    20.0  # of training at once; a segment from within a file begins with the device at work, which costs its first moments
)
HEARD_S = 20.0  # of each file that is judged
TEST_S = 10.0  # of each file of Val and Test, from its start
PANEL = Panel(
    (
        Control("peak_reduction", "", 0, 100, default=70),
        Control("mode", "", 0, 1, taper="steps", default=0, positions={"compress": 0.0, "limit": 1.0}),
    )
)
_TARGET = re.compile(r"target_(\d+)_LA2A_\w*?__([01])__(\d+(?:\.\d+)?)\.wav", re.ASCII)


@dataclass(frozen=True)
class Pair:
    """Two files of one setting; `samples` that both have; remarks on what was left out."""

    input: Path
    target: Path
    setting: Setting
    split: str
    samples: int
    sample_rate: int
    remarks: tuple[str, ...] = ()

    def read(self, start: int, samples: int) -> Take:
        """A part of both, float32; a file of several channels must have equal ones.

        Raises:
            RequestError: channels that differ, or a damaged file.
        """
        x, y = (_mono(path, audio.read_part(path, start, samples)) for path in (self.input, self.target))
        return Take(x, y, self.setting, str(self.input), str(self.target))


def report(pair: Pair) -> Report:
    """The judgement of the beginning of a pair."""
    try:
        take = pair.read(0, min(pair.samples, round(min(HEARD_S, SEGMENT_S) * pair.sample_rate)))
    except RequestError as error:
        return Report(str(pair.target), (str(error),), pair.remarks)
    return judge(pair.input, pair.target, take.x, take.y, pair.sample_rate, pair.remarks)


def is_signaltrain(folder: Path) -> bool:
    """Whether a folder looks like the data set."""
    return any((folder / name).is_dir() and any((folder / name).glob("target_*_LA2A_*.wav")) for name in SPLITS)


def pairs(folder: Path) -> list[Pair]:
    """All pairs of the data set, by their headers.

    Raises:
        RequestError: targets without inputs, names or headers that do not fit; all named.
    """
    found: list[Pair] = []
    problems: list[str] = []
    for name, split in SPLITS.items():
        for target in sorted((folder / name).glob("target_*.wav")):
            match = _TARGET.fullmatch(target.name)
            if not match or not 0 <= float(match[3]) <= 100:
                problems.append(f"{target} does not name a switch and a peak reduction of 0 to 100")
                continue
            source = target.with_name(f"input_{match[1]}_.wav")
            try:
                heads = audio.info(source), audio.info(target)
            except RequestError as error:
                problems.append(str(error))
                continue
            setting = PANEL.setting({"peak_reduction": float(match[3]), "mode": float(match[2])})
            lengths = [head.samples for head in heads]
            remarks = []
            if lengths[0] != lengths[1]:
                remarks.append(f"{target} has {lengths[1]} samples, its input {lengths[0]}: the end is left out")
            remarks += [f"{head.path} has {head.channels} channels: one is taken" for head in heads if head.channels > 1]
            if heads[0].sample_rate != heads[1].sample_rate:
                problems.append(f"{target} has {heads[1].sample_rate} Hz, its input {heads[0].sample_rate}")
            found.append(Pair(source, target, setting, split, min(lengths), heads[0].sample_rate, tuple(remarks)))
    rates = sorted({pair.sample_rate for pair in found})
    if len(rates) > 1:
        problems.append(f"sample rates differ: {', '.join(map(str, rates))} Hz")
    if problems:
        raise UnusableError("these recordings", problems)
    if not found:
        raise RequestError(f"{folder} has no target_NUMBER_LA2A_3c__SWITCH__PEAK.wav in {', '.join(SPLITS)}")
    return found


class SignalTrainSource:
    """Training data from the SignalTrain LA-2A folder, a segment in memory at a time.

    Args:
        folder: with Train and Test, and Val if there is one. seed: of the order and the segments.
    Raises:
        RequestError: as `pairs`; no training files, or none to validate on.
    """

    name, panel = "la2a", PANEL
    dbu_at_full_scale: float | None = None

    def __init__(self, folder: Path, seed: int):
        self.seed = seed
        self.remarks: tuple[str, ...] = ()
        self._pairs = found = pairs(folder)
        self.sample_rate = found[0].sample_rate
        self._train = [pair for pair in found if pair.split == "train" and pair.samples]
        if not self._train:
            raise RequestError(f"{folder / 'Train'} has no recordings")
        known = {tuple(pair.setting.items()) for pair in self._train}
        self.test = split_by_known_settings((self._start_of(pair) for pair in found if pair.split == "test"), known)
        self.validation = [self._start_of(pair) for pair in found if pair.split == "val"]
        if not self.validation:
            raise RequestError(f"{folder / 'Val'} has no recordings to validate on")
        self.training_settings = len(known)
        seconds = sum(pair.samples for pair in self._train) / self.sample_rate
        self.description = f"SignalTrain LA-2A, {self.training_settings} settings, {seconds:.0f} s"

    def sequence(self, index: int) -> Take:
        """A random segment of a file, the files in a new random order each time round."""
        pair = shuffled(self._train, self.seed, index)
        length = min(pair.samples, round(SEGMENT_S * self.sample_rate))
        start = int(np.random.default_rng([self.seed, 1, index]).integers(pair.samples - length + 1))
        return pair.read(start, length)

    def check(self) -> None:
        """Judges the beginning of every file; raises UnusableError."""
        reports = [report(pair) for pair in self._pairs]
        if problems := [problem for found in reports for problem in found.problems]:
            raise UnusableError("these recordings", problems)
        self.remarks = tuple(remark for found in reports for remark in found.remarks)

    def _start_of(self, pair: Pair) -> Take:
        return pair.read(0, min(pair.samples, round(TEST_S * self.sample_rate)))


def _mono(path: Path, samples: np.ndarray) -> np.ndarray:
    if (samples != samples[:, :1]).any():
        raise RequestError(f"{path} has {samples.shape[1]} channels that differ, a recording must be mono")
    return samples[:, 0]
