"""The selective scan on the GPU: parallel over batch, channels, states and chunks of time.

Forward: each chunk's own share of the state, a carry over the chunks, then the outputs. Backward: the same for the gradient by
the state, from the end, with the states computed again from those kept at every KEEP-th step.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import mlx.core as mx

from mlxopto.scan.gpu.carry import carry
from mlxopto.scan.gpu.launch import Kernel, launch
from mlxopto.scan.gpu.sizes import AHEAD, KEEP, STATES, TILE, chunk_length, group, lanes

_LOCAL = Kernel("selective_local", ("u", "dt", "A", "B"), ("local", "span"), ("u", "dt", "B"))
_OUTPUTS = Kernel(
    "selective_outputs",
    ("u", "dt", "A", "B", "C", "skip", "edges"),
    ("y", "last", "kept"),
    ("u", "dt", "B", "C", "y"),
)
_ADJOINT = Kernel("selective_adjoint", ("dt", "A", "C", "grad_y"), ("local", "span"), ("dt", "C", "grad_y"))
_GRADIENTS = Kernel(
    "selective_gradients",
    ("u", "dt", "A", "B", "C", "skip", "kept", "grad_y", "edges"),
    ("grad_u", "grad_dt", "grad_A", "grad_B", "grad_C", "grad_skip", "grad_state"),
    ("u", "dt", "B", "C", "grad_y", "grad_u", "grad_dt", "grad_B", "grad_C"),
)


@cache
def _operation(discretization: str) -> Any:
    zoh = discretization == "zoh"

    @mx.custom_function
    def scan(u, dt, A, B, C, D, state):
        return tuple(_forward(zoh, u, dt, A, B, C, D, state))

    @scan.vjp
    def scan_vjp(primals, cotangents, outputs):
        grad_y, grad_last, _ = cotangents
        return tuple(_backward(zoh, *primals[:6], outputs[2], grad_y, grad_last))

    return scan


def _plan(u, A):
    """Chunks, threads a group, the shapes of what a chunk adds, and the constants that all kernels take."""
    batch, time, width = u.shape
    states = A.shape[1]
    threads = group(width * lanes(states))
    length = chunk_length(time, batch * threads)
    chunks = -(-time // length)
    added = [(batch, chunks - 1, width, states), (batch, chunks - 1, width)]
    return chunks, threads, added, {"D": width, "N": states, "LANES": lanes(states), "STATES": STATES, "CHUNK": length}


def _forward(zoh, u, dt, A, B, C, D, state):
    batch, time, _ = u.shape
    chunks, threads, added, sizes = _plan(u, A)
    if chunks > 1:
        local, span = launch(_LOCAL, (u, dt, A, B), added, (chunks - 1, batch), threads, u.dtype, **sizes, ZOH=zoh)
        edges = carry(local, span, A, state, reverse=False)
    else:
        edges = state[:, None]
    shapes = [u.shape, state.shape, (batch, -(-time // KEEP), *A.shape)]
    return launch(
        _OUTPUTS, (u, dt, A, B, C, D, edges), shapes, (chunks, batch), threads, u.dtype,
        **sizes, ZOH=zoh, KEEP=KEEP, AHEAD=AHEAD,
    )  # fmt: skip


def _backward(zoh, u, dt, A, B, C, D, kept, grad_y, grad_last):
    batch = len(u)
    chunks, threads, added, sizes = _plan(u, A)
    if chunks > 1:
        local, span = launch(_ADJOINT, (dt, A, C, grad_y), added, (chunks - 1, batch), threads, u.dtype, **sizes)
        edges = carry(local, span, A, grad_last, reverse=True)
    else:
        edges = grad_last[:, None]
    partial = (batch, chunks, *A.shape)
    shapes = [u.shape, u.shape, partial, B.shape, B.shape, partial[:3], (batch, *A.shape)]
    grad_u, grad_dt, grad_A, grad_B, grad_C, grad_skip, grad_state = launch(
        _GRADIENTS, (u, dt, A, B, C, D, kept, grad_y, edges), shapes, (chunks, batch), threads, u.dtype,
        **sizes, ZOH=zoh, KEEP=KEEP, TILE=TILE,
    )  # fmt: skip
    return grad_u, grad_dt, grad_A.sum((0, 1)), grad_B, grad_C, grad_skip.sum((0, 1)), grad_state


def selective_scan(u, dt, A, B, C, D, state, discretization):
    """See `mlxopto.scan.selective_scan`; u, dt, B, C of one type, float32, float16 or bfloat16, the others float32."""
    time = u.shape[1]
    if not time:
        return u, state
    if time % TILE:  # a step with dt = 0 and u = 0 changes nothing
        u, dt, B, C = (mx.pad(x, [(0, 0), (0, -time % TILE), (0, 0)]) for x in (u, dt, B, C))
    u, dt, B, C = map(mx.contiguous, (u, dt, B, C))  # once, not at every launch; parts of one array are not
    y, last, _ = _operation(discretization)(u, dt, A, B, C, D, state)
    return y[:, :time], last
