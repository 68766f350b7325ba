"""Integrated loudness (ITU-R BS.1770-4, EBU R 128), measured block by block in constant memory a second."""

from __future__ import annotations

import math

import numpy as np

from mlxopto.native.compiler import kernel

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
    for c in range(block.shape[1]):
        for i in range(block.shape[0]):
            x = float(block[i, c])
            for f in range(2):
                b0, b1, b2, a1, a2 = filters[f]
                y = b0 * x + state[c, f, 0]
                state[c, f, 0] = b1 * x - a1 * y + state[c, f, 1]
                state[c, f, 1] = b2 * x - a2 * y
                x = y
            sums[c] += x * x
