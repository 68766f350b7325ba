"""Controls that glide, and what they set: the knobs' own layers, evaluated where the knobs stand."""

from __future__ import annotations

import numpy as np

from mlxopto.engine import dense, film, side_chain
from mlxopto.engine.table import Affine, Part, Source, stacked
from mlxopto.native.arithmetic import tanh
from mlxopto.native.compiler import inner
from mlxopto.native.vector import LANES, load, store

MIXES = 2  # wet and dry level, which glide as the knobs do
ENDS = 2 * LANES  # numbers in a row of values at the ends of hops
_ONE, _ZERO = np.float32(1.0), np.float32(0.0)


def _layers(source: Source) -> Affine:
    return stacked([film.modulation(layer, source) for layer in source.model.layers], source.conditions)


MODULATION = (Part("layers", _layers), Part("side_chain", side_chain.modulation))  # what the knobs set for a frame


def _hidden(source: Source) -> np.ndarray:
    layer = source.model.knobs
    return dense.pack(layer, source.hidden_lanes) if layer else np.zeros(0)


def _product(source: Source) -> np.ndarray:
    """All modulations as one."""
    weight, bias = stacked([part.make(source) for part in MODULATION], source.conditions)
    return dense.joined(bias, weight)


WEIGHTS = (Part("knobs_hidden", _hidden), Part("knobs", _product))


@inner
def glide(layout, weights, state, frames):
    """Moves knobs, wet and dry a frame at a time towards their targets; returns the step between the frames' modulations."""
    plan, v = layout.plan, layout.voice
    for f in range(frames):
        for m in range(MIXES):
            state[v.ends + (m + 1) * ENDS + f + 2] = state[v.position + plan.knobs + m]
    if state[v.gliding] == _ZERO:
        return 0
    for f in range(frames):
        left = state[v.gliding]
        if left > _ZERO:
            for k in range(plan.knobs + MIXES):
                state[v.position + k] += (state[v.target + k] - state[v.position + k]) / left
            state[v.gliding] = left - _ONE
        if left == _ONE:
            for k in range(plan.knobs + MIXES):
                state[v.position + k] = state[v.target + k]
        for m in range(MIXES):
            state[v.ends + (m + 1) * ENDS + f + 2] = state[v.position + plan.knobs + m]
        _modulate(layout, weights, state, v.modulations + f * plan.modulation)
    return plan.modulation


@inner
def _modulate(layout, weights, state, row):
    """What the knobs, where they stand now, set for a frame."""
    plan, w, v = layout.plan, layout.weights, layout.voice
    hidden = v.condition + plan.knobs
    for k in range(plan.knobs):
        state[v.condition + k] = state[v.position + k]
    if plan.hidden_lanes:
        dense.run_row(weights, w.knobs_hidden, state, v.position, plan.knobs, hidden, plan.hidden_lanes)
        for o in range(0, plan.hidden_lanes, LANES):
            store(state, hidden + o, tanh(load(state, hidden + o)))
    dense.run_row(weights, w.knobs, state, v.condition, plan.knobs + plan.hidden_lanes, row, plan.modulation)
    side_chain.modulate(weights, w.side_chain, state, row + layout.modulation.side_chain)
