"""The gated FiLM as native code; what its affine layer gives comes with the modulations."""

from __future__ import annotations

import numpy as np

from mlxopto.engine import dense
from mlxopto.engine.table import Affine, Source, float64, padded, padded_rows
from mlxopto.native.arithmetic import sigmoid
from mlxopto.native.compiler import inner
from mlxopto.native.memory import load, store
from mlxopto.native.vector import LANES, fma, maximum
from mlxopto.nn import GatedFiLM

_SHUT = np.float32(-40.0)  # gates close no further, so that what they let through does not become subnormal


def pack(layer: GatedFiLM, lanes: int) -> np.ndarray:
    """The gate."""
    return dense.pack(layer.gate, 2 * lanes, inputs=lanes, halves=2)


def modulation(layer: GatedFiLM, source: Source) -> Affine:
    """What the knobs set: shift (lanes,), then 1 + scale (lanes,)."""
    lanes, conditions = source.lanes, source.conditions
    scale, shift = np.split(float64(layer.film.affine.weight), 2)
    scale_bias, shift_bias = np.split(float64(layer.film.affine.bias), 2)
    weight = np.concatenate([padded_rows(part, lanes, conditions) for part in (shift, scale)])
    return weight, np.concatenate([padded(shift_bias, lanes), padded(1 + scale_bias, lanes)])


@inner
def run(plan, v, weights, at, state, modulations, mod_step, frames):
    """h += glu(gate((h + shift) scale)), (frames, lanes); shift, then scale, (lanes,), of frame f at modulations + f step."""
    lanes = plan.lanes
    for f in range(frames):
        for o in range(0, lanes, LANES):
            mod = modulations + f * mod_step + o
            store(
                state, v.bent + f * lanes + o, (load(state, v.h + f * lanes + o) + load(state, mod)) * load(state, mod + lanes)
            )
    dense.run(weights, at, state, v.bent, lanes, lanes, v.wide, 2 * lanes, 2 * lanes, frames)
    for f in range(frames):
        for o in range(0, lanes, LANES):
            linear, gate = v.wide + f * 2 * lanes + o, v.wide + f * 2 * lanes + lanes + o
            h = v.h + f * lanes + o
            store(state, h, fma(load(state, linear), opening(load(state, gate)), load(state, h)))


@inner
def opening(gate):
    """How much a gate lets through, from 4e-18 to 1."""
    return sigmoid(maximum(gate, _SHUT))
