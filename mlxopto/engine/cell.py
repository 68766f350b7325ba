"""The optical cell as native code: traps a lane each, frame by frame; what does not wait for them, a frame a lane."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mlxopto.engine import side_chain
from mlxopto.engine.table import Part, Source, float64, offsets, offsets_type, padded
from mlxopto.native.arithmetic import exp, expm1, log
from mlxopto.native.compiler import inner
from mlxopto.native.vector import LANES, fma, load, load_one, maximum, minimum, store, sum_lanes
from mlxopto.nn import OpticalCell
from mlxopto.nn.cell import DARK, MOST, TRAPS

FEATURES = OpticalCell.features
_LEAST = np.float32(1e-20)  # how full a trap is that counts as empty, so that none becomes subnormal
_ONE, _ZERO = np.float32(1.0), np.float32(0.0)


def _constant(place: int, rest: float = 0.0) -> Callable[[Source], np.ndarray]:
    """One of the cell's constants, with what lanes without a trap have."""

    def make(source: Source) -> np.ndarray:
        values = float64(source.model.cell.constants()[place])
        return np.concatenate([values, np.full(LANES - values.size, rest)])

    return make


CONSTANTS = (  # a vector each
    Part("emptying", _constant(0, 1.0)),
    Part("filling", _constant(1)),
    Part("weights", _constant(2)),
    Part("power", _constant(3)),  # in the first lane, as the rest
    Part("loop", _constant(4)),
    Part("frame_s", lambda source: [1 / source.frames.per_second]),
)
CONSTANT = offsets_type("CELL", CONSTANTS, __name__)(*offsets(LANES for _ in CONSTANTS))


def pack(source: Source) -> np.ndarray:
    """The constants."""
    return np.concatenate([padded(row.make(source), LANES) for row in CONSTANTS])


@inner
def run(v, weights, at, state, first, frames):
    """From the side-chain's reductions to log gains, both a frame a lane, and to features: k of frame f to features[16 (first +
    k) + f].
    """
    gains, carriers = v.side_chain + side_chain.STATE.gains, v.side_chain + side_chain.STATE.carriers
    filling, emptying = load(weights, at + CONSTANT.filling), load(weights, at + CONSTANT.emptying)
    shares, frame_s = load(weights, at + CONSTANT.weights), weights[at + CONSTANT.frame_s]
    free = expm1(minimum(load(state, carriers), np.float32(MOST)))
    whole = v.features + first * LANES
    store(state, carriers, exp(log(free + np.float32(DARK)) * weights[at + CONSTANT.power]))
    traps = maximum(load(state, v.cell), _LEAST)
    for f in range(frames):
        fills = filling * load_one(state, carriers + f)
        rate = fills + emptying
        aim = fills / rate
        traps = fma(expm1(rate * (_ZERO - frame_s)), traps - aim, traps)
        store(state, v.cell, traps)
        state[whole + f] = sum_lanes(traps * shares)
        for k in range(TRAPS):
            state[whole + (1 + k) * LANES + f] = state[v.cell + k]
    spared = (free + _ONE) / fma(free, weights[at + CONSTANT.loop] + _ONE, _ONE)
    reduction = log(fma(load(state, whole), spared, free) + _ONE)
    store(state, whole, reduction)
    store(state, gains, load(state, gains) - reduction)
