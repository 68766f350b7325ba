"""The gated recurrence on the CPU: hidden sizes are small, so a step is a handful of vector operations.

The forward pass returns every hidden state; the backward pass recomputes the gates from them.
"""

from __future__ import annotations

import mlx.core as mx
import numba
import numpy as np

from mlxopto.native.arithmetic import sigmoid, tanh
from mlxopto.native.compiler import kernel
from mlxopto.native.threads import over_ranges, to_numpy


@numba.njit(inline="always")
def _gates(gates, weight_T, bias, h, recurrent, r, z, n):
    hidden = h.size
    recurrent[:] = np.float32(0.0)
    for k in range(hidden):
        for i in range(3 * hidden):
            recurrent[i] += weight_T[k, i] * h[k]
    for i in range(hidden):
        r[i] = sigmoid(gates[i] + recurrent[i])
        z[i] = sigmoid(gates[hidden + i] + recurrent[hidden + i])
        recurrent[2 * hidden + i] += bias[i]
    for i in range(hidden):
        n[i] = tanh(gates[2 * hidden + i] + r[i] * recurrent[2 * hidden + i])


@kernel
def _forward(gates, weight_T, bias, state, out, first_batch, end_batch):
    hidden = bias.size
    recurrent = np.empty(3 * hidden, np.float32)
    r, z, n, h = np.empty((4, hidden), np.float32)
    for b in range(first_batch, end_batch):
        h[:] = state[b]
        for t in range(gates.shape[1]):
            _gates(gates[b, t], weight_T, bias, h, recurrent, r, z, n)
            for i in range(hidden):
                h[i] = n[i] + z[i] * (h[i] - n[i])
                out[b, t, i] = h[i]


@kernel
def _backward(
    gates, weight, weight_T, bias, state, out, grad_out,
    grad_gates, grad_weight, grad_bias, grad_state, first_batch, end_batch,
):  # fmt: skip
    hidden = bias.size
    recurrent, g_rec = np.empty((2, 3 * hidden), np.float32)
    r, z, n, g_h, g_before = np.empty((5, hidden), np.float32)
    for b in range(first_batch, end_batch):
        g_h[:] = grad_state[b]
        for t in range(gates.shape[1] - 1, -1, -1):
            before = out[b, t - 1] if t > 0 else state[b]
            _gates(gates[b, t], weight_T, bias, before, recurrent, r, z, n)
            for i in range(hidden):
                g = g_h[i] + grad_out[b, t, i]
                g_n = g * (1 - z[i]) * (1 - n[i] * n[i])
                g_z = g * (before[i] - n[i]) * z[i] * (1 - z[i])
                g_r = g_n * recurrent[2 * hidden + i] * r[i] * (1 - r[i])
                g_before[i] = g * z[i]
                grad_gates[b, t, i] = g_r
                grad_gates[b, t, hidden + i] = g_z
                grad_gates[b, t, 2 * hidden + i] = g_n
                g_rec[i] = g_r
                g_rec[hidden + i] = g_z
                g_rec[2 * hidden + i] = g_n * r[i]
                grad_bias[b, i] += g_n * r[i]
            for k in range(3 * hidden):
                for i in range(hidden):
                    g_before[i] += weight[k, i] * g_rec[k]
                    grad_weight[b, k, i] += g_rec[k] * before[i]
            g_h[:] = g_before
        grad_state[b] = g_h


@mx.custom_function
def _scan(gates, weight, bias, state):
    mx.eval(gates, weight, bias, state)
    gates_, weight_, bias_, state_ = map(to_numpy, (gates, weight, bias, state))
    out = np.empty((*gates_.shape[:2], bias_.size), np.float32)
    over_ranges(len(gates_), _forward, gates_, np.ascontiguousarray(weight_.T), bias_, state_, out)
    return mx.array(out)


@_scan.vjp
def _scan_vjp(primals, grad_out, out):
    mx.eval(grad_out, out)
    gates, weight, bias, state, grad_out_, out_ = map(to_numpy, (*primals, grad_out, out))
    batch = len(gates)
    grad_gates = np.empty_like(gates)
    grad_weight = np.zeros((batch, *weight.shape), np.float32)
    grad_bias = np.zeros((batch, bias.size), np.float32)
    grad_state = np.zeros_like(state)
    over_ranges(
        batch, _backward, gates, weight, np.ascontiguousarray(weight.T), bias, state, out_, grad_out_,
        grad_gates, grad_weight, grad_bias, grad_state,
    )  # fmt: skip
    return tuple(map(mx.array, (grad_gates, grad_weight.sum(0), grad_bias.sum(0), grad_state)))


def gru_scan(gates, weight, bias, state):
    """See `mlxopto.scan.gru_scan`; float32 only."""
    out = _scan(gates, weight, bias, state)
    return out, (out[:, -1] if gates.shape[1] else state)
