"""Arguments for the recurrences, and the recurrences once more in float64, to test every back end by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np

from mlxopto.scan import reference

NAMES = ("selective_scan", "diagonal_scan", "gru_scan", "lstm_scan", "one_pole_bank", "ballistics_scan")
OVER_TIME = {"selective_scan": (0, 1, 3, 4)}  # arguments with a time axis; of the others only the first
KERNELS = tuple(name for name in NAMES if name != "diagonal_scan")  # what has GPU kernels of its own
Arrays = list[np.ndarray]


def arguments(name: str, batch: int, time: int, width: int, states: int, seed: int = 0) -> Arrays:
    """Random arguments in float64, in ranges that networks use, and each a number of float32, so that all back ends get the
    same.
    """
    return [a.astype(np.float32).astype(np.float64) for a in _random(name, batch, time, width, states, seed)]


def _random(name: str, batch: int, time: int, width: int, states: int, seed: int) -> Arrays:
    rng = np.random.default_rng(seed)
    normal = rng.standard_normal
    if name == "selective_scan":
        return [
            normal((batch, time, width)), np.exp(normal((batch, time, width)) - 3), -np.exp(normal((width, states))),
            normal((batch, time, states)), normal((batch, time, states)), normal(width), normal((batch, width, states)),
        ]  # fmt: skip
    if name == "diagonal_scan":
        return [
            normal((batch, time, width)), np.exp(normal((width, states)) - 1.5), normal((width, states)) * 0.3,
            0.1 * normal((width, states, 2)), normal((batch, width, states, 2)),
        ]  # fmt: skip
    if name == "gru_scan":
        return [
            normal((batch, time, 3 * width)),
            normal((3 * width, width)) * width**-0.5,
            normal(width),
            normal((batch, width)),
        ]
    if name == "lstm_scan":
        weight = normal((4 * width, width)) * width**-0.5
        return [normal((batch, time, 4 * width)), weight, normal((batch, width)), normal((batch, width))]
    if name == "ballistics_scan":
        rates = _sigmoid(normal((2, batch, width)) - 1)
        limits = np.exp(normal((2, batch, width)) - 1)  # met by about one step in three
        return [normal((batch, time, width)), *rates, *limits, normal((batch, width))]
    return [normal((batch, time)), 1 / (1 + np.exp(-normal(states))), normal(states), normal((batch, states))]


def in_numpy(name: str, args: Arrays, discretization: str = "zoh") -> Arrays:
    """The outputs, the states after the last step behind them, written straight from the formulas."""
    y = []
    if name == "selective_scan":
        u, dt, a, b, c, d, h = args
        for t in range(u.shape[1]):
            decay = np.exp(dt[:, t, :, None] * a)
            gain = (decay - 1) / a if discretization == "zoh" else dt[:, t, :, None]
            h = decay * h + gain * b[:, t, None, :] * u[:, t, :, None]
            y.append(np.einsum("bn,bdn->bd", c[:, t], h) + d * u[:, t])
        return [np.stack(y, axis=1), h]
    if name == "diagonal_scan":
        u, decay, turns, c, pairs = args
        factor, weight, h = np.exp(-decay + 2j * np.pi * turns), c[..., 0] + 1j * c[..., 1], pairs[..., 0] + 1j * pairs[..., 1]
        for t in range(u.shape[1]):
            h = factor * h + u[:, t, :, None]
            y.append(2 * (weight * h).sum(-1).real)
        return [np.stack(y, axis=1), np.stack([h.real, h.imag], axis=-1)]
    if name == "gru_scan":
        gates, weight, bias, h = args
        for t in range(gates.shape[1]):
            gr, gz, gn = np.split(gates[:, t], 3, axis=-1)
            hr, hz, hn = np.split(h @ weight.T, 3, axis=-1)
            r, z = _sigmoid(gr + hr), _sigmoid(gz + hz)
            h = (1 - z) * np.tanh(gn + r * (hn + bias)) + z * h
            y.append(h)
        return [np.stack(y, axis=1), h]
    if name == "lstm_scan":
        gates, weight, h, c = args
        for t in range(gates.shape[1]):
            i, f, g, o = np.split(gates[:, t] + h @ weight.T, 4, axis=-1)
            c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
            h = _sigmoid(o) * np.tanh(c)
            y.append(h)
        return [np.stack(y, axis=1), h, c]
    if name == "ballistics_scan":
        u, attack, release, rise, fall, e = args
        for t in range(u.shape[1]):
            rising = u[:, t] > e
            wanted = np.where(rising, (1 - attack) * e + attack * u[:, t], (1 - release) * e + release * u[:, t])
            e = np.clip(wanted, e - fall, e + rise)
            y.append(e)
        return [np.stack(y, axis=1), e]
    x, rate, mix, h = args
    for t in range(x.shape[1]):
        h = (1 - rate) * h + rate * x[:, t, None]
        y.append(h @ mix)
    return [np.stack(y, axis=1), h]


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def single(args: Arrays) -> list[mx.array]:
    """In float32, for MLX."""
    return [mx.array(a.astype(np.float32)) for a in args]


def keywords(name: str, discretization: str) -> dict[str, str]:
    """The discretization, for the function that has one."""
    return {"discretization": discretization} if name == "selective_scan" else {}


def flat(outputs: Any) -> list[mx.array]:
    """The outputs, then every array of the state."""
    y, last = outputs
    return [y, *(last if isinstance(last, tuple) else (last,))]


def relative(a: mx.array | np.ndarray, b: np.ndarray) -> float:
    """The largest difference, relative to the largest value or to 1."""
    return float(np.abs(np.array(a) - b).max() / max(1.0, np.abs(b).max()))


def weighed_sum(outputs: Any) -> mx.array:
    """A scalar that hears every output, the states too, with different weights."""
    y, *last = flat(outputs)
    return mx.sin(y).sum() + sum((state * mx.cos(state)).sum() for state in last)


def gradients(function: Callable[..., Any], args: list[mx.array], **extra: str) -> list[mx.array]:
    """Of `weighed_sum` of the function, by every argument."""
    return list(mx.grad(lambda *a: weighed_sum(function(*a, **extra)), tuple(range(len(args))))(*args))


def exact_gradients(name: str, args: Arrays, discretization: str = "zoh") -> Arrays:
    """MLX differentiating the reference in float64."""
    with mx.stream(mx.cpu):
        doubles = [mx.array(a, dtype=mx.float64) for a in args]
        found = gradients(getattr(reference, name), doubles, **keywords(name, discretization))
        return [np.array(gradient) for gradient in found]
