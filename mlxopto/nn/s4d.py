"""The diagonal state space layer whose factors do not depend on its input (S4D; Gu, Goel, Gupta and Ré 2022)."""

from __future__ import annotations

import math

import mlx.core as mx
import mlx.nn as nn

from mlxopto.nn.times import step_rates
from mlxopto.scan import diagonal_scan


class S4D(nn.Module):
    """y = 2 Re sum_n c_n h_n + skip u, each channel of `width` by itself.

    The states start as real exponentials with log-spaced time constants, and learn to ring. c is scaled by the step's size, so
    that slow states start no louder than fast ones.

    Args:
        width: channels. states: conjugate pairs of states a channel. sample_rate: steps a second.
    """

    def __init__(self, width: int, states: int, sample_rate: float):
        super().__init__()
        self.log_decay = mx.log(mx.broadcast_to(step_rates(states, sample_rate), (width, states))) + 0.0
        self.ringing = mx.zeros((width, states))  # radians while the state decays by a neper
        self.c = mx.random.normal((width, states, 2)) * (0.5 / states) ** 0.5
        self.skip = mx.ones((width,))

    def initial_state(self, batch: int) -> mx.array:
        """(batch, width, states, 2), at rest."""
        return mx.zeros((batch, *self.c.shape))

    def __call__(self, x: mx.array, state: mx.array) -> tuple[mx.array, mx.array]:
        """x: (batch, time, width), and the same out."""
        decay = mx.exp(self.log_decay)
        turns = decay * self.ringing * (1 / (2 * math.pi))
        y, state = diagonal_scan(x, decay, turns, self.c * decay[..., None], state)
        return y + self.skip * x, state
