"""The level front end as native code."""

from __future__ import annotations

import numpy as np

from mlxopto.native.arithmetic import log
from mlxopto.native.compiler import inner
from mlxopto.native.vector import LANES, fma, largest_lane, load, magnitude, maximum, splat, store, sum_lanes
from mlxopto.nn import LevelFrontEnd
from mlxopto.nn.levels import FLOOR, SCALE, WINDOW

FEATURES = LevelFrontEnd.features
_ZERO = np.float32(0.0)


@inner
def run(plan, v, state, frames):
    """Log peak and log RMS of each frame's hop and of the last four hops; feature k of frame f goes to features[16 k + f]."""
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
        state[v.features + f] = state[row] * state[row]
        state[v.features + LANES + f] = long_peak * long_peak
        state[v.features + 2 * LANES + f] = state[row + 1]
        state[v.features + 3 * LANES + f] = long_power * np.float32(1 / WINDOW)
    for i in range(2 * (WINDOW - 1)):
        state[v.window + i] = state[v.window + 2 * frames + i]
    for k in range(FEATURES):
        level = log(load(state, v.features + k * LANES) + np.float32(FLOOR**2)) * np.float32(0.5)
        store(state, v.features + k * LANES, level * np.float32(SCALE) + np.float32(2.0))
