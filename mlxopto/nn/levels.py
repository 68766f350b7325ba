"""From audio to level features at the control rate."""

from __future__ import annotations

import math

import mlx.core as mx
import mlx.nn as nn

FLOOR = 1e-5  # -100 dBFS: levels below count as silence
WINDOW = 4  # hops in the long window
SCALE = 0.45  # features a neper


class LevelFrontEnd(nn.Module):
    """Log peak and log RMS of the last hop and of the last four hops, about -3 at silence to +2 at full scale.

    It hears magnitudes only.
    """

    features = 4
    per_db = SCALE * math.log(10) / 20  # what a decibel moves every feature by

    def __init__(self, hop: int):
        super().__init__()
        self.hop = hop

    def initial_state(self, batch: int) -> mx.array:
        """(batch, WINDOW - 1, 2): peak and power of the hops before, silent."""
        return mx.zeros((batch, WINDOW - 1, 2))

    def __call__(self, key: mx.array, state: mx.array) -> tuple[mx.array, mx.array]:
        """key: (batch, frames * hop) to (batch, frames, features)."""
        batch, samples = key.shape
        hops = key.reshape(batch, samples // self.hop, self.hop)
        peak = mx.abs(hops).max(-1)
        power = mx.square(hops).sum(-1) * (1 / self.hop)
        levels = mx.concatenate([state, mx.stack([peak, power], axis=-1)], axis=1)
        frames = peak.shape[1]
        windows = [levels[:, i : i + frames] for i in range(WINDOW)]
        long_peak = mx.maximum(*(mx.maximum(windows[i][..., 0], windows[i + 1][..., 0]) for i in (0, 2)))
        long_power = mx.stack([w[..., 1] for w in windows]).mean(0)
        squares = mx.stack([mx.square(peak), mx.square(long_peak), power, long_power], axis=-1)
        log_level = 0.5 * mx.log(squares + FLOOR**2)  # nepers, 0 at full scale
        return log_level * SCALE + 2.0, levels[:, -(WINDOW - 1) :]
