"""Sixteen lanes compute what a scalar computes, to the bit, and both what numpy computes in float64."""

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlxopto.native import arithmetic, vector

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
        vector.store(y, 0, function(vector.load(x, 0)))

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
    a, b = np.empty(16, np.float32), np.empty(16, np.float32)
    for row in np.concatenate([points, small]).astype(np.float32):
        lanes(row, a)
        scalars(row, b)
        np.testing.assert_array_equal(a, b)
        np.testing.assert_allclose(a, exact(row.astype(np.float64)), rtol=4e-7, atol=1e-37)


@numba.njit
def _folds(x, out):
    v = vector.load(x, 3)
    out[0], out[1] = vector.sum_lanes(v), vector.largest_lane(v)
    vector.store(out, 2, vector.keep_between(v, np.float32(0.5), np.float32(2.0)))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-4, 4, width=32), min_size=19, max_size=19))
def test_folds_and_choices(values):
    x, out = np.array(values, np.float32), np.zeros(18, np.float32)
    _folds(x, out)
    v = x[3:]
    assert out[0] == pytest.approx(v.astype(np.float64).sum(), abs=1e-5)
    assert out[1] == v.max()
    np.testing.assert_array_equal(out[2:], np.where((np.abs(v) >= 0.5) & (np.abs(v) <= 2), v, 0))
