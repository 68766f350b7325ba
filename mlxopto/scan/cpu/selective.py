"""The selective scan on the CPU.

Inside, states are laid out (N, D) flattened, so that the innermost loops run over channels that lie side by side. Time is
walked in tiles small enough for the first-level cache: exponentials of a whole tile in one vector loop, then the recurrence,
then the outputs. The forward pass keeps the state at each tile's start; the backward pass recomputes the tile from it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import mlx.core as mx
import numba
import numpy as np

from mlxopto.native import FASTMATH, expm1, over_ranges, to_numpy

TILE = 32


@numba.njit(inline="always")
def _fill_tile(u, dt, A, B, gain, zoh, b, start, steps, decay, drive):
    """decay = exp(dt A) - 1 and drive = B u times (1 / A for zoh, dt for euler), for one tile of time."""
    states, width = A.shape
    for t in range(steps):
        for n in range(states):
            b_tn = B[b, start + t, n]
            row = n * width
            for d in range(width):
                decay[t, row + d] = dt[b, start + t, d] * A[n, d]
            if zoh:
                for d in range(width):
                    drive[t, row + d] = b_tn * u[b, start + t, d] * gain[n, d]
            else:
                for d in range(width):
                    drive[t, row + d] = b_tn * u[b, start + t, d] * dt[b, start + t, d]
    flat = decay.reshape(-1)
    for i in range(steps * states * width):
        flat[i] = expm1(flat[i])


@numba.njit(nogil=True, cache=True, fastmath=FASTMATH, error_model="numpy")
def _forward(u, dt, A, inverse_A, B, C, D, zoh, state, y, last, checkpoints, first_batch, end_batch):
    time = u.shape[1]
    states, width = A.shape
    size = states * width
    decay = np.empty((TILE, size), np.float32)
    drive = np.empty((TILE, size), np.float32)
    h = np.empty(size, np.float32)
    for b in range(first_batch, end_batch):
        h[:] = state[b]
        for tile in range((time + TILE - 1) // TILE):
            start = tile * TILE
            steps = min(TILE, time - start)
            checkpoints[b, tile] = h
            _fill_tile(u, dt, A, B, inverse_A, zoh, b, start, steps, decay, drive)
            for t in range(steps):
                if zoh:
                    for i in range(size):
                        h[i] += decay[t, i] * (h[i] + drive[t, i])
                        drive[t, i] = h[i]
                else:
                    for i in range(size):
                        h[i] += decay[t, i] * h[i] + drive[t, i]
                        drive[t, i] = h[i]
            for t in range(steps):
                for d in range(width):
                    y[b, start + t, d] = D[d] * u[b, start + t, d]
                for n in range(states):
                    c_tn = C[b, start + t, n]
                    for d in range(width):
                        y[b, start + t, d] += c_tn * drive[t, n * width + d]
        last[b] = h


@numba.njit(nogil=True, cache=True, fastmath=FASTMATH, error_model="numpy")
def _backward(
    u, dt, A, inverse_A, B, C, D, zoh, checkpoints, grad_y, grad_last,
    grad_u, grad_dt, grad_A, grad_B, grad_C, grad_D, grad_state, first_batch, end_batch,
):  # fmt: skip
    time = u.shape[1]
    states, width = A.shape
    size = states * width
    decay = np.empty((TILE, size), np.float32)
    drive = np.empty((TILE, size), np.float32)
    before = np.empty((TILE + 1, size), np.float32)  # the state before each step of the tile
    adjoint = np.empty(size, np.float32)
    for b in range(first_batch, end_batch):
        adjoint[:] = grad_last[b]
        for tile in range((time + TILE - 1) // TILE - 1, -1, -1):
            start = tile * TILE
            steps = min(TILE, time - start)
            _fill_tile(u, dt, A, B, inverse_A, zoh, b, start, steps, decay, drive)
            before[0] = checkpoints[b, tile]
            for t in range(steps):
                for i in range(size):
                    h = before[t, i]
                    before[t + 1, i] = h + (decay[t, i] * (h + drive[t, i]) if zoh else decay[t, i] * h + drive[t, i])
            for t in range(steps - 1, -1, -1):
                s = start + t
                for d in range(width):
                    grad_u[b, s, d] = D[d] * grad_y[b, s, d]
                    grad_D[b, d] += grad_y[b, s, d] * u[b, s, d]
                    grad_dt[b, s, d] = np.float32(0.0)
                for n in range(states):
                    row = n * width
                    b_tn = B[b, s, n]
                    c_tn = C[b, s, n]
                    sum_B = np.float32(0.0)
                    sum_C = np.float32(0.0)
                    if zoh:
                        for d in range(width):
                            i = row + d
                            g_y = grad_y[b, s, d]
                            sum_C += g_y * before[t + 1, i]
                            g_h = adjoint[i] + c_tn * g_y
                            g_x = g_h * decay[t, i] * inverse_A[n, d]  # with respect to B u
                            sum_B += g_x * u[b, s, d]
                            grad_u[b, s, d] += g_x * b_tn
                            g_log = g_h * (before[t, i] + drive[t, i]) * (decay[t, i] + np.float32(1.0))
                            grad_dt[b, s, d] += g_log * A[n, d]
                            grad_A[b, i] += g_log * dt[b, s, d] - g_h * decay[t, i] * drive[t, i] * inverse_A[n, d]
                            adjoint[i] = g_h + g_h * decay[t, i]
                    else:
                        for d in range(width):
                            i = row + d
                            g_y = grad_y[b, s, d]
                            sum_C += g_y * before[t + 1, i]
                            g_h = adjoint[i] + c_tn * g_y
                            g_x = g_h * dt[b, s, d]
                            sum_B += g_x * u[b, s, d]
                            grad_u[b, s, d] += g_x * b_tn
                            g_log = g_h * before[t, i] * (decay[t, i] + np.float32(1.0))
                            grad_dt[b, s, d] += g_log * A[n, d] + g_h * b_tn * u[b, s, d]
                            grad_A[b, i] += g_log * dt[b, s, d]
                            adjoint[i] = g_h + g_h * decay[t, i]
                    grad_B[b, s, n] = sum_B
                    grad_C[b, s, n] = sum_C
        grad_state[b] = adjoint


def _to_kernel(state: np.ndarray) -> np.ndarray:
    """(batch, D, N) to the kernel's (batch, N * D)."""
    return np.ascontiguousarray(state.swapaxes(1, 2)).reshape(len(state), -1)


def _from_kernel(state: np.ndarray, states: int, width: int) -> np.ndarray:
    return state.reshape(-1, states, width).swapaxes(1, 2)


@cache
def _operation(discretization: str) -> Any:
    zoh = discretization == "zoh"

    @mx.custom_function
    def scan(u, dt, A, B, C, D, state):
        mx.eval(u, dt, A, B, C, D, state)
        u_, dt_, B_, C_, D_ = map(to_numpy, (u, dt, B, C, D))
        A_ = np.ascontiguousarray(to_numpy(A).T)
        states, width = A_.shape
        batch, time, _ = u_.shape
        y = np.empty_like(u_)
        last = np.empty((batch, states * width), np.float32)
        checkpoints = np.empty((batch, (time + TILE - 1) // TILE, states * width), np.float32)
        h0 = _to_kernel(to_numpy(state))
        over_ranges(batch, _forward, u_, dt_, A_, 1 / A_, B_, C_, D_, zoh, h0, y, last, checkpoints)
        return mx.array(y), mx.array(_from_kernel(last, states, width)), mx.array(checkpoints)

    @scan.vjp
    def scan_vjp(primals, cotangents, outputs):
        u, dt, A, B, C, D, _ = primals
        grad_y, grad_last, _ = cotangents
        checkpoints = outputs[2]
        mx.eval(grad_y, grad_last, checkpoints)
        u_, dt_, B_, C_, D_, grad_y_, checkpoints_ = map(to_numpy, (u, dt, B, C, D, grad_y, checkpoints))
        A_ = np.ascontiguousarray(to_numpy(A).T)
        states, width = A_.shape
        batch = len(u_)
        grad_u, grad_dt, grad_B, grad_C = map(np.empty_like, (u_, dt_, B_, C_))
        grad_A = np.zeros((batch, states * width), np.float32)
        grad_D = np.zeros((batch, width), np.float32)
        grad_state = np.empty((batch, states * width), np.float32)
        over_ranges(
            batch, _backward, u_, dt_, A_, 1 / A_, B_, C_, D_, zoh, checkpoints_, grad_y_, _to_kernel(to_numpy(grad_last)),
            grad_u, grad_dt, grad_A, grad_B, grad_C, grad_D, grad_state,
        )  # fmt: skip
        grad_A_sum = _from_kernel(grad_A.sum(0, keepdims=True), states, width)[0]
        grads = (grad_u, grad_dt, grad_A_sum, grad_B, grad_C, grad_D.sum(0), _from_kernel(grad_state, states, width))
        return tuple(map(mx.array, grads))

    return scan


def selective_scan(u, dt, A, B, C, D, state, discretization):
    """See `mlxopto.scan.selective_scan`; float32 only."""
    y, last, _ = _operation(discretization)(u, dt, A, B, C, D, state)
    return y, last
