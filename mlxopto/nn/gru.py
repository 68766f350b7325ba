"""The gated recurrent unit, per step or interleaved."""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn

from mlxopto.nn.dense import Dense
from mlxopto.scan import gru_scan


class GRU(nn.Module):
    """A GRU in the form of Keras and cuDNN, with two biases.

    Args:
        inputs: features in. hidden: units, features out.
        stride: 1; more makes as many slots that take turns, so that each moves once in `stride` steps.
    """

    def __init__(self, inputs: int, hidden: int, stride: int = 1):
        super().__init__()
        self._stride = stride
        self.gates = Dense(inputs, 3 * hidden)
        bound = hidden**-0.5
        self.recurrent = mx.random.uniform(-bound, bound, (3 * hidden, hidden))
        self.recurrent_bias = mx.zeros((3 * hidden,))

    def initial_state(self, batch: int) -> mx.array:
        """(batch, stride, hidden), at rest; the slot of the next step first."""
        return mx.zeros((batch, self._stride, self.recurrent.shape[1]))

    def __call__(self, x: mx.array, state: mx.array) -> tuple[mx.array, mx.array]:
        """x: (batch, time, inputs) to (batch, time, hidden)."""
        batch, time, _ = x.shape
        hidden, stride = self.recurrent.shape[1], self._stride
        moves = -(-time // stride)
        bias = mx.concatenate([self.recurrent_bias[: 2 * hidden], mx.zeros((hidden,))])
        gates = mx.pad(self.gates(x) + bias, [(0, 0), (0, moves * stride - time), (0, 0)])
        rows = gates.reshape(batch, moves, stride, -1).swapaxes(1, 2).reshape(batch * stride, moves, -1)
        h, _ = gru_scan(rows, self.recurrent, self.recurrent_bias[2 * hidden :], state.reshape(batch * stride, hidden))
        h = h.reshape(batch, stride, moves, hidden).swapaxes(1, 2).reshape(batch, moves * stride, hidden)[:, :time]
        return h, mx.concatenate([state, h], axis=1)[:, time:]
