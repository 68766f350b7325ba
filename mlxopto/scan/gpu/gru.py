"""The gated recurrent unit on the GPU.

Only what must wait for the step before runs in the kernels, one thread a row of the weights. Backward, the gates of all steps
are computed again at once from the hidden states, and the gradients by weights are one product over all steps.
"""

from __future__ import annotations

import mlx.core as mx

from mlxopto.scan.gpu.launch import Kernel, launch
from mlxopto.scan.gpu.sizes import AHEAD, group

_FORWARD = Kernel("gru_forward", ("gates", "weight", "bias", "state"), ("h",))
_ADJOINT = Kernel("gru_adjoint", ("grad_h", "factors", "hold", "weight"), ("adjoint", "grad_state"))


@mx.custom_function
def _scan(gates, weight, bias, state):
    batch, time, _ = gates.shape
    hidden = bias.size
    (h,) = launch(
        _FORWARD, (gates, weight, bias, state), [(batch, time, hidden)], (batch, 1), group(3 * hidden), H=hidden, AHEAD=AHEAD
    )
    return h


@_scan.vjp
def _scan_vjp(primals, grad_h, h):
    gates, weight, bias, state = primals
    hidden = bias.size
    before = mx.concatenate([state[:, None], h[:, :-1]], axis=1)
    recurrent = before @ weight.T
    r, z = mx.split(mx.sigmoid(gates[..., : 2 * hidden] + recurrent[..., : 2 * hidden]), 2, axis=-1)
    inner = recurrent[..., 2 * hidden :] + bias
    n = mx.tanh(gates[..., 2 * hidden :] + r * inner)
    by_n = (1 - z) * (1 - mx.square(n))
    by_z = (before - n) * z * (1 - z)
    by_r = by_n * inner * r * (1 - r)
    factors = mx.concatenate([by_r, by_z, by_n * r], axis=-1)
    adjoint, grad_state = launch(
        _ADJOINT, (grad_h, factors, z, weight), [h.shape, state.shape],
        (len(h), 1), group(3 * hidden), H=hidden, AHEAD=AHEAD,
    )  # fmt: skip
    by_sums = factors * mx.tile(adjoint, (1, 1, 3))
    grad_gates = mx.concatenate([by_sums[..., : 2 * hidden], by_n * adjoint], axis=-1)
    grad_weight = by_sums.reshape(-1, 3 * hidden).T @ before.reshape(-1, hidden)
    return grad_gates, grad_weight, by_sums[..., 2 * hidden :].sum((0, 1)), grad_state


def gru_scan(gates, weight, bias, state):
    """See `mlxopto.scan.gru_scan`; float32 only."""
    if not gates.shape[1]:
        return gates[..., : bias.size], state
    h = _scan(gates, weight, bias, state)
    return h, h[:, -1]
