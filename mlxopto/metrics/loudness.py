"""Integrated loudness (ITU-R BS.1770-4, EBU R 128), measured block by block in constant memory a second."""

from __future__ import annotations

import math

import numpy as np

from mlxopto.native.compiler import inner, kernel

LOWEST_RATE = 8000
STEP_S = 0.1  # gating blocks of 0.4 s overlap by three quarters
ABSOLUTE_GATE_LUFS = -70.0
RELATIVE_GATE_LU = -10.0


class LoudnessMeter:
    """K-weighted, gated loudness of everything that was put in.

    Channel weights are those of BS.1770 for five (L R C Ls Rs) and six (L R C LFE Ls Rs) channels, otherwise 1.
    """

    def __init__(self, sample_rate: int, channels: int):
        self._sample_rate = sample_rate
        self._filters = np.array([_high_shelf(sample_rate), _high_pass(sample_rate)])
        self._state = np.zeros((channels, 2, 2))
        self._weights = np.array({5: [1, 1, 1, 1.41, 1.41], 6: [1, 1, 1, 0, 1.41, 1.41]}.get(channels, [1] * channels))
        self._step = max(1, round(STEP_S * sample_rate))
        self._sums = np.zeros(channels)
        self._filled = 0
        self._powers: list[float] = []

    def add(self, block: np.ndarray) -> None:
        """float32 (samples, channels), any number of samples."""
        at = 0 if self._sample_rate >= LOWEST_RATE else len(block)
        while at < len(block):
            part = np.ascontiguousarray(block[at : at + self._step - self._filled])
            _weigh(part, self._filters, self._state, self._sums)
            at += len(part)
            self._filled += len(part)
            if self._filled == self._step:
                self._powers.append(float(self._weights @ self._sums) / self._step)
                self._sums[:] = 0
                self._filled = 0

    def integrated(self) -> float | None:
        """LUFS; None for silence, for less than 0.4 s and for rates that cannot hold the K-weighting."""
        if len(self._powers) < 4 or self._sample_rate < LOWEST_RATE:
            return None
        blocks = np.convolve(self._powers, np.full(4, 0.25), "valid")
        loud = blocks[_lufs(blocks) > ABSOLUTE_GATE_LUFS]
        if not len(loud):
            return None
        gate = _lufs(np.mean(loud)) + RELATIVE_GATE_LU
        return float(_lufs(np.mean(loud[_lufs(loud) > gate])))


def _lufs(power: np.ndarray | np.floating) -> np.ndarray:
    return -0.691 + 10 * np.log10(np.maximum(power, 1e-20))


def _high_shelf(sample_rate: int) -> list[float]:
    """b0, b1, b2, a1, a2 of the pre-filter, from its analogue prototype so that any sample rate will do."""
    gain = 10 ** (3.999843853973347 / 20)
    k = math.tan(math.pi * 1681.974450955533 / sample_rate)
    q, band = 0.7071752369554196, gain**0.4996667741545416
    a0 = 1 + k / q + k * k
    return [
        (gain + band * k / q + k * k) / a0, 2 * (k * k - gain) / a0, (gain - band * k / q + k * k) / a0,
        2 * (k * k - 1) / a0, (1 - k / q + k * k) / a0,
    ]  # fmt: skip


def _high_pass(sample_rate: int) -> list[float]:
    k = math.tan(math.pi * 38.13547087602444 / sample_rate)
    q = 0.5003270373238773
    a0 = 1 + k / q + k * k
    return [1.0, -2.0, 1.0, 2 * (k * k - 1) / a0, (1 - k / q + k * k) / a0]


@kernel
def _weigh(block, filters, state, sums):
    """Adds the power of each channel; two at a time, because a filter waits for itself (a last one alone goes twice)."""
    shelf, high_pass = _coefficients(filters[0]), _coefficients(filters[1])
    last = block.shape[1] - 1
    for c in range(0, last + 1, 2):
        d = min(c + 1, last)
        left, right, left_power, right_power = _memory(state[c]), _memory(state[d]), 0.0, 0.0
        for i in range(block.shape[0]):
            x, left = _heard(float(block[i, c]), shelf, high_pass, left)
            y, right = _heard(float(block[i, d]), shelf, high_pass, right)
            left_power += x * x
            right_power += y * y
        _remember(state[c], left)
        _remember(state[d], right)
        sums[c] += left_power
        if d > c:
            sums[d] += right_power


@inner
def _coefficients(f):
    return f[0], f[1], f[2], f[3], f[4]


@inner
def _memory(state):
    return state[0, 0], state[0, 1], state[1, 0], state[1, 1]


@inner
def _remember(state, memory):
    state[0, 0], state[0, 1], state[1, 0], state[1, 1] = memory


@inner
def _heard(x, shelf, high_pass, memory):
    """A sample through both filters, and what they then remember."""
    near, far, nearer, farther = memory
    x, near, far = _filtered(x, shelf, near, far)
    x, nearer, farther = _filtered(x, high_pass, nearer, farther)
    return x, (near, far, nearer, farther)


@inner
def _filtered(x, filter, near, far):
    b0, b1, b2, a1, a2 = filter
    y = b0 * x + near
    return y, (b1 * x + far) - a1 * y, b2 * x - a2 * y
