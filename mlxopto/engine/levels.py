"""The level front end as native code."""

from __future__ import annotations

import numpy as np

from mlxopto.native.arithmetic import log
from mlxopto.native.compiler import inner
from mlxopto.native.memory import load, load_fours, store_fours
from mlxopto.native.vector import LANES, fma, largest_lane, magnitude, maximum, splat, sum_lanes
from mlxopto.nn import LevelFrontEnd
from mlxopto.nn.levels import FLOOR, SCALE, WINDOW

FEATURES = LevelFrontEnd.features
_ZERO = np.float32(0.0)


@inner
def run(plan, v, state, features, step, frames):
    """Log peak and log RMS of each frame's hop and of the last four hops, to `FEATURES` of frame f at features + f step."""
    for f in range(frames):
        loudest, power = splat(_ZERO), splat(_ZERO)
        for i in range(0, plan.hop_lanes, LANES):
            heard = load(state, v.key + f * plan.hop_lanes + i)
            loudest = maximum(loudest, magnitude(heard))
            power = fma(heard, heard, power)
        row = v.window + 2 * (f + WINDOW - 1)
        state[row] = largest_lane(loudest)
        state[row + 1] = sum_lanes(power) / np.float32(plan.hop)
        long_peak, long_power = _ZERO, _ZERO
        for past in range(WINDOW - 1, -1, -1):
            long_peak = maximum(long_peak, state[row - 2 * past])
            long_power += state[row + 1 - 2 * past]
        at = features + f * step
        state[at] = state[row] * state[row]
        state[at + 1] = long_peak * long_peak
        state[at + 2] = state[row + 1]
        state[at + 3] = long_power * np.float32(1 / WINDOW)
    for i in range(2 * (WINDOW - 1)):
        state[v.window + i] = state[v.window + 2 * frames + i]
    for f in range(0, frames, 4):
        at = features + f * step
        level = log(load_fours(state, at, step) + np.float32(FLOOR**2)) * np.float32(0.5)
        store_fours(state, at, step, level * np.float32(SCALE) + np.float32(2.0))
