"""The long short-term memory on the CPU. The forward pass keeps every cell; the backward pass recomputes the gates."""

from __future__ import annotations

import mlx.core as mx
import numba
import numpy as np

from mlxopto.native.arithmetic import sigmoid, tanh
from mlxopto.native.compiler import kernel
from mlxopto.native.threads import over_ranges, to_numpy


@numba.njit(inline="always")
def _gates(gates, weight_T, h, a):
    """a becomes the activations i, f, g, o of one step."""
    hidden = h.size
    for i in range(4 * hidden):
        a[i] = gates[i]
    for k in range(hidden):
        for i in range(4 * hidden):
            a[i] += weight_T[k, i] * h[k]
    for i in range(2 * hidden):
        a[i] = sigmoid(a[i])
    for i in range(2 * hidden, 3 * hidden):
        a[i] = tanh(a[i])
    for i in range(3 * hidden, 4 * hidden):
        a[i] = sigmoid(a[i])


@kernel
def _forward(gates, weight_T, state, cell, out, cells, first_batch, end_batch):
    hidden = state.shape[1]
    a = np.empty(4 * hidden, np.float32)
    h, c = np.empty((2, hidden), np.float32)
    for b in range(first_batch, end_batch):
        h[:] = state[b]
        c[:] = cell[b]
        for t in range(gates.shape[1]):
            _gates(gates[b, t], weight_T, h, a)
            for i in range(hidden):
                c[i] = a[hidden + i] * c[i] + a[i] * a[2 * hidden + i]
                cells[b, t, i] = c[i]
            for i in range(hidden):
                h[i] = a[3 * hidden + i] * tanh(c[i])
                out[b, t, i] = h[i]


@kernel
def _backward(
    gates, weight, weight_T, state, cell, out, cells, grad_out,
    grad_gates, grad_weight, grad_state, grad_cell, first_batch, end_batch,
):  # fmt: skip
    hidden = state.shape[1]
    a, g_sum = np.empty((2, 4 * hidden), np.float32)
    g_h = np.empty(hidden, np.float32)
    one = np.float32(1.0)
    for b in range(first_batch, end_batch):
        g_h[:] = np.float32(0.0)
        g_c = grad_cell[b]
        for t in range(gates.shape[1] - 1, -1, -1):
            before = out[b, t - 1] if t > 0 else state[b]
            cell_before = cells[b, t - 1] if t > 0 else cell[b]
            _gates(gates[b, t], weight_T, before, a)
            for i in range(hidden):
                ai, af, ag, ao = a[i], a[hidden + i], a[2 * hidden + i], a[3 * hidden + i]
                level = tanh(cells[b, t, i])
                g = g_h[i] + grad_out[b, t, i]
                g_cell = g_c[i] + g * ao * (one - level * level)
                g_sum[i] = g_cell * ag * ai * (one - ai)
                g_sum[hidden + i] = g_cell * cell_before[i] * af * (one - af)
                g_sum[2 * hidden + i] = g_cell * ai * (one - ag * ag)
                g_sum[3 * hidden + i] = g * level * ao * (one - ao)
                g_c[i] = g_cell * af
                g_h[i] = np.float32(0.0)
            for k in range(4 * hidden):
                grad_gates[b, t, k] = g_sum[k]
                for i in range(hidden):
                    g_h[i] += weight[k, i] * g_sum[k]
                    grad_weight[b, k, i] += g_sum[k] * before[i]
        grad_state[b] = g_h


@mx.custom_function
def _scan(gates, weight, state, cell):
    mx.eval(gates, weight, state, cell)
    gates_, weight_, state_, cell_ = map(to_numpy, (gates, weight, state, cell))
    out, cells = np.empty((2, *gates_.shape[:2], state_.shape[1]), np.float32)
    over_ranges(len(gates_), _forward, gates_, np.ascontiguousarray(weight_.T), state_, cell_, out, cells)
    return mx.array(out), mx.array(cells)


@_scan.vjp
def _scan_vjp(primals, cotangents, outputs):
    mx.eval(cotangents, outputs)
    gates, weight, state, cell, grad_out, grad_cells, out, cells = map(to_numpy, (*primals, *cotangents, *outputs))
    grad_gates = np.empty_like(gates)
    grad_weight = np.zeros((len(gates), *weight.shape), np.float32)
    grad_state = np.empty_like(state)
    grad_cell = np.array(grad_cells[:, -1])  # only the last cell leaves `lstm_scan`
    over_ranges(
        len(gates), _backward, gates, weight, np.ascontiguousarray(weight.T), state, cell, out, cells, grad_out,
        grad_gates, grad_weight, grad_state, grad_cell,
    )  # fmt: skip
    return tuple(map(mx.array, (grad_gates, grad_weight.sum(0), grad_state, grad_cell)))


def lstm_scan(gates, weight, state, cell):
    """See `mlxopto.scan.lstm_scan`; float32 only."""
    if not gates.shape[1]:
        return gates[..., : state.shape[1]], (state, cell)
    out, cells = _scan(gates, weight, state, cell)
    return out, (out[:, -1], cells[:, -1])
