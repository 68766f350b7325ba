"""The optical cell as native code: traps a lane each, frame by frame; what does not wait for them, several frames at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mlxopto.engine import side_chain
from mlxopto.engine.table import FRAMES, Part, Row, Source, float64, offsets, offsets_type, padded
from mlxopto.native.arithmetic import exp, expm1, log
from mlxopto.native.compiler import inner
from mlxopto.native.memory import load, load_each, load_four, load_fours, store
from mlxopto.native.vector import LANES, fma, maximum, minimum, sum_fours
from mlxopto.nn import OpticalCell
from mlxopto.nn.cell import DARK, MOST, TRAPS

FEATURES = OpticalCell.features
_LEAST = np.float32(1e-20)  # how full a trap is that counts as empty, so that none becomes subnormal
_ONE, _ZERO = np.float32(1.0), np.float32(0.0)


def _traps(place: int) -> Callable[[Source], np.ndarray]:
    """One of the cell's constants, of all traps, four times."""
    return lambda source: np.tile(float64(source.model.cell.constants()[place]), LANES // TRAPS)


CONSTANTS = (  # a vector each
    Part("emptying", _traps(0)),
    Part("filling", _traps(1)),
    Part("weights", _traps(2)),
    Part("power", lambda source: float64(source.model.cell.constants()[3])),  # in the first lane, as the rest
    Part("loop", lambda source: float64(source.model.cell.constants()[4])),
    Part("frame_s", lambda source: [1 / source.frames.per_second]),
)
CONSTANT = offsets_type("CELL", CONSTANTS, __name__)(*offsets(LANES for _ in CONSTANTS))
STATES = (
    Row("traps"),  # how full they are, 0 to 1
    Row("decay", lambda _: FRAMES * TRAPS),  # from here on scratch: how much less of what is missing is left, less 1,
    Row("aim", lambda _: FRAMES * TRAPS),  # and where that leads to; (frames, traps)
    Row("given"),  # what the traps add to the carriers, a frame a lane
)
STATE = offsets_type("CELL_STATE", STATES, __name__)(*offsets(row.size(None) for row in STATES))


def pack(source: Source) -> np.ndarray:
    """The constants."""
    return np.concatenate([padded(row.make(source), LANES) for row in CONSTANTS])


@inner
def run(v, weights, at, state, features, step, frames):
    """From the side-chain's reductions to log gains, both a frame a lane, and to `FEATURES` of frame f at features + f step."""
    gains, carriers = v.side_chain + side_chain.STATE.gains, v.side_chain + side_chain.STATE.carriers
    free = expm1(minimum(load(state, carriers), np.float32(MOST)))
    store(state, carriers, exp(log(free + np.float32(DARK)) * weights[at + CONSTANT.power]))
    _fill(weights, at, state, carriers, v.cell, frames)
    _empty(state, v.cell, features + 1, step, frames)
    shares = load(weights, at + CONSTANT.weights)
    for f in range(0, frames, 4):
        store(state, v.cell + STATE.given + f, sum_fours(load_fours(state, features + 1 + f * step, step) * shares))
    spared = (free + _ONE) / fma(free, weights[at + CONSTANT.loop] + _ONE, _ONE)
    reduction = log(fma(load(state, v.cell + STATE.given), spared, free) + _ONE)
    store(state, carriers, reduction)
    store(state, gains, load(state, gains) - reduction)
    for f in range(frames):
        state[features + f * step] = state[carriers + f]


@inner
def _fill(weights, at, state, carriers, cell, frames):
    """Where the carriers of each frame drive the traps to, and how far they go; four frames at a time."""
    filling, emptying = load(weights, at + CONSTANT.filling), load(weights, at + CONSTANT.emptying)
    frame_s = weights[at + CONSTANT.frame_s]
    for f in range(0, frames, 4):
        fills = filling * load_each(state, carriers + f, 1)
        rate = fills + emptying
        store(state, cell + STATE.aim + f * TRAPS, fills / rate)
        store(state, cell + STATE.decay + f * TRAPS, expm1(rate * (_ZERO - frame_s)))


@inner
def _empty(state, cell, features, step, frames):
    """The traps frame by frame."""
    traps = maximum(load_four(state, cell + STATE.traps), _LEAST)
    for f in range(frames):
        aim = load_four(state, cell + STATE.aim + f * TRAPS)
        traps = fma(load_four(state, cell + STATE.decay + f * TRAPS), traps - aim, traps)
        store(state, features + f * step, traps)
    store(state, cell + STATE.traps, traps)
