"""The selective state space layer (S6; Gu and Dao 2023) without its convolution, for use at a control rate."""

from __future__ import annotations

import math

import mlx.core as mx
import mlx.nn as nn

from mlxopto.nn import functional
from mlxopto.nn.dense import Dense
from mlxopto.scan import selective_scan


class S6(nn.Module):
    """[v, r] = in(x); dt = softplus(dt(v) + shift); B, C = bc(v); y = scan(v, dt, A, B, C, D); out(y silu(r)).

    The exact zero-order hold keeps the state's scale independent of dt, so that neither needs a bound (shared finding:
    the Euler form diverged with wide gates). dt starts log-spaced over `dt_range`, so that the time constants cover
    the attack and release times before training begins.

    Args:
        width: features in and out, and channels of the scan. states: N, states a channel.
        dt_range: smallest and largest initial step size, in frames.
    """

    def __init__(self, width: int, states: int, dt_range: tuple[float, float]):
        super().__init__()
        self.input = Dense(width, 2 * width)
        self.dt = Dense(width, width, scale=0.1)
        low, high = (math.log(math.expm1(dt)) for dt in dt_range)
        self.dt.bias = mx.linspace(low, high, width)
        self.bc = Dense(width, 2 * states)
        self.a_log = mx.broadcast_to(mx.linspace(math.log(0.5), math.log(2.0), states), (width, states)) + 0.0
        self.skip = mx.ones((width,))
        self.output = Dense(width, width)

    def initial_state(self, batch: int) -> mx.array:
        """(batch, width, states), at rest."""
        return mx.zeros((batch, *self.a_log.shape))

    def __call__(self, x: mx.array, dt_shift: mx.array, state: mx.array) -> tuple[mx.array, mx.array]:
        """x: (batch, time, width); dt_shift: (batch, 1, width), moves the time constants (in nepers while dt is small)."""
        v, gate = mx.split(self.input(x), 2, axis=-1)
        dt = functional.softplus(self.dt(v) + dt_shift)
        b, c = mx.split(self.bc(v), 2, axis=-1)
        y, state = selective_scan(v, dt, -mx.exp(self.a_log), b, c, self.skip, state)
        return self.output(functional.silu_gate(y, gate)), state
