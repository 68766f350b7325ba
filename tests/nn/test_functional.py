"""Native dense products and gates against MLX's own operations, values and gradients."""

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlxopto.native import arithmetic
from mlxopto.nn import functional

OPERATIONS = {
    "dense": (functional.dense, lambda x, w, b: x @ w.T + b, lambda n, i, o: [(2, n, i), (o, i), (o,)]),
    "softplus": (functional.softplus, nn.softplus, lambda n, i, o: [(2, n, i)]),
    "silu": (functional.silu, nn.silu, lambda n, i, o: [(2, n, i)]),
    "gelu": (functional.gelu, nn.gelu, lambda n, i, o: [(2, n, i)]),
    "silu_gate": (functional.silu_gate, lambda x, g: x * nn.silu(g), lambda n, i, o: [(2, n, i), (2, n, i)]),
    "glu": (functional.glu, nn.glu, lambda n, i, o: [(2, n, 2 * i)]),
}


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(OPERATIONS)), st.integers(1, 50), st.integers(1, 40), st.integers(1, 40))
def test_values_and_gradients_are_those_of_mlx(name, rows, inputs, outputs):
    ours, theirs, shapes = OPERATIONS[name]
    args = [3 * mx.random.normal(shape) for shape in shapes(rows, inputs, outputs)]
    every = tuple(range(len(args)))
    value, gradients = mx.value_and_grad(lambda *a: mx.sin(ours(*a)).sum(), every)(*args)
    expected, expected_gradients = mx.value_and_grad(lambda *a: mx.sin(theirs(*a)).sum(), every)(*args)
    assert float(value) == pytest.approx(float(expected), rel=1e-4, abs=1e-3)
    for a, b in zip(gradients, expected_gradients, strict=True):
        assert float(mx.abs(a - b).max()) <= 1e-4 * max(1.0, float(mx.abs(b).max()))


@pytest.mark.parametrize(
    ("function", "exact", "low", "high"),
    [
        (arithmetic.exp, np.exp, -80, 80),
        (arithmetic.expm1, np.expm1, -80, 80),
        (arithmetic.sigmoid, lambda x: 1 / (1 + np.exp(-x)), -80, 80),
        (arithmetic.tanh, np.tanh, -30, 30),
        (arithmetic.softplus, lambda x: np.logaddexp(0, x), -80, 80),
    ],
)
def test_exponentials_are_accurate_to_float32_rounding(function, exact, low, high):
    import numba

    run = numba.vectorize(["float32(float32)"])(lambda x: function(x))
    x = np.concatenate([np.linspace(low, high, 20001), np.geomspace(1e-7, 1, 2001), -np.geomspace(1e-7, 1, 2001)]).astype(
        np.float32
    )
    expected = exact(x.astype(np.float64))
    relative = np.abs(run(x) - expected) / np.maximum(np.abs(expected), 1e-37)
    assert relative.max() < 4 * np.finfo(np.float32).eps
