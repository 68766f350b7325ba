"""A tube make-up amplifier between coupling capacitors and transformers, at unity gain."""

from __future__ import annotations

import math

import numba
import numpy as np

DRIVE, BIAS, LOW_RATE, HIGH_RATE = range(4)  # the constants' entries
LOW, HIGH = 0, 1  # the state's entries


def stage(sample_rate: int, *, drive: float, bias: float, low_hz: float, high_hz: float) -> np.ndarray:
    """The constants of one stage at one sample rate, float64 (4,).

    Args:
        drive: how far full scale reaches into the curve tanh(drive x + bias); the third harmonic grows with its square.
        bias: how far from the curve's centre the tube idles; the second harmonic grows with drive times bias.
        low_hz, high_hz: -3 dB corners of the first-order high-pass and low-pass.
    """
    low = 1 - math.exp(-2 * math.pi * low_hz / sample_rate)
    high = 1 - math.exp(-2 * math.pi * high_hz / sample_rate)
    return np.array([drive, bias, low, high])


@numba.njit(inline="always")
def amplify(x, state, constants):
    """One sample through the curve, the low-pass and the high-pass."""
    drive, bias = constants[DRIVE], constants[BIAS]
    idle = math.tanh(bias)
    y = (math.tanh(drive * x + bias) - idle) / (drive * (1 - idle * idle))
    state[HIGH] += constants[HIGH_RATE] * (y - state[HIGH])
    y = state[HIGH]
    state[LOW] += constants[LOW_RATE] * (y - state[LOW])
    return y - state[LOW]
