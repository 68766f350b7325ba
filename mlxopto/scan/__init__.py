"""The recurrences that every network here is made of, as differentiable MLX functions.

`reference` is the definition; `cpu` and `gpu` hold kernels with hand-derived gradients. The functions here check shapes and
choose a back end:

- float64 runs on the reference;
- otherwise the kernels of MLX's current device run: `gpu` on Apple silicon and NVIDIA, `cpu` elsewhere;
- the environment variable MLXOPTO_SCAN, one of reference, cpu, gpu, forces one, for debugging.

A GPU kernel that does not run here, gives wrong numbers or has no room for the sizes is told once, and the CPU's runs instead;
inside `mx.compile` that cannot be, because the CPU's kernels read their arrays.

Inputs in float16 and bfloat16 give outputs of their type; weights and states are computed and handed out in float32.
"""

from __future__ import annotations

import math
import os
import warnings
from functools import cache
from types import ModuleType
from typing import Any

import mlx.core as mx

from mlxopto.errors import Notice, RequestError
from mlxopto.scan import cpu, gpu, reference

DISCRETIZATIONS = ("zoh", "euler")
BACKENDS = {"reference": reference, "cpu": cpu, "gpu": gpu}
_HALF = (mx.float16, mx.bfloat16)


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
        state = mx.zeros((batch, width, states), dtype=_state_type(u))
    _check(
        dt=(dt, (batch, time, width)),
        A=(A, (width, states)),
        B=(B, (batch, time, states)),
        C=(C, (batch, time, states)),
        D=(D, (width,)),
        state=(state, (batch, width, states)),
    )
    backend = _backend("selective_scan", u, width, states)
    dtype = u.dtype
    if dtype in _HALF:
        A, D, state = _to_float32(A, D, state)
        u, dt, B, C = (x.astype(dtype) for x in (u, dt, B, C)) if backend is gpu else _to_float32(u, dt, B, C)
    y, state = backend.selective_scan(u, dt, A, B, C, D, state, discretization)
    return y.astype(dtype), state


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
        state = mx.zeros((batch, hidden), dtype=_state_type(gates))
    _check(
        gates=(gates, (batch, time, 3 * hidden)),
        weight=(weight, (3 * hidden, hidden)),
        bias=(bias, (hidden,)),
        state=(state, (batch, hidden)),
    )
    return _in_float32("gru_scan", hidden, gates, weight, bias, state)


def lstm_scan(
    gates: mx.array, weight: mx.array, state: mx.array | None = None, cell: mx.array | None = None
) -> tuple[mx.array, tuple[mx.array, mx.array]]:
    """The recurrence of a long short-term memory, as in Keras, cuDNN and MLX.

        i, f, o = sigmoid(gates_ifo[t] + W_ifo h[t-1]),  g = tanh(gates_g[t] + W_g h[t-1])
        c[t] = f c[t-1] + i g,  h[t] = o tanh(c[t])

    Args:
        gates: (batch, time, 4 H), the input's share of the gates, bias included, in the order i, f, g, o.
        weight: (4 H, H), the recurrent weights in that order. state, cell: (batch, H), zeros when not given.
    Returns:
        h (batch, time, H) and the state and cell after the last step.
    Raises:
        ValueError: shapes that do not fit.
    """
    batch, time, _ = gates.shape
    hidden = weight.shape[-1]
    state, cell = (mx.zeros((batch, hidden), dtype=_state_type(gates)) if x is None else x for x in (state, cell))
    _check(
        gates=(gates, (batch, time, 4 * hidden)),
        weight=(weight, (4 * hidden, hidden)),
        state=(state, (batch, hidden)),
        cell=(cell, (batch, hidden)),
    )
    return _in_float32("lstm_scan", hidden, gates, weight, state, cell)


def one_pole_bank(x: mx.array, rate: mx.array, mix: mx.array, state: mx.array | None = None) -> tuple[mx.array, mx.array]:
    """A weighted sum of one-pole low-pass filters of one signal: y[t] = sum_k mix_k s_k[t], s_k[t] = s_k[t-1] + rate_k (x[t] -
    s_k[t-1]).

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
        state = mx.zeros((batch, poles), dtype=_state_type(x))
    _check(mix=(mix, (poles,)), state=(state, (batch, poles)))
    return _in_float32("one_pole_bank", poles, x, rate, mix, state)


def diagonal_scan(
    u: mx.array, decay: mx.array, turns: mx.array, c: mx.array, state: mx.array | None = None
) -> tuple[mx.array, mx.array]:
    """A state space model whose factors do not depend on its input (S4D; Gu et al. 2022), conjugate pairs of states:

        h[t] = exp(-decay + 2 pi i turns) h[t-1] + u[t],   y[t] = 2 Re sum_n c_n h_n[t]

    On a GPU this runs as a long convolution, elsewhere step by step: each is the faster one there.

    Args:
        u: (batch, time, D). decay: (D, N), positive, nepers a step. turns: (D, N), turns a step. c: (D, N, 2), real and
        imaginary. state: (batch, D, N, 2), zeros when not given.
    Returns:
        y (batch, time, D) and the state after the last step.
    Raises:
        ValueError: shapes that do not fit.
    """
    batch, _, channels = u.shape
    states = decay.shape[-1]
    if state is None:
        state = mx.zeros((batch, channels, states, 2), dtype=_state_type(u))
    _check(
        decay=(decay, (channels, states)),
        turns=(turns, (channels, states)),
        c=(c, (channels, states, 2)),
        state=(state, (batch, channels, states, 2)),
    )
    return _in_float32("diagonal_scan", channels, u, decay, turns, c, state)


def ballistics_scan(
    u: mx.array,
    attack: mx.array,
    release: mx.array,
    rise: mx.array | None = None,
    fall: mx.array | None = None,
    state: mx.array | None = None,
) -> tuple[mx.array, mx.array]:
    """Attack and release, what a detector's capacitor does: a one-pole filter that rises at one rate and falls at another,

        e[t] = e[t-1] + (attack if u[t] > e[t-1] else release) (u[t] - e[t-1])

    (Giannoulis, Massberg and Reiss 2012, the branching smooth detector), and by at most `rise` up and `fall` down in a step, as
    a slew limit has it. Its gradient passes through the branch that was taken.

    Args:
        u: (batch, time, K). attack, release: (batch, K), rates a step, each in (0, 1]. rise, fall: (batch, K), positive,
        without
            limit when not given. state: (batch, K), zeros when not given.
    Returns:
        e (batch, time, K) and the state after the last step.
    Raises:
        ValueError: shapes that do not fit.
    """
    batch, _, lanes = u.shape
    if state is None:
        state = mx.zeros((batch, lanes), dtype=_state_type(u))
    rise, fall = (mx.full((batch, lanes), math.inf, state.dtype) if limit is None else limit for limit in (rise, fall))
    given = {"attack": attack, "release": release, "rise": rise, "fall": fall, "state": state}
    _check(**{name: (array, (batch, lanes)) for name, array in given.items()})
    return _in_float32("ballistics_scan", lanes, u, attack, release, rise, fall, state)


def detector_scan(
    key: mx.array,
    average: mx.array,
    attack: mx.array,
    release: mx.array,
    magnitude: mx.array,
    wave: mx.array,
    hop: int,
    floor: float,
    state: mx.array,
) -> tuple[mx.array, mx.array]:
    """The detectors of a side-chain, heard at the end of every frame of `hop` samples.

    Two averages of the squared key go through a one-pole filter twice. Eight detectors rise and fall at two rates each, as in
    `ballistics_scan`: two follow the rectified key, magnitude |x| + wave x, two the roots of the averages + floor, and four the
    squared key, twice, and the averages, + floor.

    Args:
        key: (batch, frames * hop). average: (batch, 2), attack, release: (batch, 8), rates a sample, each in (0, 1].
        magnitude, wave: (2,). floor: positive. state: (batch, 12): averages, averages again, detectors.
    Returns:
        the detectors (batch, frames, 8) and the state after the last sample.
    Raises:
        ValueError: shapes that do not fit.
    """
    batch, samples = key.shape
    if samples % hop:
        raise ValueError(f"key must have whole frames of {hop} samples, got {samples} samples")
    averages, detectors, rectified = reference.AVERAGES, reference.DETECTORS, reference.RECTIFIED
    _check(
        average=(average, (batch, averages)),
        attack=(attack, (batch, detectors)),
        release=(release, (batch, detectors)),
        magnitude=(magnitude, (rectified,)),
        wave=(wave, (rectified,)),
        state=(state, (batch, 2 * averages + detectors)),
    )
    backend = _backend("ballistics_scan", key, detectors)
    return backend.detector_scan(key, average, attack, release, magnitude, wave, hop, floor, state)


def _in_float32(name: str, width: int, *arrays: mx.array) -> tuple[mx.array, Any]:
    """A function of the back end that suits the first array, whose type the first output has; half precision is computed in
    float32.
    """
    dtype = arrays[0].dtype
    backend = _backend(name, arrays[0], width)
    y, state = getattr(backend, name)(*(_to_float32(*arrays) if dtype in _HALF else arrays))
    return y.astype(dtype), state


def forced_backend() -> str | None:
    """The back end that MLXOPTO_SCAN names, or None; raises RequestError if there is none of that name."""
    name = os.environ.get("MLXOPTO_SCAN")
    if name and name not in BACKENDS:
        raise RequestError(f"MLXOPTO_SCAN must be one of {', '.join(BACKENDS)}, got {name}")
    return name or None


def _backend(name: str, x: mx.array, width: int, states: int = 1) -> ModuleType:
    """The back end for a function, its input and its sizes, as the module says; one that cannot run is told once."""
    wanted = forced_backend() or ("gpu" if mx.default_device() == mx.Device(mx.gpu) else "cpu")
    if x.dtype == mx.float64:
        return reference
    if wanted == "gpu":
        obstacle = gpu.obstacle(name) or gpu.unfit(name, x.shape[0], x.shape[1], width, states)
        if obstacle:
            _tell_once(f"{obstacle}; the CPU kernels run instead")
            return cpu
    return BACKENDS[wanted]


@cache
def _tell_once(sentence: str) -> None:
    warnings.warn(sentence, Notice, stacklevel=2)


def _state_type(x: mx.array) -> mx.Dtype:
    return mx.float32 if x.dtype in _HALF else x.dtype


def _to_float32(*arrays: mx.array) -> tuple[mx.array, ...]:
    return tuple(array.astype(mx.float32) for array in arrays)


def _check(**arrays: tuple[mx.array, tuple[int, ...]]) -> None:
    for name, (array, shape) in arrays.items():
        if array.shape != shape:
            raise ValueError(f"{name} must have the shape {shape}, got {array.shape}")
