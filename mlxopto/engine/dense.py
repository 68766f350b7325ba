"""The dense layer as native code: bias and weights, several frames at a time."""

from __future__ import annotations

import numpy as np

from mlxopto.engine.table import float64, padded, padded_rows
from mlxopto.native.compiler import inner
from mlxopto.native.memory import load, load_one, store
from mlxopto.native.vector import LANES, fma
from mlxopto.nn import Dense


def pack(layer: Dense, outputs: int, inputs: int | None = None, halves: int = 1) -> np.ndarray:
    """Bias (outputs,), then weights (inputs, outputs); each half of the outputs is rounded up by itself."""
    weight, bias = float64(layer.weight), float64(layer.bias)
    columns = inputs or weight.shape[1]
    weights = [padded_rows(part, outputs // halves, columns) for part in np.split(weight, halves)]
    biases = [padded(part, outputs // halves) for part in np.split(bias, halves)]
    return joined(np.concatenate(biases), np.concatenate(weights))


def joined(bias: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """What `run` reads, from a bias (outputs,) and weights (outputs, inputs)."""
    return np.concatenate([bias, weight.T.ravel()])


@inner
def run(weights, at, state, x, x_step, inputs, y, y_step, outputs, frames):
    """y[f, o] = bias[o] + sum_i x[f, i] w[i, o], four frames by up to 32 outputs at a time.

    Frame f of x begins at x + f x_step, frame f of y at y + f y_step; up to three frames more are written.
    """
    table = at + outputs
    for f in range(0, frames, 4):
        row, out = x + f * x_step, y + f * y_step
        for o in range(0, outputs - LANES, 2 * LANES):
            a0, b0 = load(weights, at + o), load(weights, at + o + LANES)
            a1, a2, a3 = a0, a0, a0
            b1, b2, b3 = b0, b0, b0
            for i in range(inputs):
                w, u = load(weights, table + i * outputs + o), load(weights, table + i * outputs + o + LANES)
                heard = row + i
                x0, x1 = load_one(state, heard), load_one(state, heard + x_step)
                x2, x3 = load_one(state, heard + 2 * x_step), load_one(state, heard + 3 * x_step)
                a0, a1, a2, a3 = fma(x0, w, a0), fma(x1, w, a1), fma(x2, w, a2), fma(x3, w, a3)
                b0, b1, b2, b3 = fma(x0, u, b0), fma(x1, u, b1), fma(x2, u, b2), fma(x3, u, b3)
            _store_four(state, out + o, y_step, a0, a1, a2, a3)
            _store_four(state, out + o + LANES, y_step, b0, b1, b2, b3)
        if outputs // LANES % 2:
            o = outputs - LANES
            a0 = load(weights, at + o)
            a1, a2, a3 = a0, a0, a0
            for i in range(inputs):
                w = load(weights, table + i * outputs + o)
                heard = row + i
                a0, a1 = fma(load_one(state, heard), w, a0), fma(load_one(state, heard + x_step), w, a1)
                a2, a3 = fma(load_one(state, heard + 2 * x_step), w, a2), fma(load_one(state, heard + 3 * x_step), w, a3)
            _store_four(state, out + o, y_step, a0, a1, a2, a3)


@inner
def _store_four(state, at, step, a0, a1, a2, a3):
    store(state, at, a0)
    store(state, at + step, a1)
    store(state, at + 2 * step, a2)
    store(state, at + 3 * step, a3)
