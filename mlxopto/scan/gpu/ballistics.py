"""Attack and release on the GPU: a thread a lane, because which of the two applies depends on the step before."""

from __future__ import annotations

import mlx.core as mx

from mlxopto.scan.gpu.launch import SIMD, Kernel, launch
from mlxopto.scan.gpu.sizes import AHEAD

_FORWARD = Kernel("ballistics_forward", ("u", "attack", "release", "rise", "fall", "state"), ("e",))
_ADJOINT = Kernel(
    "ballistics_adjoint",
    ("u", "attack", "release", "rise", "fall", "state", "e", "grad_e"),
    ("grad_u", "grad_attack", "grad_release", "grad_rise", "grad_fall", "grad_state"),
)


def _groups(u: mx.array) -> tuple[int, int]:
    return -(-u.shape[2] // SIMD), u.shape[0]


@mx.custom_function
def _scan(u, attack, release, rise, fall, state):
    (e,) = launch(_FORWARD, (u, attack, release, rise, fall, state), [u.shape], _groups(u), SIMD, K=u.shape[2], AHEAD=AHEAD)
    return e


@_scan.vjp
def _scan_vjp(primals, grad_e, e):
    u, *rates, state = primals
    shapes = [u.shape, *(rate.shape for rate in rates), state.shape]
    return tuple(launch(_ADJOINT, (*primals, e, grad_e), shapes, _groups(u), SIMD, K=u.shape[2], AHEAD=AHEAD))


def ballistics_scan(u, attack, release, rise, fall, state):
    """See `mlxopto.scan.ballistics_scan`; float32 only, all arguments needed."""
    if not u.shape[1]:
        return u, state
    e = _scan(u, attack, release, rise, fall, state)
    return e, e[:, -1]
