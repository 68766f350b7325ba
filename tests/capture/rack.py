"""A virtual unit behind a virtual interface: a loop with delay, noise, polarity and level, into which faults are put."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mlxopto.capture.interface import Recording
from mlxopto.controls import Setting
from mlxopto.devices import Device, device

RATE = 48000
Fault = Callable[[np.ndarray], np.ndarray]


def delayed(y: np.ndarray, samples: float) -> np.ndarray:
    """By any number of samples, as an ideal all-pass filter does."""
    frequencies = np.fft.rfftfreq(len(y))
    return np.fft.irfft(np.fft.rfft(y) * np.exp(-2j * np.pi * frequencies * samples), len(y))


class Rack:
    """`Loop` for tests.

    Args:
        setting: of the unit's knobs; change it as a user would. delay: samples. gain: linear, negative for inverted polarity.
        faults: done to what comes back, one a play, the first one first.
    """

    sample_rate = RATE

    def __init__(self, unit: Device | None = None, delay: float = 1234.3, gain: float = 0.3, noise: float = 1e-5):
        self.unit = unit or device("vca")
        self.setting: Setting = self.unit.panel.setting({})
        self.delay, self.gain, self.noise = delay, gain, noise
        self.faults: list[Fault] = []
        self.xruns: list[dict[str, int]] = []
        self.plays = 0
        self._rng = np.random.default_rng(4)

    def play(self, x: np.ndarray) -> Recording:
        self.plays += 1
        through = self.unit.process(x, RATE, self.setting)
        y = self.gain * delayed(through, self.delay) + self.noise * self._rng.standard_normal(len(x))
        y = y.astype(np.float32)
        fault = self.faults.pop(0) if self.faults else lambda samples: samples
        return Recording(fault(y).astype(np.float32), self.xruns.pop(0) if self.xruns else {})
