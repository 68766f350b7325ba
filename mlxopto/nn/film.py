"""Feature-wise linear modulation: by fixed controls (FiLM; Perez et al. 2018) and over time (temporal FiLM; Birnbaum et al. 2019)."""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn

from mlxopto.nn import functional
from mlxopto.nn.dense import Dense
from mlxopto.scan import gru_scan


class FiLM(nn.Module):
    """(x + shift) (1 + scale), with scale and shift linear in a condition that does not change over time.

    The published order is scale, then shift. Shift first is a threshold, then a slope, without products of knobs to learn.
    """

    def __init__(self, conditions: int, width: int):
        super().__init__()
        self.affine = Dense(conditions, 2 * width)

    def __call__(self, x: mx.array, condition: mx.array) -> mx.array:
        """x: (batch, time, width); condition: (batch, conditions)."""
        scale, shift = mx.split(self.affine(condition)[:, None], 2, axis=-1)
        return (x + shift) * (1 + scale)


class TemporalFiLM(nn.Module):
    """x (1 + scale[t]) + shift[t], with scale and shift from a gated recurrent unit that hears x and the condition.

    The gated recurrence is what a state space layer is not: its update may depend on its own state, as the choice
    between attack and release does.
    """

    def __init__(self, width: int, conditions: int, hidden: int):
        super().__init__()
        self.gates = Dense(width, 3 * hidden)
        self.control = Dense(conditions, 3 * hidden)
        bound = hidden**-0.5
        self.recurrent = mx.random.uniform(-bound, bound, (3 * hidden, hidden))
        self.recurrent_bias = mx.zeros((hidden,))
        self.affine = Dense(hidden, 2 * width)

    def initial_state(self, batch: int) -> mx.array:
        """(batch, hidden), at rest."""
        return mx.zeros((batch, self.recurrent.shape[-1]))

    def __call__(self, x: mx.array, condition: mx.array, state: mx.array) -> tuple[mx.array, mx.array]:
        """x: (batch, time, width); condition: (batch, conditions)."""
        gates = self.gates(x) + self.control(condition)[:, None]
        h, state = gru_scan(gates, self.recurrent, self.recurrent_bias, state)
        scale, shift = mx.split(self.affine(h), 2, axis=-1)
        return x * (1 + scale) + shift, state


class GatedFiLM(nn.Module):
    """A residual block without memory: FiLM, then a gated linear unit, added to its input."""

    def __init__(self, conditions: int, width: int):
        super().__init__()
        self.film = FiLM(conditions, width)
        self.gate = Dense(width, 2 * width)

    def __call__(self, x: mx.array, condition: mx.array) -> mx.array:
        """x: (batch, time, width); condition: (batch, conditions)."""
        return x + functional.glu(self.gate(self.film(x, condition)))
