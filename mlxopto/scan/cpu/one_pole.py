"""The bank of one-pole filters on the CPU.

It runs at the audio rate, so its states are the only thing kept for the backward pass.
"""

from __future__ import annotations

import mlx.core as mx
import numpy as np

from mlxopto.native.compiler import kernel
from mlxopto.native.threads import over_ranges, to_numpy


@kernel
def _forward(x, rate, mix, state, y, states, first_batch, end_batch):
    poles = rate.size
    s = np.empty(poles, np.float32)
    for b in range(first_batch, end_batch):
        s[:] = state[b]
        for t in range(x.shape[1]):
            total = np.float32(0.0)
            for k in range(poles):
                s[k] += rate[k] * (x[b, t] - s[k])
                states[b, t, k] = s[k]
                total += mix[k] * s[k]
            y[b, t] = total


@kernel
def _backward(x, rate, mix, state, states, grad_y, grad_last, grad_x, grad_rate, grad_mix, grad_state, first_batch, end_batch):
    poles = rate.size
    adjoint = np.empty(poles, np.float32)
    for b in range(first_batch, end_batch):
        adjoint[:] = grad_last[b]
        for t in range(x.shape[1] - 1, -1, -1):
            total = np.float32(0.0)
            for k in range(poles):
                before = states[b, t - 1, k] if t > 0 else state[b, k]
                g = adjoint[k] + mix[k] * grad_y[b, t]
                grad_mix[b, k] += grad_y[b, t] * states[b, t, k]
                grad_rate[b, k] += g * (x[b, t] - before)
                total += g * rate[k]
                adjoint[k] = g - g * rate[k]
            grad_x[b, t] = total
        grad_state[b] = adjoint


@mx.custom_function
def _bank(x, rate, mix, state):
    mx.eval(x, rate, mix, state)
    x_, rate_, mix_, state_ = map(to_numpy, (x, rate, mix, state))
    y = np.empty_like(x_)
    states = np.empty((*x_.shape, rate_.size), np.float32)
    over_ranges(len(x_), _forward, x_, rate_, mix_, state_, y, states)
    return mx.array(y), mx.array(states)


@_bank.vjp
def _bank_vjp(primals, cotangents, outputs):
    mx.eval(cotangents, outputs)
    x, rate, mix, state, grad_y, grad_states, states = map(to_numpy, (*primals, *cotangents, outputs[1]))
    grad_x = np.empty_like(x)
    grad_rate = np.zeros_like(state)
    grad_mix = np.zeros_like(state)
    grad_state = np.empty_like(state)
    grad_last = np.ascontiguousarray(grad_states[:, -1])  # only the last state leaves `one_pole_bank`
    over_ranges(len(x), _backward, x, rate, mix, state, states, grad_y, grad_last, grad_x, grad_rate, grad_mix, grad_state)
    return tuple(map(mx.array, (grad_x, grad_rate.sum(0), grad_mix.sum(0), grad_state)))


def one_pole_bank(x, rate, mix, state):
    """See `mlxopto.scan.one_pole_bank`; float32 only."""
    if not x.shape[1]:
        return x, state
    y, states = _bank(x, rate, mix, state)
    return y, states[:, -1]
