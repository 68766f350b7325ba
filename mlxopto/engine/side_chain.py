"""The side-chain as native code: detectors a sample at a time, all of them in one vector, then gain computers a frame at a time.

Many processors take a hundred times as long over subnormal numbers, those below 1.2e-38. What would die away settles at _FAINTEST or LEAST
instead, which a fused product adds for nothing: too little to count, and so much that no product becomes subnormal.
"""

from __future__ import annotations

import numpy as np

from mlxopto.native.arithmetic import exp, expm1, log, softplus
from mlxopto.native.compiler import inner
from mlxopto.native.vector import (
    LANES,
    fma,
    keep_between,
    load,
    load_one,
    magnitude,
    maximum,
    minimum,
    root,
    splat,
    store,
    sum_lanes,
)
from mlxopto.nn.front_end import FLOOR, SCALE
from mlxopto.nn.side_chain import DETECTORS, GAIN_COMPUTERS, LEAST, NARROWEST_KNEE, SHARPNESS

# rows of a vector each in the weights: how much detectors hear of the key's magnitude, of the key, of the averages' roots, of the averages;
# shares of the gain computers; in their first lane the share of make-up, seconds a sample, seconds a frame
MAGNITUDES, WAVES, ROOTS, POWERS, SHARES, AUTO_MAKEUP, SAMPLE_S, FRAME_S = (row * LANES for row in range(8))
CONSTANTS = 8 * LANES
# rows of what the knobs set; the offset in its first lane, SIGN 1 where attack is quicker than release and else -1, the mixes a row
# a detector
(
    AVERAGE, ATTACK, RELEASE, THRESHOLD, SLOPE, KNEE, RANGE, REDUCTION_ATTACK, REDUCTION_RELEASE, RISE, FALL, OFFSET, SIGN, MIXES,
) = (row * LANES for row in range(14))  # fmt: skip
MODULATION = MIXES + DETECTORS * LANES
# rows of the state, then of the scratch: amplitudes at a frame's end, and the log gain of each frame
ONCE, TWICE, CHARGED, REDUCTION, AMPLITUDE, GAIN_ROW = (row * LANES for row in range(6))
ROOM = 6 * LANES
_FAINTEST, _LOUDEST = np.float32(1e-20), np.float32(1e30)  # that the state holds, in amplitude, power and nepers
_HUGE = np.float32(1e30)
_LEAST = np.float32(LEAST)  # also of rates, slew limits and what a gain computer asks for
_LOG_WIDEST = np.float32(30.0)  # of a range so wide that it bends nothing; and of the inverse of the narrowest
_ONE, _ZERO, _FLOOR = np.float32(1.0), np.float32(0.0), np.float32(FLOOR)
_FLOOR_POWER = np.float32(FLOOR**2)


@inner
def _rate(log_seconds, step_s):
    """How far a one-pole filter of that time constant goes in a step."""
    return splat(_ZERO) - expm1(fma(exp(splat(_ZERO) - log_seconds), _ZERO - step_s, _ZERO - _LEAST))


@inner
def _positive(x):
    return fma(softplus(x * np.float32(SHARPNESS)), np.float32(1 / SHARPNESS), _LEAST)


@inner
def modulate(weights, constants, state, row):
    """From what the knobs add up to in `row` to rates, curves and mixes, in place."""
    sample_s, frame_s = weights[constants + SAMPLE_S], weights[constants + FRAME_S]
    for part in (AVERAGE, ATTACK, RELEASE):
        store(state, row + part, _rate(load(state, row + part), sample_s))
    for part in (REDUCTION_ATTACK, REDUCTION_RELEASE):
        store(state, row + part, _rate(load(state, row + part), frame_s))
    for part in (RISE, FALL):
        store(state, row + part, fma(exp(load(state, row + part)), frame_s, _LEAST))
    store(state, row + RANGE, exp(minimum(maximum(load(state, row + RANGE), _ZERO - _LOG_WIDEST), _LOG_WIDEST)))
    difference = load(state, row + ATTACK) - load(state, row + RELEASE)
    store(state, row + SIGN, minimum(maximum(difference * _HUGE + _ONE, splat(_ZERO) - _ONE), _ONE))
    slope = splat(_ZERO) - expm1(splat(_ZERO) - _positive(load(state, row + SLOPE)))
    knee = _positive(load(state, row + KNEE)) + np.float32(NARROWEST_KNEE)
    store(state, row + SLOPE, slope)
    store(state, row + KNEE, knee)
    total = splat(_ZERO)
    for k in range(DETECTORS):
        mix = _positive(load(state, row + MIXES + k * LANES))
        store(state, row + MIXES + k * LANES, mix)
        total = total + mix
    for k in range(DETECTORS):
        store(state, row + MIXES + k * LANES, load(state, row + MIXES + k * LANES) / total)
    at_full_scale = _curve(state, row, splat(_ZERO)) * load(weights, constants + SHARES)
    state[row + OFFSET] += weights[constants + AUTO_MAKEUP] * sum_lanes(at_full_scale)


@inner
def _curve(state, row, level):
    """The reductions that the gain computers ask for at a level, in nepers."""
    knee, most = load(state, row + KNEE), load(state, row + RANGE)
    bent = fma(load(state, row + SLOPE) * knee, softplus((level - load(state, row + THRESHOLD)) / knee), _LEAST)
    return most * (splat(_ZERO) - expm1((splat(_ZERO) - bent) / most))


@inner
def listen_on(weights, constants, state, key, hop, hop_lanes, side, row, mod_step, features, first, frames):
    """Frames whose keys are known to log gains in the GAIN_ROW, and to features: feature k of frame f goes to features[16 k + f].

    Returns where the constants end.
    """
    for f in range(frames):
        _detect(weights, constants, state, key + f * hop_lanes, hop, side, row + f * mod_step)
        _compute(weights, constants, state, side, row + f * mod_step, features, first, f)
    return constants + CONSTANTS


@inner
def _detect(weights, constants, state, key, hop, side, row):
    """The detectors over a hop.

    Of the two places that attack and release lead to, the higher one is right where attack is the quicker; where release is, all signs
    are turned. So only a product and a maximum wait for the sample before.
    """
    average, attack, release = load(state, row + AVERAGE), load(state, row + ATTACK), load(state, row + RELEASE)
    sign = load(state, row + SIGN)
    magnitudes, waves = load(weights, constants + MAGNITUDES) * sign, load(weights, constants + WAVES) * sign
    roots, powers = load(weights, constants + ROOTS) * sign, load(weights, constants + POWERS) * sign
    once, twice = maximum(load(state, side + ONCE), _FAINTEST), maximum(load(state, side + TWICE), _FAINTEST)
    charged = load(state, side + CHARGED) * sign
    for i in range(hop):
        sample = splat(state[key + i])
        once = fma(average, fma(sample, sample, _FAINTEST) - once, once)
        twice = fma(average, once - twice, twice)
        power = twice + _FLOOR_POWER
        heard = fma(roots, root(power), fma(powers, power, fma(magnitudes, magnitude(sample), fma(waves, sample, _FAINTEST))))
        distance = heard - charged
        charged = maximum(fma(attack, distance, charged), fma(release, distance, charged))
    charged = charged * sign
    store(state, side + ONCE, keep_between(once, _FAINTEST, _LOUDEST))
    store(state, side + TWICE, keep_between(twice, _FAINTEST, _LOUDEST))
    store(state, side + CHARGED, keep_between(charged, _FAINTEST, _LOUDEST))
    charged, powers = maximum(charged, _ZERO), load(weights, constants + POWERS)
    store(state, side + AMPLITUDE, fma(powers, root(charged + _FLOOR_POWER) - charged, charged))


@inner
def _compute(weights, constants, state, side, row, features, first, f):
    """The gain computers and their ballistics for a frame."""
    mixed = splat(_FLOOR)
    for k in range(DETECTORS):
        mixed = fma(load_one(state, side + AMPLITUDE + k), load(state, row + MIXES + k * LANES), mixed)
    wanted = _curve(state, row, log(mixed))
    before = load(state, side + REDUCTION)
    distance = wanted - before
    up, down = load(state, row + REDUCTION_ATTACK), load(state, row + REDUCTION_RELEASE)
    step = fma(up, maximum(distance, _ZERO), down * minimum(distance, _ZERO))
    reduction = before + minimum(maximum(step, splat(_ZERO) - load(state, row + FALL)), load(state, row + RISE))
    reduction = keep_between(reduction, _FAINTEST, _LOUDEST)
    store(state, side + REDUCTION, reduction)
    state[side + GAIN_ROW + f] = state[row + OFFSET] - sum_lanes(reduction * load(weights, constants + SHARES))
    level = log(load(state, side + AMPLITUDE) + _FLOOR) * np.float32(SCALE) + np.float32(2.0)
    store(state, side + AMPLITUDE, level)
    for k in range(DETECTORS):
        state[features + (first + k) * LANES + f] = state[side + AMPLITUDE + k]
    store(state, side + AMPLITUDE, wanted)
    for m in range(GAIN_COMPUTERS):
        at = features + (first + DETECTORS + m) * LANES + f
        state[at] = state[side + AMPLITUDE + m]
        state[at + GAIN_COMPUTERS * LANES] = state[side + REDUCTION + m]
