"""The selective state space layer as native code: its products for all frames at once, its recurrence frame by frame."""

from __future__ import annotations

import math

import numpy as np

from mlxopto.engine import dense
from mlxopto.engine.film import opening
from mlxopto.engine.table import Affine, Part, Source, float64, padded, padded_rows, whole
from mlxopto.models.opto import Block
from mlxopto.native.arithmetic import exp2m1, softplus
from mlxopto.native.compiler import inner
from mlxopto.native.vector import LANES, fma, load, load_one, store
from mlxopto.nn.side_chain import LEAST

_LEAST = np.float32(LEAST)  # of step sizes and of what the states go to, so that none becomes subnormal


def _rates(block: Block, lanes: int) -> np.ndarray:
    """A, (states, lanes)."""
    width, states = block.s6.a_log.shape
    rates = np.full((states, lanes), -1.0)
    rates[:, :width] = -np.exp(float64(block.s6.a_log)).T
    return rates


def _steps(block: Block, lanes: int) -> np.ndarray:
    """dt, B and C as one product; the bias of dt comes with the modulations."""
    s6 = block.s6
    width, states = s6.a_log.shape
    steps = np.zeros((whole(2 * states) + lanes, lanes))
    steps[:width, :width] = float64(s6.dt.weight)
    steps[lanes : lanes + 2 * states, :width] = float64(s6.bc.weight)
    bias = np.zeros(len(steps))
    bias[lanes : lanes + 2 * states] = float64(s6.bc.bias)
    return dense.joined(bias, steps)


WEIGHTS = (
    Part("s6_input", lambda block, source: dense.pack(block.s6.input, 2 * source.lanes, inputs=source.lanes, halves=2)),
    Part("s6_steps", lambda block, source: _steps(block, source.lanes)),
    Part("s6_octaves", lambda block, source: _rates(block, source.lanes) * source.frames.stretch * math.log2(math.e)),  # a step
    Part("s6_inverses", lambda block, source: 1 / _rates(block, source.lanes)),
    Part("s6_skip", lambda block, source: padded(float64(block.s6.skip), source.lanes)),
    Part("s6_output", lambda block, source: dense.pack(block.s6.output, source.lanes, inputs=source.lanes)),
)


def modulation(block: Block, source: Source) -> Affine:
    """What the knobs set: the shift of the step sizes, (lanes,)."""
    shift = padded_rows(float64(block.dt_shift.weight), source.lanes, source.conditions)
    return shift, padded(float64(block.dt_shift.bias) + float64(block.s6.dt.bias), source.lanes)


@inner
def run(plan, v, b, weights, at, state, scan, modulations, mod_step, frames):
    """h += S6(h), (frames, lanes), with the step sizes of frame f shifted by what lies at modulations + f mod_step, (lanes,).

    The scan's memory, (states, lanes), lies at `scan`; `at` is where the block's weights begin, `b` are the offsets in them.
    """
    lanes, states = plan.lanes, plan.states
    step_row = lanes + plan.bc_lanes
    dense.run(weights, at + b.s6_input, state, v.h, lanes, 1, lanes, v.wide, 2 * lanes, 2 * lanes, frames)
    dense.run(weights, at + b.s6_steps, state, v.wide, 2 * lanes, 1, lanes, v.steps, step_row, step_row, frames)
    for f in range(frames):  # apart from the recurrence, which waits for itself
        for o in range(0, lanes, LANES):
            dt, gate = v.steps + f * step_row + o, v.wide + f * 2 * lanes + lanes + o
            store(state, dt, softplus(load(state, dt) + load(state, modulations + f * mod_step + o)) + _LEAST)
            store(state, gate, load(state, gate) * opening(load(state, gate)))
    octaves, inverses, skip = at + b.s6_octaves, at + b.s6_inverses, at + b.s6_skip
    for f in range(frames):
        B = v.steps + f * step_row + lanes
        C = B + states
        for o in range(0, lanes, LANES):
            u = load(state, v.wide + f * 2 * lanes + o)
            dt = load(state, v.steps + f * step_row + o)
            y = u * load(weights, skip + o)
            for n in range(states):
                row = n * lanes + o
                decay = exp2m1(dt * load(weights, octaves + row))
                drive = fma(u * load_one(state, B + n), load(weights, inverses + row), _LEAST)
                h = load(state, scan + row)
                h = fma(decay, h + drive, h)
                store(state, scan + row, h)
                y = fma(load_one(state, C + n), h, y)
            store(state, v.bent + f * lanes + o, y * load(state, v.wide + f * 2 * lanes + lanes + o))
    dense.run(weights, at + b.s6_output, state, v.bent, lanes, 1, lanes, v.wide, 2 * lanes, lanes, frames)
    for f in range(frames):
        for o in range(0, lanes, LANES):
            store(state, v.h + f * lanes + o, load(state, v.h + f * lanes + o) + load(state, v.wide + f * 2 * lanes + o))
