"""The bank of one-pole filters on the GPU, by leaky sums in chunks of time; the gradient runs the same sums backwards."""

from __future__ import annotations

from typing import Any

import mlx.core as mx

from mlxopto.scan.gpu.carry import carry
from mlxopto.scan.gpu.launch import Kernel, launch
from mlxopto.scan.gpu.sizes import AHEAD

_LOCAL = Kernel("leaky_local", ("v", "leak"), ("local",))
_SUMS = Kernel("leaky_sums", ("v", "leak", "edges"), ("p",))
_CHUNK = 64  # samples: this runs at the audio rate, there are enough of them
_THREADS = 64


def _run(reverse: bool, v: mx.array, leak: mx.array, start: mx.array) -> mx.array:
    """p[t] = (1 - leak) p[t-1] + v[t] from p = start; in reverse from p[t+1]. v: (batch, time, K), start: (batch, K)."""
    batch, time, poles = v.shape
    chunks = -(-time // _CHUNK)
    sizes: dict[str, Any] = {"K": poles, "CHUNK": _CHUNK, "REVERSE": reverse}
    if chunks > 1:
        groups = (-(-(chunks - 1) * poles // _THREADS), batch)
        (local,) = launch(_LOCAL, (v, leak), [(batch, chunks - 1, poles)], groups, _THREADS, **sizes)
        steps = mx.full((batch, chunks - 1, poles), _CHUNK, mx.float32)
        if reverse:
            steps[:, -1] = time - (chunks - 1) * _CHUNK
        edges = carry(local[..., None], steps, mx.log1p(-leak)[:, None], start[..., None], reverse)[..., 0]
    else:
        edges = start[:, None]
    groups = (-(-chunks * poles // _THREADS), batch)
    (sums,) = launch(_SUMS, (v, leak, edges), [v.shape], groups, _THREADS, **sizes, AHEAD=AHEAD)
    return sums


@mx.custom_function
def _leaky_sums(v, leak, start):
    return _run(False, v, leak, start)


@_leaky_sums.vjp
def _leaky_sums_vjp(primals, grad, sums):
    _, leak, start = primals
    grad_v = _run(True, grad, leak, mx.zeros_like(start))
    before = mx.concatenate([start[:, None], sums[:, :-1]], axis=1)
    return grad_v, -(grad_v * before).sum((0, 1)), (1 - leak) * grad_v[:, 0]


def one_pole_bank(x, rate, mix, state):
    """See `mlxopto.scan.one_pole_bank`; float32 only."""
    if not x.shape[1]:
        return x, state
    states = _leaky_sums(x[..., None] * rate, rate, state)
    return (states * mix).sum(-1), states[:, -1]
