"""The long short-term memory on the GPU, divided between kernels and products as the gated recurrent unit."""

from __future__ import annotations

import mlx.core as mx

from mlxopto.scan.gpu.launch import Kernel, launch
from mlxopto.scan.gpu.sizes import AHEAD, group

_FORWARD = Kernel("lstm_forward", ("gates", "weight", "state", "cell"), ("h", "c"))
_ADJOINT = Kernel(
    "lstm_adjoint",
    ("grad_h", "grad_cell", "weight", "factors", "slope", "forget"),
    ("adjoint", "grad_state", "grad_first"),
)


@mx.custom_function
def _scan(gates, weight, state, cell):
    batch, time, _ = gates.shape
    hidden = state.shape[1]
    shapes = [(batch, time, hidden)] * 2
    h, c = launch(_FORWARD, (gates, weight, state, cell), shapes, (batch, 1), group(4 * hidden), H=hidden, AHEAD=AHEAD)
    return h, c


@_scan.vjp
def _scan_vjp(primals, cotangents, outputs):
    gates, weight, state, cell = primals
    grad_h, grad_c = cotangents  # of c only the last step leaves `lstm_scan`
    h, c = outputs
    hidden = state.shape[1]
    before = mx.concatenate([state[:, None], h[:, :-1]], axis=1)
    i, f, g, o = mx.split(gates + before @ weight.T, 4, axis=-1)
    i, f, g, o = mx.sigmoid(i), mx.sigmoid(f), mx.tanh(g), mx.sigmoid(o)
    cells = mx.concatenate([cell[:, None], c[:, :-1]], axis=1)
    out = mx.tanh(c)
    factors = mx.concatenate([g * i * (1 - i), cells * f * (1 - f), i * (1 - mx.square(g)), out * o * (1 - o)], axis=-1)
    adjoint, grad_state, grad_cell = launch(
        _ADJOINT, (grad_h, grad_c[:, -1], weight, factors, o * (1 - mx.square(out)), f),
        [gates.shape, state.shape, cell.shape], (len(h), 1), group(4 * hidden), H=hidden, AHEAD=AHEAD,
    )  # fmt: skip
    grad_weight = adjoint.reshape(-1, 4 * hidden).T @ before.reshape(-1, hidden)
    return adjoint, grad_weight, grad_state, grad_cell


def lstm_scan(gates, weight, state, cell):
    """See `mlxopto.scan.lstm_scan`; float32 only."""
    if not gates.shape[1]:
        return gates[..., : state.shape[1]], (state, cell)
    h, c = _scan(gates, weight, state, cell)
    return h, (h[:, -1], c[:, -1])
