"""Controls that glide, and what they set: the knobs' own layers, evaluated where the knobs stand."""

from __future__ import annotations

import numpy as np

from mlxopto.engine import dense, film, side_chain
from mlxopto.engine.table import Affine, Part, Source, stacked
from mlxopto.native.arithmetic import tanh
from mlxopto.native.compiler import inner
from mlxopto.native.memory import load, store
from mlxopto.native.vector import LANES

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
        for k in range(plan.knobs):
            state[v.condition + f * (plan.knobs + plan.hidden_lanes) + k] = state[v.position + k]
        for m in range(MIXES):
            state[v.ends + (m + 1) * ENDS + f + 2] = state[v.position + plan.knobs + m]
    _modulate(layout, weights, state, frames)
    return plan.modulation


@inner
def _modulate(layout, weights, state, frames):
    """What the knobs, where they stand in each frame, set for it."""
    plan, w, v = layout.plan, layout.weights, layout.voice
    count, size = plan.knobs + plan.hidden_lanes, plan.modulation
    if plan.hidden_lanes:
        hidden = v.condition + plan.knobs
        dense.run(weights, w.knobs_hidden, state, v.condition, count, plan.knobs, hidden, count, plan.hidden_lanes, frames)
        for f in range(frames):
            for o in range(hidden + f * count, hidden + f * count + plan.hidden_lanes, LANES):
                store(state, o, tanh(load(state, o)))
    dense.run(weights, w.knobs, state, v.condition, count, count, v.modulations, size, size, frames)
    for f in range(0, frames, 4):
        row = v.modulations + f * size + layout.modulation.side_chain
        side_chain.modulate(weights, w.side_chain, state, v.side_chain, row, size)
