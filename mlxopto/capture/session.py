"""A capture session without its dialogue: levels, set-up, takes."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from mlxopto.capture import checks, signals
from mlxopto.capture.checks import Checked, Setup, SetUpError
from mlxopto.capture.folder import CaptureFolder
from mlxopto.capture.interface import Loop, Recording
from mlxopto.data import program
from mlxopto.metrics import esr

REST_S = 3.0  # of silence before a take, for the unit to come to rest
LEVEL_S = 3.0  # of programme material by which the level is set
TRIES = 3  # of a take during which the sound system reported drop-outs
PEAKS_DBFS = (-12.0, -1.0)  # where the return of the loudest setting should peak


@dataclass(frozen=True)
class Levels:
    """The return of the loudest material: its peak, dBFS, samples that clip, and by how many dB to raise it, at least and at
    most.
    """

    peak: float
    clipped: int
    at_least: float
    at_most: float

    @property
    def good(self) -> bool:
        """Whether it may stay as it is."""
        return not self.clipped and self.at_least <= 0 <= self.at_most


class CaptureSession:
    """Plays and records for a folder.

    Args:
        loop: an interface with the unit in its loop, at the folder's sample rate.
    """

    def __init__(self, loop: Loop, folder: CaptureFolder):
        self._loop, self.folder = loop, folder
        self._setup: Setup | None = None
        self._silent_since = -REST_S

    def levels(self) -> Levels:
        """Plays loud material.

        Raises:
            SetUpError: nothing comes back.
        """
        rate = self._loop.sample_rate
        loud = program.generate(LEVEL_S, rate, np.random.SeedSequence(1))
        y = self._play(np.concatenate([signals.probe(rate), loud / np.abs(loud).max()]), signals.LONGEST_S).y
        peak = 20 * float(np.log10(np.abs(y).max() + 1e-6))
        if peak < -80:
            raise SetUpError(
                f"nothing comes back ({peak:.0f} dBFS at most): check the cables, the channels and the unit's bypass"
            )
        low, high = PEAKS_DBFS
        return Levels(peak, checks.clipped(y), low - peak, high - peak)

    def interface_delay(self) -> float:
        """The delay with a cable in the unit's place, in samples. Raises SetUpError as `checks.set_up` does."""
        return self._sweeps().delay

    def set_up(self, interface_delay: float | None = None) -> Setup:
        """Measures delay, polarity, noise and level. Raises SetUpError as `checks.set_up` does."""
        setup, first = self._sweeps(), self.folder.first_setup
        if interface_delay is not None:
            setup = setup.without_the_unit(interface_delay)
        self._setup = setup.following(first) if first else setup
        return self._setup

    def accept(self) -> None:
        """Notes the latest set-up in the folder, for the takes that follow."""
        assert self._setup
        self.folder.set_up(self._setup)

    def record(self, number: int) -> Checked:
        """Plays a take, from rest, and judges it; up to `TRIES` times where the sound system reports drop-outs."""
        assert self._setup, "set_up comes first"
        setup, x = self._setup, self.folder.signal(number)
        for _ in range(TRIES):
            rest = np.zeros(self._rest(), np.float32)
            recording = self._play(np.concatenate([rest, x]), setup.delay / setup.sample_rate + checks.MARGIN_S)
            if not recording.xruns:
                break
        heard = Recording(recording.y[len(rest) :], recording.xruns)
        return checks.check_take(x, heard, setup, self._other(number), self.folder.repeatability_esr or 0.0)

    def keep(self, number: int, checked: Checked) -> None:
        """Writes a take to the folder, or for a repetition how far it is from the take that it repeats."""
        if self.folder.takes[number].again:
            self.folder.repeats(esr(self.folder.recorded(number - 1), checked.y))
        else:
            self.folder.keep(number, checked)

    def _other(self, number: int) -> np.ndarray | None:
        """The take at the setting before, if it is kept: the one at hand must differ from it."""
        takes = self.folder.takes
        before = [k for k in sorted(self.folder.kept) if k < number and not takes[k].again]
        if not before or takes[before[-1]].setting == takes[number].setting:
            return None
        return self.folder.recorded(before[-1])

    def _sweeps(self) -> Setup:
        rate = self._loop.sample_rate
        return checks.set_up(self._play(signals.train_of_sweeps(rate), signals.LONGEST_S), rate)

    def _rest(self) -> int:
        """Samples of silence that are still to come until the unit is at rest."""
        left = REST_S - (time.monotonic() - self._silent_since)
        return round(max(0.0, left) * self._loop.sample_rate)

    def _play(self, x: np.ndarray, tail_s: float) -> Recording:
        tail = np.zeros(round(tail_s * self._loop.sample_rate), np.float32)
        recording = self._loop.play(np.concatenate([x, tail]).astype(np.float32))
        self._silent_since = time.monotonic()
        return recording


def moved_db(first: Setup, now: Setup) -> float:
    """By how much the return is louder than at an earlier set-up at the same setting."""
    return now.level_dbfs - first.level_dbfs
