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

from mlxopto.native.arithmetic import expm1
from mlxopto.native.compiler import kernel
from mlxopto.native.threads import over_ranges, to_numpy
from mlxopto.native.vector import fma

TILE = 32


@numba.njit(fastmath={"reassoc", "contract"})
def _dot(a, b):
    """Fast-math is safe here: a loop without stores has one compiled form (see `compiled.kernel`)."""
    total = np.float32(0.0)
    for i in range(a.size):
        total += a[i] * b[i]
    return total


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


@kernel
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
                        h[i] = fma(decay[t, i], h[i] + drive[t, i], h[i])
                        drive[t, i] = h[i]
                else:
                    for i in range(size):
                        h[i] = fma(decay[t, i], h[i], h[i]) + drive[t, i]
                        drive[t, i] = h[i]
            for t in range(steps):
                for d in range(width):
                    y[b, start + t, d] = D[d] * u[b, start + t, d]
                for n in range(states):
                    c_tn = C[b, start + t, n]
                    for d in range(width):
                        y[b, start + t, d] = fma(c_tn, drive[t, n * width + d], y[b, start + t, d])
        last[b] = h


@numba.njit(inline="always")
def _adjoint_tile(A, inverse_A, B, C, zoh, b, start, steps, grad_y, decay, drive, before, adjoint, grad_h, grad_log):
    """For one tile: grad_h becomes the gradient by B u, grad_log the gradient by dt A; the adjoint moves to the
    tile's start.
    """
    states, width = A.shape
    size = states * width
    for t in range(steps):
        for n in range(states):
            c_tn = C[b, start + t, n]
            for d in range(width):
                grad_h[t, n * width + d] = c_tn * grad_y[b, start + t, d]
    for t in range(steps - 1, -1, -1):
        for i in range(size):
            grad_h[t, i] += adjoint[i]
        for i in range(size):
            adjoint[i] = fma(grad_h[t, i], decay[t, i], grad_h[t, i])
    for t in range(steps):
        if zoh:
            for i in range(size):
                grad_log[t, i] = grad_h[t, i] * (before[t, i] + drive[t, i]) * (decay[t, i] + np.float32(1.0))
        else:
            for i in range(size):
                grad_log[t, i] = grad_h[t, i] * before[t, i] * (decay[t, i] + np.float32(1.0))


@kernel
def _backward(
    u, dt, A, inverse_A, B, C, D, zoh, checkpoints, grad_y, grad_last,
    grad_u, grad_dt, grad_A, grad_B, grad_C, grad_D, grad_state, first_batch, end_batch,
):  # fmt: skip
    time = u.shape[1]
    states, width = A.shape
    size = states * width
    decay, drive = np.empty((TILE, size), np.float32), np.empty((TILE, size), np.float32)
    grad_h, grad_log = np.empty((TILE, size), np.float32), np.empty((TILE, size), np.float32)
    before = np.empty((TILE + 1, size), np.float32)  # the state before each step of the tile
    adjoint, grad_x = np.empty(size, np.float32), np.empty(width, np.float32)
    for b in range(first_batch, end_batch):
        adjoint[:] = grad_last[b]
        for tile in range((time + TILE - 1) // TILE - 1, -1, -1):
            start = tile * TILE
            steps = min(TILE, time - start)
            _fill_tile(u, dt, A, B, inverse_A, zoh, b, start, steps, decay, drive)
            before[0] = checkpoints[b, tile]
            for t in range(steps):
                if zoh:
                    for i in range(size):
                        before[t + 1, i] = fma(decay[t, i], before[t, i] + drive[t, i], before[t, i])
                else:
                    for i in range(size):
                        before[t + 1, i] = fma(decay[t, i], before[t, i], before[t, i]) + drive[t, i]
            _adjoint_tile(A, inverse_A, B, C, zoh, b, start, steps, grad_y, decay, drive, before, adjoint, grad_h, grad_log)
            for t in range(steps):
                s = start + t
                for d in range(width):
                    grad_u[b, s, d] = D[d] * grad_y[b, s, d]
                    grad_dt[b, s, d] = np.float32(0.0)
                for d in range(width):
                    grad_D[b, d] = fma(grad_y[b, s, d], u[b, s, d], grad_D[b, d])
                for n in range(states):
                    row = n * width
                    b_tn = B[b, s, n]
                    grad_C[b, s, n] = _dot(grad_y[b, s], before[t + 1, row : row + width])
                    if zoh:
                        for d in range(width):
                            grad_x[d] = grad_h[t, row + d] * decay[t, row + d] * inverse_A[n, d]
                        for d in range(width):
                            grad_A[b, row + d] -= grad_x[d] * drive[t, row + d]
                    else:
                        for d in range(width):
                            grad_x[d] = grad_h[t, row + d] * dt[b, s, d]
                        for d in range(width):
                            grad_dt[b, s, d] = fma(grad_h[t, row + d] * b_tn, u[b, s, d], grad_dt[b, s, d])
                    grad_B[b, s, n] = _dot(grad_x, u[b, s])
                    for d in range(width):
                        grad_u[b, s, d] = fma(grad_x[d], b_tn, grad_u[b, s, d])
                    for d in range(width):
                        grad_dt[b, s, d] = fma(grad_log[t, row + d], A[n, d], grad_dt[b, s, d])
                    for d in range(width):
                        grad_A[b, row + d] = fma(grad_log[t, row + d], dt[b, s, d], grad_A[b, row + d])
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
