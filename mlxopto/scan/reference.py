"""The recurrences as plain MLX operations: the definition that every other back end is tested against.

Runs on any device and in any float type, is differentiated by MLX itself, and is far too slow to train with.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import mlx.core as mx

AVERAGES, RECTIFIED = 2, 2  # root mean squares and rectifiers that detectors hear
HALF = AVERAGES + RECTIFIED  # of the detectors hear amplitudes, the other half the same as powers
DETECTORS = 2 * HALF


def selective_scan(
    u: mx.array,
    dt: mx.array,
    A: mx.array,
    B: mx.array,
    C: mx.array,
    D: mx.array,
    state: mx.array,
    discretization: str = "zoh",
) -> tuple[mx.array, mx.array]:
    """See `mlxopto.scan.selective_scan`; the state is required here."""
    outputs = []
    for t in range(u.shape[1]):
        step = dt[:, t, :, None]
        decay_minus_one = mx.expm1(step * A)
        drive = B[:, t, None, :] * u[:, t, :, None]
        gain = decay_minus_one / A if discretization == "zoh" else step
        state = state + decay_minus_one * state + gain * drive
        outputs.append((C[:, t, None, :] * state).sum(-1) + D * u[:, t])
    return (mx.stack(outputs, axis=1) if outputs else mx.zeros_like(u)), state


def gru_scan(gates: mx.array, weight: mx.array, bias: mx.array, state: mx.array) -> tuple[mx.array, mx.array]:
    """See `mlxopto.scan.gru_scan`; the state is required here."""
    hidden = state.shape[-1]
    outputs = []
    for t in range(gates.shape[1]):
        recurrent = state @ weight.T
        rz = mx.sigmoid(gates[:, t, : 2 * hidden] + recurrent[:, : 2 * hidden])
        r, z = rz[:, :hidden], rz[:, hidden:]
        n = mx.tanh(gates[:, t, 2 * hidden :] + r * (recurrent[:, 2 * hidden :] + bias))
        state = (1 - z) * n + z * state
        outputs.append(state)
    return (mx.stack(outputs, axis=1) if outputs else gates[:, :, :hidden]), state


def lstm_scan(gates: mx.array, weight: mx.array, state: mx.array, cell: mx.array) -> tuple[mx.array, tuple[mx.array, mx.array]]:
    """See `mlxopto.scan.lstm_scan`; state and cell are required here."""
    outputs = []
    for t in range(gates.shape[1]):
        i, f, g, o = mx.split(gates[:, t] + state @ weight.T, 4, axis=-1)
        cell = mx.sigmoid(f) * cell + mx.sigmoid(i) * mx.tanh(g)
        state = mx.sigmoid(o) * mx.tanh(cell)
        outputs.append(state)
    return (mx.stack(outputs, axis=1) if outputs else gates[..., : state.shape[1]]), (state, cell)


def diagonal_scan(u: mx.array, decay: mx.array, turns: mx.array, c: mx.array, state: mx.array) -> tuple[mx.array, mx.array]:
    """See `mlxopto.scan.diagonal_scan`; the state is required here."""
    a_re, a_im = mx.exp(-decay) * mx.cos(2 * math.pi * turns), mx.exp(-decay) * mx.sin(2 * math.pi * turns)
    re, im = state[..., 0], state[..., 1]
    outputs = []
    for t in range(u.shape[1]):
        re, im = a_re * re - a_im * im + u[:, t, :, None], a_im * re + a_re * im
        outputs.append(2 * (c[..., 0] * re - c[..., 1] * im).sum(-1))
    return (mx.stack(outputs, axis=1) if outputs else u), mx.stack([re, im], axis=-1)


def ballistics_scan(
    u: mx.array, attack: mx.array, release: mx.array, rise: mx.array, fall: mx.array, state: mx.array
) -> tuple[mx.array, mx.array]:
    """See `mlxopto.scan.ballistics_scan`; all arguments are required here."""
    outputs = []
    for t in range(u.shape[1]):
        distance = u[:, t] - state
        state = state + mx.where(distance > 0, mx.minimum(attack * distance, rise), mx.maximum(release * distance, -fall))
        outputs.append(state)
    return (mx.stack(outputs, axis=1) if outputs else u), state


def one_pole_bank(x: mx.array, rate: mx.array, mix: mx.array, state: mx.array) -> tuple[mx.array, mx.array]:
    """See `mlxopto.scan.one_pole_bank`; the state is required here."""
    outputs = []
    for t in range(x.shape[1]):
        state = state + rate * (x[:, t, None] - state)
        outputs.append((mix * state).sum(-1))
    return (mx.stack(outputs, axis=1) if outputs else x), state


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
    ballistics: Callable[..., tuple[mx.array, mx.array]] = ballistics_scan,
) -> tuple[mx.array, mx.array]:
    """See `mlxopto.scan.detector_scan`; the state is required here. Made of `ballistics`, a ballistics scan."""
    once, twice, charged = mx.split(state, [AVERAGES, 2 * AVERAGES], axis=-1)
    rates, limits = (average, average), (mx.full(average.shape, math.inf),) * 2
    square = mx.square(key)[..., None]
    averaged, once = ballistics(mx.broadcast_to(square, (*key.shape, AVERAGES)), *rates, *limits, once)
    averaged, twice = ballistics(averaged, *rates, *limits, twice)
    rectified = mx.abs(key)[..., None] * magnitude + key[..., None] * wave
    powers = mx.concatenate([square] * RECTIFIED + [averaged], axis=-1) + floor
    heard = mx.concatenate([rectified, mx.sqrt(powers[..., RECTIFIED:]), powers], axis=-1)
    limits = (mx.full(attack.shape, math.inf),) * 2
    followed, charged = ballistics(heard, attack, release, *limits, charged)
    return followed[:, hop - 1 :: hop], mx.concatenate([once, twice, charged], axis=-1)
