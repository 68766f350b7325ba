"""Attack and release on the CPU. The outputs are the states, so nothing else is kept for the backward pass."""

from __future__ import annotations

import mlx.core as mx
import numpy as np

from mlxopto.compiled import kernel
from mlxopto.native import over_ranges, to_numpy


@kernel
def _forward(u, attack, release, state, e, first_batch, end_batch):
    lanes = u.shape[2]
    now = np.empty(lanes, np.float32)
    for b in range(first_batch, end_batch):
        now[:] = state[b]
        for t in range(u.shape[1]):
            for k in range(lanes):
                distance = u[b, t, k] - now[k]
                now[k] += (attack[b, k] if distance > 0 else release[b, k]) * distance
                e[b, t, k] = now[k]


@kernel
def _backward(u, attack, release, state, e, grad_e, grad_u, grad_attack, grad_release, grad_state, first_batch, end_batch):
    lanes = u.shape[2]
    adjoint = np.empty(lanes, np.float32)
    for b in range(first_batch, end_batch):
        adjoint[:] = 0
        for t in range(u.shape[1] - 1, -1, -1):
            before = e[b, t - 1] if t > 0 else state[b]
            for k in range(lanes):
                distance = u[b, t, k] - before[k]
                rising = distance > 0
                g = adjoint[k] + grad_e[b, t, k]
                grad_rate = g * distance
                grad_attack[b, k] += grad_rate if rising else np.float32(0.0)
                grad_release[b, k] += np.float32(0.0) if rising else grad_rate
                grad_u[b, t, k] = g * (attack[b, k] if rising else release[b, k])
                adjoint[k] = g - grad_u[b, t, k]
        grad_state[b] = adjoint


@mx.custom_function
def _scan(u, attack, release, state):
    mx.eval(u, attack, release, state)
    u_, attack_, release_, state_ = map(to_numpy, (u, attack, release, state))
    e = np.empty_like(u_)
    over_ranges(len(u_), _forward, u_, attack_, release_, state_, e)
    return mx.array(e)


@_scan.vjp
def _scan_vjp(primals, grad_e, e):
    mx.eval(grad_e, e)
    u, attack, release, state, e_, grad = map(to_numpy, (*primals, e, grad_e))
    grad_u, grad_state = np.empty_like(u), np.empty_like(state)
    grad_attack, grad_release = np.zeros_like(state), np.zeros_like(state)
    over_ranges(len(u), _backward, u, attack, release, state, e_, grad, grad_u, grad_attack, grad_release, grad_state)
    return tuple(map(mx.array, (grad_u, grad_attack, grad_release, grad_state)))


def ballistics_scan(u, attack, release, state):
    """See `mlxopto.scan.ballistics_scan`; float32 only."""
    if not u.shape[1]:
        return u, state
    e = _scan(u, attack, release, state)
    return e, e[:, -1]
