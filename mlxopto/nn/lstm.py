"""The long short-term memory."""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn

from mlxopto.nn.dense import Dense
from mlxopto.scan import lstm_scan


class LSTM(nn.Module):
    """An LSTM whose forget gates start open. inputs: features in. hidden: units, features out."""

    def __init__(self, inputs: int, hidden: int):
        super().__init__()
        self.gates = Dense(inputs, 4 * hidden)
        self.gates.bias[hidden : 2 * hidden] = 1.0
        bound = hidden**-0.5
        self.recurrent = mx.random.uniform(-bound, bound, (4 * hidden, hidden))

    def initial_state(self, batch: int) -> list[mx.array]:
        """Output and cell, (batch, hidden) each, at rest."""
        return [mx.zeros((batch, self.recurrent.shape[1])), mx.zeros((batch, self.recurrent.shape[1]))]

    def __call__(self, x: mx.array, state: list[mx.array]) -> tuple[mx.array, list[mx.array]]:
        """x: (batch, time, inputs) to (batch, time, hidden)."""
        h, (last, cell) = lstm_scan(self.gates(x), self.recurrent, *state)
        return h, [last, cell]


def lstm_step(gates: mx.array, cell: mx.array) -> mx.array:
    """The output after a single step from a given cell: gates (..., 4 hidden) in the order i, f, g, o, cell (..., hidden)."""
    i, f, g, o = mx.split(gates, 4, axis=-1)
    return mx.sigmoid(o) * mx.tanh(mx.sigmoid(f) * cell + mx.sigmoid(i) * mx.tanh(g))
