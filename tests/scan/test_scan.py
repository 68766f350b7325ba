"""The recurrences: native kernels against float64 recurrences in numpy, gradients against finite differences and MLX's own."""

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlxopto import scan
from mlxopto.scan import cpu, gpu, reference
from tests.scan.recurrences import (
    NAMES,
    OVER_TIME,
    Arrays,
    arguments,
    exact_gradients,
    flat,
    gradients,
    in_numpy,
    keywords,
    relative,
    single,
)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(NAMES), st.integers(1, 5), st.integers(1, 100), st.integers(1, 20), st.integers(1, 9),
    st.sampled_from(scan.DISCRETIZATIONS), st.integers(0, 99),
)  # fmt: skip
def test_native_kernels_agree_with_float64(name, batch, time, width, states, discretization, seed):
    args = arguments(name, batch, time, width, states, seed)
    ours = flat(getattr(scan, name)(*single(args), **keywords(name, discretization)))
    for a, b in zip(ours, in_numpy(name, args, discretization), strict=True):
        assert relative(a, b) < 1e-5


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("discretization", scan.DISCRETIZATIONS)
def test_the_reference_agrees_with_float64(name, discretization):
    args = arguments(name, 2, 30, 5, 4)
    outputs = getattr(reference, name)(*(mx.array(a, dtype=mx.float64) for a in args), **keywords(name, discretization))
    for ours, theirs in zip(flat(outputs), in_numpy(name, args, discretization), strict=True):
        # MLX computes the sigmoid of a float64 to 1e-8, exponentials and cosines to 1e-7, which the recurrence adds up
        assert relative(ours, theirs) < (3e-6 if name == "diagonal_scan" else 1e-7)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("discretization", scan.DISCRETIZATIONS)
@pytest.mark.parametrize("time", [1, 31, 32, 33, 100])
def test_every_gradient_agrees_with_mlx_differentiating_the_reference(name, discretization, time):
    args = arguments(name, 3, time, 6, 5)
    ours = gradients(getattr(cpu, name), single(args), **keywords(name, discretization))
    for position, (a, b) in enumerate(zip(ours, exact_gradients(name, args, discretization), strict=True)):
        assert relative(a, b) < 1e-5, f"argument {position}"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("discretization", scan.DISCRETIZATIONS)
def test_every_gradient_agrees_with_finite_differences_in_float64(name, discretization):
    args = arguments(name, 2, 12, 3, 2)
    found = gradients(getattr(scan, name), single(args), **keywords(name, discretization))

    def total(values: Arrays) -> float:
        y, *last = in_numpy(name, values, discretization)
        return float(np.sin(y).sum() + sum((state * np.cos(state)).sum() for state in last))

    rng = np.random.default_rng(5)
    for position, gradient in enumerate(found):
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
    whole, *last = flat(getattr(scan, name)(*args))
    parts, at = [], 0
    for length in pieces:
        part = [a[:, at : at + length] if i in OVER_TIME.get(name, (0,)) else a for i, a in enumerate(args)]
        y, *states = flat(getattr(scan, name)(*part))
        args[-len(states) :] = states
        parts.append(y)
        at += length
    tolerance = 1e-6 if name == "diagonal_scan" else 0  # its states are float64 inside a call and float32 between calls
    for a, b in zip([mx.concatenate(parts, axis=1), *states], [whole, *last], strict=True):
        assert relative(a, np.array(b)) <= tolerance


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16])
def test_half_precision_keeps_its_type_and_a_state_in_float32(name, dtype):
    halves = [a.astype(dtype) for a in single(arguments(name, 2, 40, 5, 4))]
    y, *last = flat(getattr(scan, name)(*halves))
    assert y.dtype == dtype
    assert all(state.dtype == mx.float32 for state in last)
    exact = in_numpy(name, [np.array(a.astype(mx.float32), np.float64) for a in halves])
    assert relative(y.astype(mx.float32), exact[0]) < (1e-3 if dtype == mx.float16 else 8e-3)  # half a unit in the last place
    for a, b in zip(last, exact[1:], strict=True):
        assert relative(a, b) < 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_state_is_a_state_of_zeros(name):
    args = single(arguments(name, 2, 9, 4, 3))
    states = 2 if name == "lstm_scan" else 1
    y, _ = getattr(scan, name)(*args[:-states])
    zero, _ = getattr(scan, name)(*args[:-states], *(mx.zeros_like(a) for a in args[-states:]))
    assert mx.array_equal(y, zero)


@pytest.mark.parametrize("name", NAMES)
def test_no_time_at_all_gives_nothing_and_keeps_the_state(name):
    args = single(arguments(name, 2, 0, 4, 3))
    y, *last = flat(getattr(scan, name)(*args))
    assert y.shape[1] == 0
    for a, b in zip(last, args[-len(last) :], strict=True):
        assert mx.array_equal(a, b)


def samples(request: pytest.FixtureRequest) -> int:
    """Ten seconds, or one in the small form: the reference takes its time."""
    return 48_000 if request.config.getoption("--small") else 480_000


@pytest.mark.slow
def test_selective_scan_does_not_drift_over_ten_seconds_of_samples(request):
    u, dt, a, b, c, d, h = arguments("selective_scan", 1, samples(request), 2, 3)
    dt *= 1e-3  # time constants of thousands of steps, where float32 would lose exp(x) - 1
    y, last = scan.selective_scan(*single([u, dt, a, b, c, d, h]))
    y64, last64 = in_numpy("selective_scan", [u, dt, a, b, c, d, h])
    assert relative(y, y64) < 1e-4
    assert relative(last, last64) < 1e-4


def test_diagonal_scan_and_its_convolution_do_not_drift_over_a_second_of_samples():
    """Time constants of ten seconds and a tone: float32 factors would turn away by milliradians."""
    args = [np.random.default_rng(0).standard_normal((1, 48_000, 1)), np.full((1, 2), 2e-6), np.array([[0.0, 0.0123]])]
    args = [np.float64(np.float32(a)) for a in [*args, np.full((1, 2, 2), 0.5), np.zeros((1, 1, 2, 2))]]
    exact = in_numpy("diagonal_scan", args)[0]
    assert relative(scan.diagonal_scan(*single(args))[0], exact) < 1e-5
    assert relative(gpu.diagonal_scan(*single(args))[0], exact) < 1e-4


@pytest.mark.slow
def test_gru_scan_does_not_drift_over_ten_seconds_of_samples(request):
    args = arguments("gru_scan", 1, samples(request), 2, 1)
    y, _ = scan.gru_scan(*single(args))
    assert relative(y, in_numpy("gru_scan", args)[0]) < 1e-4


def test_gru_scan_is_mlx_nn_gru():
    import mlx.nn as nn

    layer = nn.GRU(5, 4)
    x = mx.random.normal((3, 20, 5))
    h, _ = scan.gru_scan(x @ layer.Wx.T + layer.b, layer.Wh, layer.bhn)
    assert relative(h, np.array(layer(x))) < 1e-5


def test_lstm_scan_is_mlx_nn_lstm():
    import mlx.nn as nn

    layer = nn.LSTM(5, 4)
    x = mx.random.normal((3, 20, 5))
    h, (_, cell) = scan.lstm_scan(x @ layer.Wx.T + layer.bias, layer.Wh)
    theirs, cells = layer(x)
    assert relative(h, np.array(theirs)) < 1e-5
    assert relative(cell, np.array(cells[:, -1])) < 1e-5


def test_results_do_not_depend_on_the_number_of_cores(monkeypatch):
    args = single(arguments("selective_scan", 6, 50, 8, 4))

    def everything():
        return [np.array(g) for g in gradients(scan.selective_scan, args)]

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
