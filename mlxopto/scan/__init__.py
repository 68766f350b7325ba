"""The recurrences that every network here is made of, as differentiable MLX functions.

`reference` is the definition; `cpu` holds the native kernels with hand-derived gradients. The functions here check shapes
and choose: float32 runs on the native kernels, any other float type on the reference.
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx

from mlxopto.scan import cpu, reference

DISCRETIZATIONS = ("zoh", "euler")


def selective_scan(
    u: mx.array,
    dt: mx.array,
    A: mx.array,
    B: mx.array,
    C: mx.array,
    D: mx.array,
    state: mx.array | None = None,
    discretization: str = "zoh",
) -> tuple[mx.array, mx.array]:
    """The selective state space recurrence (S6), differentiable in every argument, the state included.

    With a = exp(dt[t] A):
        h[t] = a h[t-1] + w B[t] u[t],   y[t] = <C[t], h[t]> + D u[t]
    where w = (a - 1) / A for "zoh", the exact zero-order hold (Gu and Dao 2023, eq. 4), and w = dt[t] for "euler", the
    usual simplification.

    Args:
        u, dt: (batch, time, D), dt positive. A: (D, N), negative. B, C: (batch, time, N). D: (D,).
        state: (batch, D, N), zeros when not given.
    Returns:
        y (batch, time, D) and the state after the last step.
    Raises:
        ValueError: shapes that do not fit, or an unknown discretization.
    """
    if discretization not in DISCRETIZATIONS:
        raise ValueError(f"discretization must be one of {', '.join(DISCRETIZATIONS)}, got {discretization!r}")
    batch, time, width = u.shape
    states = A.shape[-1]
    if state is None:
        state = mx.zeros((batch, width, states), dtype=u.dtype)
    _check(
        dt=(dt, (batch, time, width)),
        A=(A, (width, states)),
        B=(B, (batch, time, states)),
        C=(C, (batch, time, states)),
        D=(D, (width,)),
        state=(state, (batch, width, states)),
    )
    return _backend(u).selective_scan(u, dt, A, B, C, D, state, discretization)


def gru_scan(gates: mx.array, weight: mx.array, bias: mx.array, state: mx.array | None = None) -> tuple[mx.array, mx.array]:
    """The recurrence of a gated recurrent unit (reset after the product, as in Keras, cuDNN and MLX).

        r, z = sigmoid(gates_rz[t] + W_rz h),  n = tanh(gates_n[t] + r (W_n h + bias)),  h[t] = (1 - z) n + z h[t-1]

    Args:
        gates: (batch, time, 3 H), the input's share of the gates, input bias included, in the order r, z, n.
        weight: (3 H, H), the recurrent weights in that order. bias: (H,), inside the reset product.
        state: (batch, H), zeros when not given.
    Returns:
        h (batch, time, H) and the state after the last step.
    Raises:
        ValueError: shapes that do not fit.
    """
    batch, time, _ = gates.shape
    hidden = weight.shape[-1]
    if state is None:
        state = mx.zeros((batch, hidden), dtype=gates.dtype)
    _check(
        gates=(gates, (batch, time, 3 * hidden)),
        weight=(weight, (3 * hidden, hidden)),
        bias=(bias, (hidden,)),
        state=(state, (batch, hidden)),
    )
    return _backend(gates).gru_scan(gates, weight, bias, state)


def one_pole_bank(x: mx.array, rate: mx.array, mix: mx.array, state: mx.array | None = None) -> tuple[mx.array, mx.array]:
    """A weighted sum of one-pole low-pass filters of one signal: y[t] = sum_k mix_k s_k[t], s_k[t] = s_k[t-1] + rate_k (x[t] - s_k[t-1]).

    Args:
        x: (batch, time). rate: (K,), each in (0, 1]. mix: (K,). state: (batch, K), zeros when not given.
    Returns:
        y (batch, time) and the state after the last step.
    Raises:
        ValueError: shapes that do not fit.
    """
    batch, _ = x.shape
    (poles,) = rate.shape
    if state is None:
        state = mx.zeros((batch, poles), dtype=x.dtype)
    _check(mix=(mix, (poles,)), state=(state, (batch, poles)))
    return _backend(x).one_pole_bank(x, rate, mix, state)


def _backend(array: mx.array) -> Any:
    return cpu if array.dtype == mx.float32 else reference


def _check(**arrays: tuple[mx.array, tuple[int, ...]]) -> None:
    for name, (array, shape) in arrays.items():
        if array.shape != shape:
            raise ValueError(f"{name} must have the shape {shape}, got {array.shape}")
