"""Sixteen, eight and four lanes compute what a scalar computes, to the bit, and all what numpy computes in float64."""

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlxopto.native import arithmetic, memory, vector

FUNCTIONS = {
    "exp": (arithmetic.exp, np.exp, -80, 80),
    "expm1": (arithmetic.expm1, np.expm1, -80, 80),
    "exp2m1": (arithmetic.exp2m1, lambda x: np.expm1(x * np.log(2)), -120, 0),
    "log": (arithmetic.log, np.log, 1e-30, 1e30),
    "softplus": (arithmetic.softplus, lambda x: np.logaddexp(0, x), -80, 80),
    "sigmoid": (arithmetic.sigmoid, lambda x: 1 / (1 + np.exp(-x)), -80, 80),
    "tanh": (arithmetic.tanh, np.tanh, -30, 30),
}


def lanes_and_scalars(function):
    @numba.njit(error_model="numpy")
    def lanes(x, y):
        memory.store(y, 0, function(memory.load(x, 0)))
        memory.store(y, 16, function(memory.load_eight(x, 0)))
        memory.store(y, 24, function(memory.load_four(x, 0)))

    @numba.njit(error_model="numpy")
    def scalars(x, y):
        for i in range(16):
            y[i] = function(x[i])

    return lanes, scalars


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_lanes_are_scalars_and_near_float64(name):
    function, exact, low, high = FUNCTIONS[name]
    lanes, scalars = lanes_and_scalars(function)
    rng = np.random.default_rng(0)
    points = rng.uniform(low, high, (500, 16)) if name != "log" else np.exp(rng.uniform(np.log(low), np.log(high), (500, 16)))
    small = (
        rng.uniform(-1, 1, (500, 16)) * 10 ** rng.uniform(-6, 0, (500, 1)) if low < 0 else 1 + rng.uniform(-0.4, 0.4, (500, 16))
    )
    if high == 0:
        small = -np.abs(small)
    a, b = np.empty(28, np.float32), np.empty(16, np.float32)
    for row in np.concatenate([points, small]).astype(np.float32):
        lanes(row, a)
        scalars(row, b)
        np.testing.assert_array_equal(a, np.concatenate([b, b[:8], b[:4]]))
        np.testing.assert_allclose(b, exact(row.astype(np.float64)), rtol=4e-7, atol=1e-37)


@numba.njit
def _folds(x, out):
    v = memory.load(x, 3)
    out[0], out[1], out[2] = vector.sum_lanes(v), vector.largest_lane(v), vector.last_lane(v)
    out[3], out[4] = vector.sum_lanes(memory.load_eight(x, 3)), vector.sum_lanes(memory.load_four(x, 3))
    memory.store(out, 5, vector.sum_fours(v))
    memory.store(out, 9, vector.keep_between(v, np.float32(0.5), np.float32(2.0)))
    memory.store(out, 25, vector.later(v, 1))
    memory.store(out, 41, vector.later(v, 8))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-4, 4, width=32), min_size=19, max_size=19))
def test_folds_and_choices(values):
    x, out = np.array(values, np.float32), np.zeros(57, np.float32)
    _folds(x, out)
    v = x[3:]
    assert out[0] == pytest.approx(v.astype(np.float64).sum(), abs=1e-5)
    assert out[1] == v.max()
    assert out[2] == v[15]
    sums = [v[:8].sum(), v[:4].sum(), *v.reshape(4, 4).sum(axis=1)]
    np.testing.assert_allclose(out[3:9], sums, atol=1e-5)
    np.testing.assert_array_equal(out[9:25], np.where((np.abs(v) >= 0.5) & (np.abs(v) <= 2), v, 0))
    np.testing.assert_array_equal(out[25:41], [0, *v[:15]])
    np.testing.assert_array_equal(out[41:], [*[0] * 8, *v[:8]])


def test_vectors_of_different_sizes_do_not_mix():
    @numba.njit
    def mixed(x):
        memory.store(x, 0, vector.fma(memory.load(x, 0), memory.load_eight(x, 0), np.float32(1.0)))

    with pytest.raises(numba.TypingError):
        mixed(np.zeros(16, np.float32))
