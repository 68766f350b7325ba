"""Attack and release on the CPU. The outputs are the states, so nothing else is kept for the backward pass."""

from __future__ import annotations

import mlx.core as mx
import numpy as np

from mlxopto.native.compiler import kernel
from mlxopto.native.threads import over_ranges, to_numpy


@kernel
def _forward(u, attack, release, rise, fall, state, e, first_batch, end_batch):
    lanes = u.shape[2]
    now = np.empty(lanes, np.float32)
    for b in range(first_batch, end_batch):
        now[:] = state[b]
        for t in range(u.shape[1]):
            for k in range(lanes):
                distance = u[b, t, k] - now[k]
                now[k] += (
                    min(attack[b, k] * distance, rise[b, k]) if distance > 0 else max(release[b, k] * distance, -fall[b, k])
                )
                e[b, t, k] = now[k]


@kernel
def _backward(u, attack, release, rise, fall, state, e, grad_e, grads, grad_u, grad_state, first_batch, end_batch):
    grad_attack, grad_release, grad_rise, grad_fall = grads
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
                rate = attack[b, k] if rising else release[b, k]
                limited = (rate * distance > rise[b, k]) if rising else (rate * distance < -fall[b, k])
                by_rate, by_limit = (np.float32(0.0), g) if limited else (g * distance, np.float32(0.0))
                grad_attack[b, k] += by_rate if rising else np.float32(0.0)
                grad_release[b, k] += np.float32(0.0) if rising else by_rate
                grad_rise[b, k] += by_limit if rising else np.float32(0.0)
                grad_fall[b, k] -= np.float32(0.0) if rising else by_limit
                grad_u[b, t, k] = np.float32(0.0) if limited else g * rate
                adjoint[k] = g - grad_u[b, t, k]
        grad_state[b] = adjoint


@mx.custom_function
def _scan(u, attack, release, rise, fall, state):
    mx.eval(u, attack, release, rise, fall, state)
    arrays = tuple(map(to_numpy, (u, attack, release, rise, fall, state)))
    e = np.empty_like(arrays[0])
    over_ranges(len(e), _forward, *arrays, e)
    return mx.array(e)


@_scan.vjp
def _scan_vjp(primals, grad_e, e):
    mx.eval(grad_e, e)
    arrays = tuple(map(to_numpy, (*primals, e, grad_e)))
    grad_u, grad_state = np.empty_like(arrays[0]), np.empty_like(arrays[1])
    grads = np.zeros((4, *grad_state.shape), np.float32)  # of rates and limits
    over_ranges(len(grad_u), _backward, *arrays, grads, grad_u, grad_state)
    return tuple(map(mx.array, (grad_u, *grads, grad_state)))


def ballistics_scan(u, attack, release, rise, fall, state):
    """See `mlxopto.scan.ballistics_scan`; float32 only, all arguments needed."""
    if not u.shape[1]:
        return u, state
    e = _scan(u, attack, release, rise, fall, state)
    return e, e[:, -1]
