"""The recurrences: native kernels against float64 recurrences in numpy, gradients against finite differences and MLX's own."""

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlxopto import scan
from mlxopto.scan import cpu, reference

NAMES = ("selective_scan", "gru_scan", "one_pole_bank")
Arrays = list[np.ndarray]


def arguments(name: str, batch: int, time: int, width: int, states: int, seed: int = 0) -> Arrays:
    """Random arguments in float64, in ranges that networks use."""
    rng = np.random.default_rng(seed)
    normal = rng.standard_normal
    if name == "selective_scan":
        return [
            normal((batch, time, width)), np.exp(normal((batch, time, width)) - 3), -np.exp(normal((width, states))),
            normal((batch, time, states)), normal((batch, time, states)), normal(width), normal((batch, width, states)),
        ]  # fmt: skip
    if name == "gru_scan":
        return [normal((batch, time, 3 * width)), 0.5 * normal((3 * width, width)), normal(width), normal((batch, width))]
    return [normal((batch, time)), 1 / (1 + np.exp(-normal(states))), normal(states), normal((batch, states))]


def in_numpy(name: str, args: Arrays, discretization: str = "zoh") -> tuple[np.ndarray, np.ndarray]:
    """The recurrences once more, written straight from their formulas."""
    y = []
    if name == "selective_scan":
        u, dt, a, b, c, d, h = args
        for t in range(u.shape[1]):
            decay = np.exp(dt[:, t, :, None] * a)
            gain = (decay - 1) / a if discretization == "zoh" else dt[:, t, :, None]
            h = decay * h + gain * b[:, t, None, :] * u[:, t, :, None]
            y.append(np.einsum("bn,bdn->bd", c[:, t], h) + d * u[:, t])
    elif name == "gru_scan":
        gates, weight, bias, h = args
        for t in range(gates.shape[1]):
            gr, gz, gn = np.split(gates[:, t], 3, axis=-1)
            hr, hz, hn = np.split(h @ weight.T, 3, axis=-1)
            r, z = 1 / (1 + np.exp(-gr - hr)), 1 / (1 + np.exp(-gz - hz))
            h = (1 - z) * np.tanh(gn + r * (hn + bias)) + z * h
            y.append(h)
    else:
        x, rate, mix, h = args
        for t in range(x.shape[1]):
            h = (1 - rate) * h + rate * x[:, t, None]
            y.append(h @ mix)
    return np.stack(y, axis=1), h


def single(args: Arrays) -> list[mx.array]:
    return [mx.array(a.astype(np.float32)) for a in args]


def keywords(name: str, discretization: str) -> dict[str, str]:
    return {"discretization": discretization} if name == "selective_scan" else {}


def relative(a: mx.array | np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(np.array(a) - b).max() / max(1.0, np.abs(b).max()))


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(NAMES), st.integers(1, 5), st.integers(1, 100), st.integers(1, 20), st.integers(1, 9),
    st.sampled_from(scan.DISCRETIZATIONS), st.integers(0, 99),
)  # fmt: skip
def test_native_kernels_agree_with_float64(name, batch, time, width, states, discretization, seed):
    args = arguments(name, batch, time, width, states, seed)
    y, last = getattr(scan, name)(*single(args), **keywords(name, discretization))
    y64, last64 = in_numpy(name, args, discretization)
    assert relative(y, y64) < 1e-5
    assert relative(last, last64) < 1e-5


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("discretization", scan.DISCRETIZATIONS)
def test_the_reference_agrees_with_float64(name, discretization):
    args = arguments(name, 2, 30, 5, 4)
    outputs = getattr(reference, name)(*(mx.array(a, dtype=mx.float64) for a in args), **keywords(name, discretization))
    for ours, theirs in zip(outputs, in_numpy(name, args, discretization), strict=True):
        assert relative(ours, theirs) < 1e-7  # MLX computes the sigmoid of a float64 to about 1e-8


def weighed_sum(outputs) -> mx.array:
    """A scalar that hears every output, the state too, with different weights."""
    y, last = outputs
    return mx.sin(y).sum() + (last * mx.cos(last)).sum()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("discretization", scan.DISCRETIZATIONS)
@pytest.mark.parametrize("time", [1, 31, 32, 33, 100])
def test_every_gradient_agrees_with_mlx_differentiating_the_reference(name, discretization, time):
    args = arguments(name, 3, time, 6, 5)
    every = tuple(range(len(args)))
    extra = keywords(name, discretization)
    native = mx.grad(
        lambda *a: weighed_sum(getattr(cpu, name)(*a, **{"discretization": "zoh", **extra} if extra else {})), every
    )
    exact = mx.grad(lambda *a: weighed_sum(getattr(reference, name)(*a, **extra)), every)
    ours, theirs = native(*single(args)), exact(*(mx.array(a, dtype=mx.float64) for a in args))
    for position, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        assert relative(a, np.array(b)) < 1e-5, f"argument {position}"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("discretization", scan.DISCRETIZATIONS)
def test_every_gradient_agrees_with_finite_differences_in_float64(name, discretization):
    args = arguments(name, 2, 12, 3, 2)
    every = tuple(range(len(args)))
    extra = keywords(name, discretization)
    gradients = mx.grad(lambda *a: weighed_sum(getattr(scan, name)(*a, **extra)), every)(*single(args))

    def total(values: Arrays) -> float:
        y, last = in_numpy(name, values, discretization)
        return float(np.sin(y).sum() + (last * np.cos(last)).sum())

    rng = np.random.default_rng(5)
    for position, gradient in enumerate(gradients):
        direction = rng.standard_normal(args[position].shape)
        ends = []
        for step in (1e-6, -1e-6):
            moved = list(args)
            moved[position] = args[position] + step * direction
            ends.append(total(moved))
        expected = (ends[0] - ends[1]) / 2e-6
        assert float((np.array(gradient) * direction).sum()) == pytest.approx(expected, rel=1e-4, abs=1e-4)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(NAMES), st.lists(st.integers(1, 40), min_size=1, max_size=6))
def test_a_scan_in_pieces_is_the_scan_in_one(name, pieces):
    args = single(arguments(name, 2, sum(pieces), 7, 3))
    over_time = (0, 1, 3, 4) if name == "selective_scan" else (0,)
    whole, last = getattr(scan, name)(*args)
    parts, at = [], 0
    for length in pieces:
        part = [a[:, at : at + length] if i in over_time else a for i, a in enumerate(args)]
        y, args[-1] = getattr(scan, name)(*part)
        parts.append(y)
        at += length
    assert mx.array_equal(mx.concatenate(parts, axis=1), whole)
    assert mx.array_equal(args[-1], last)


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_state_is_a_state_of_zeros(name):
    args = single(arguments(name, 2, 9, 4, 3))
    y, _ = getattr(scan, name)(*args[:-1])
    zero, _ = getattr(scan, name)(*args[:-1], mx.zeros_like(args[-1]))
    assert mx.array_equal(y, zero)


@pytest.mark.parametrize("name", NAMES)
def test_no_time_at_all_gives_nothing_and_keeps_the_state(name):
    args = single(arguments(name, 2, 0, 4, 3))
    y, last = getattr(scan, name)(*args)
    assert y.shape[1] == 0
    assert mx.array_equal(last, args[-1])


def test_selective_scan_does_not_drift_over_ten_seconds_of_samples():
    u, dt, a, b, c, d, h = arguments("selective_scan", 1, 480_000, 2, 3)
    dt *= 1e-3  # time constants of thousands of steps, where float32 would lose exp(x) - 1
    y, last = scan.selective_scan(*single([u, dt, a, b, c, d, h]))
    y64, last64 = in_numpy("selective_scan", [u, dt, a, b, c, d, h])
    assert relative(y, y64) < 1e-4
    assert relative(last, last64) < 1e-4


def test_gru_scan_does_not_drift_over_ten_seconds_of_samples():
    args = arguments("gru_scan", 1, 480_000, 2, 1)
    y, _ = scan.gru_scan(*single(args))
    assert relative(y, in_numpy("gru_scan", args)[0]) < 1e-4


def test_gru_scan_is_mlx_nn_gru():
    import mlx.nn as nn

    layer = nn.GRU(5, 4)
    x = mx.random.normal((3, 20, 5))
    h, _ = scan.gru_scan(x @ layer.Wx.T + layer.b, layer.Wh, layer.bhn)
    assert relative(h, np.array(layer(x))) < 1e-5


def test_results_do_not_depend_on_the_number_of_cores(monkeypatch):
    args = single(arguments("selective_scan", 6, 50, 8, 4))

    def everything():
        gradients = mx.grad(lambda *a: weighed_sum(scan.selective_scan(*a)), tuple(range(7)))(*args)
        return [np.array(g) for g in gradients]

    many = everything()
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    for a, b in zip(many, everything(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_shapes_that_do_not_fit_are_named():
    args = single(arguments("selective_scan", 2, 9, 4, 3))
    args[3] = args[3][:, :5]
    with pytest.raises(ValueError, match=r"B must have the shape \(2, 9, 3\), got \(2, 5, 3\)"):
        scan.selective_scan(*args)
    with pytest.raises(ValueError, match="discretization must be one of zoh, euler"):
        scan.selective_scan(*single(arguments("selective_scan", 2, 9, 4, 3)), discretization="bilinear")
