"""A capture session without its dialogue: levels, set-up, takes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mlxopto.capture import checks, signals
from mlxopto.capture.checks import Checked, Setup
from mlxopto.capture.folder import CaptureFolder
from mlxopto.capture.interface import Loop, Recording
from mlxopto.controls import Setting
from mlxopto.data import program
from mlxopto.errors import WorkError

LONGEST_S = 0.5  # delay that is looked for
REST_S = 3.0  # between two takes at one setting, for the unit to come to rest
LEVEL_S = 3.0  # of programme material by which the level is set
TRIES = 3  # of a take during which the sound system reported drop-outs
PEAKS_DBFS = (-12.0, -1.0)  # where the return of the loudest setting should peak


@dataclass(frozen=True)
class Levels:
    """The return of the loudest material: its peak, dBFS, and by how many dB to raise it, at least and at most; 0 where it fits."""

    peak: float
    at_least: float
    at_most: float


class Session:
    """Plays and records for a folder.

    Args:
        loop: an interface with the unit in its loop, at the folder's sample rate.
    """

    def __init__(self, loop: Loop, folder: CaptureFolder):
        self._loop, self.folder = loop, folder
        self._setup: Setup | None = None
        self._played: Setting | None = None

    def levels(self) -> Levels:
        """Plays loud material.

        Raises:
            WorkError: nothing comes back.
        """
        rate = self._loop.sample_rate
        loud = program.generate(LEVEL_S, rate, np.random.SeedSequence(1))
        y = self._play(np.concatenate([signals.probe(rate), loud / np.abs(loud).max()]), LONGEST_S).y
        peak = 20 * float(np.log10(np.abs(y).max() + 1e-6))
        if peak < -80:
            raise WorkError(
                f"nothing comes back ({peak:.0f} dBFS at most): check the cables, the channels and the unit's bypass"
            )
        low, high = PEAKS_DBFS
        return Levels(peak, low - peak if not low <= peak <= high else 0.0, high - peak if not low <= peak <= high else 0.0)

    def interface_delay(self) -> float:
        """The delay with a cable in the unit's place, in samples. Raises WorkError as `checks.set_up` does."""
        return self._sweeps().delay

    def set_up(self, interface_delay: float | None = None) -> Setup:
        """Measures delay, polarity, noise and level, and notes them in the folder. Raises WorkError as `checks.set_up` does."""
        self._setup = replace(self._sweeps(), interface_delay=interface_delay)
        self.folder.set_up(self._setup)
        return self._setup

    def record(self, number: int) -> Checked:
        """Plays a take and judges it; up to `TRIES` times where the sound system reports drop-outs."""
        assert self._setup, "set_up comes first"
        take, x = self.folder.takes[number], self.folder.signal(number)
        rest = np.zeros(round(REST_S * self._loop.sample_rate) if take.setting == self._played else 0, np.float32)
        for _ in range(TRIES):
            recording = self._play(np.concatenate([rest, x]), self._setup.delay / self._loop.sample_rate + checks.MARGIN_S)
            if not recording.xruns:
                break
        self._played = take.setting
        heard = Recording(recording.y[len(rest) :], recording.xruns)
        return checks.check_take(x, heard, self._setup, self._other(number), self.folder.repeatability_esr)

    def keep(self, number: int, checked: Checked) -> None:
        """Writes a take to the folder, or for a repetition how far it is from the take that it repeats."""
        if self.folder.takes[number].again:
            self.folder.repeats(checks.repeatability(self.folder.recorded(number - 1), checked.y))
        else:
            self.folder.keep(number, self.folder.signal(number), checked)

    def _other(self, number: int) -> np.ndarray | None:
        """The take at the setting before, if it is kept: the one at hand must differ from it."""
        takes = self.folder.takes
        before = [k for k in range(number) if k in self.folder.kept and not takes[k].again]
        if not before or takes[before[-1]].setting == takes[number].setting:
            return None
        return self.folder.recorded(before[-1])

    def _sweeps(self) -> Setup:
        rate = self._loop.sample_rate
        recording = self._play(signals.train_of_sweeps(rate), LONGEST_S)
        return checks.set_up(recording, rate, round(LONGEST_S * rate))

    def _play(self, x: np.ndarray, tail_s: float) -> Recording:
        tail = np.zeros(round(tail_s * self._loop.sample_rate), np.float32)
        return self._loop.play(np.concatenate([x, tail]).astype(np.float32))


def moved_db(before: dict[str, float], now: Setup) -> float:
    """By how much the return is louder than at an earlier set-up at the same setting."""
    return now.level_dbfs - before["level_dbfs"]
