"""The side-chain as native code: detectors a sample at a time, all of them in one vector, then gain computers four frames at a
time, and last their ballistics frame by frame.

Many processors take a hundred times as long over subnormal numbers, those below 1.2e-38. What would die away settles at
_FAINTEST or LEAST instead, which a fused product adds for nothing: too little to count, and so much that no product becomes
subnormal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from mlxopto.engine.table import FRAMES, Affine, Part, Row, Source, float64, offsets, offsets_type, padded, padded_rows, whole
from mlxopto.native.arithmetic import exp, expm1, log, softplus
from mlxopto.native.compiler import inner
from mlxopto.native.memory import get, load, load_each, load_eight, load_four, load_fours, store, store_fours
from mlxopto.native.vector import LANES, fma, keep_between, magnitude, maximum, minimum, root, splat, sum_fours
from mlxopto.nn import SideChain
from mlxopto.nn.levels import FLOOR, SCALE
from mlxopto.nn.side_chain import DETECTORS, GAIN_COMPUTERS, LEAST, NARROWEST_KNEE, REACH, RECTIFIED, SHARPNESS

FEATURES = SideChain.features
_AT_ONCE = -30.0  # the logarithm of a time constant, in seconds, that averages nothing


Mapped = tuple[np.ndarray, np.ndarray]  # weights (controls, n) and offsets (n,)


class Setting(NamedTuple):
    """Numbers that the knobs set for a frame: what they add up to, and how many they are."""

    name: str
    source: Callable[[SideChain], Mapped]
    size: int


def _angle(source: Source) -> np.ndarray:
    return REACH * float64(source.model.side_chain.rectifier)


def _halves() -> tuple[np.ndarray, np.ndarray]:
    """Which detectors hear roots of averages, and which the averages."""
    roots, powers = np.repeat(np.eye(2), DETECTORS // 2, axis=1)
    roots[:RECTIFIED] = 0
    return roots, powers


def _of(name: str) -> Callable[[SideChain], Mapped]:
    """What the knobs add up to in the map of that name."""

    def affine(side: SideChain) -> Mapped:
        weight, start = map(float64, getattr(side, name).affine())
        return weight, start

    return affine


def _averages(side: SideChain) -> Mapped:
    """Of the root mean squares, in both halves of the detectors; the others do not average."""
    averages, starts = map(float64, side.average.affine())
    weight, average = np.zeros((len(averages), DETECTORS)), np.full(DETECTORS, _AT_ONCE)
    for half in (0, DETECTORS // 2):
        lanes = slice(half + RECTIFIED, half + RECTIFIED + starts.size)
        average[lanes], weight[:, lanes] = starts, averages
    return weight, average


CONSTANTS = (  # a vector each
    Part("magnitudes", lambda source: np.cos(_angle(source))),  # how much detectors hear of the key's magnitude,
    Part("waves", lambda source: np.sin(_angle(source))),  # of the key,
    Part("roots", lambda _: _halves()[0]),  # of the averages' roots,
    Part("powers", lambda _: _halves()[1]),  # of the averages
    Part("shares", lambda source: np.tile(float64(source.model.side_chain.shares()), 4)),  # of the gain computers, four times
    Part("auto_makeup", lambda source: REACH * float64(source.model.side_chain.auto_makeup)),  # in the first lane, as the rest
    Part("sample_s", lambda source: [1 / (source.frames.hop * source.frames.per_second)]),
    Part("frame_s", lambda source: [1 / source.frames.per_second]),
)
SETTINGS = (  # in this order, because neighbours are worked on together
    Setting("average", _averages, DETECTORS),  # rates of one-pole filters, a sample
    Setting("attack", _of("attack"), DETECTORS),
    Setting("release", _of("release"), DETECTORS),
    Setting("reduction_attack", _of("reduction_attack"), GAIN_COMPUTERS),  # and a frame
    Setting("reduction_release", _of("reduction_release"), GAIN_COMPUTERS),
    Setting("rise", _of("rise"), GAIN_COMPUTERS),  # at most, a frame
    Setting("fall", _of("fall"), GAIN_COMPUTERS),
    Setting("slope", _of("ratio"), GAIN_COMPUTERS),
    Setting("knee", _of("knee"), GAIN_COMPUTERS),
    Setting("threshold", _of("threshold"), GAIN_COMPUTERS),
    Setting("range", _of("range"), GAIN_COMPUTERS),
    Setting("mixes", _of("mix"), DETECTORS * GAIN_COMPUTERS),
    Setting("offset", _of("makeup"), 1),
)
CONSTANT = offsets_type("CONSTANT", CONSTANTS, __name__)(*offsets(LANES for _ in CONSTANTS))
SET = offsets_type("SET", SETTINGS, __name__)(*offsets(row.size for row in SETTINGS))
STATES = (
    Row("once"),  # averages of the key's power,
    Row("twice"),  # averaged again
    Row("charged"),  # detectors
    Row("reduction"),  # of the gain computers, in nepers
    Row("amplitudes", lambda _: FRAMES * DETECTORS),  # from here on scratch: of the detectors, (frames, detectors)
    Row("gains"),  # make-up, from which the cell takes its share, as logarithms, a frame a lane
    Row("carriers"),  # the whole reduction, of which the cell makes carriers, a frame a lane
)
STATE = offsets_type("STATE", STATES, __name__)(*offsets(row.size(None) for row in STATES))
_FAINTEST, _LOUDEST = np.float32(1e-20), np.float32(1e30)  # that the state holds, in amplitude, power and nepers
_HUGE = np.float32(1e30)
_LEAST = np.float32(LEAST)  # also of rates, slew limits and what a gain computer asks for
_LOG_WIDEST = np.float32(30.0)  # of a range so wide that it bends nothing; and of the inverse of the narrowest
_ONE, _ZERO, _FLOOR = np.float32(1.0), np.float32(0.0), np.float32(FLOOR)
_FLOOR_POWER = np.float32(FLOOR**2)


def pack(source: Source) -> np.ndarray:
    """The constants."""
    return np.concatenate([padded(row.make(source), LANES) for row in CONSTANTS])


def modulation(source: Source) -> Affine:
    """What the knobs set: `SETTINGS`, in whole vectors."""
    weights, biases = zip(*(row.source(source.model.side_chain) for row in SETTINGS), strict=True)
    lanes = whole(SET.end)
    return padded_rows(np.concatenate(weights, axis=-1).T, lanes, source.conditions), padded(np.concatenate(biases), lanes)


@inner
def _rate(log_seconds, step_s):
    """How far a one-pole filter of that time constant, the logarithm of seconds, goes in a step of `step_s` seconds, 0 to 1."""
    return _ZERO - expm1(fma(exp(_ZERO - log_seconds), _ZERO - step_s, _ZERO - _LEAST))


@inner
def _positive(x):
    return fma(softplus(x * np.float32(SHARPNESS)), np.float32(1 / SHARPNESS), _LEAST)


@inner
def modulate(weights, constants, state, side, row, step):
    """From what the knobs add up to in four frames, (SET.end,) at `row` and `step` apart, to rates a step, curves in nepers and
    mixes, in place.
    """
    sample_s, frame_s = weights[constants + CONSTANT.sample_s], weights[constants + CONSTANT.frame_s]
    for f in range(4):
        rates = row + f * step
        store(state, rates + SET.average, _rate(load(state, rates + SET.average), sample_s))  # and attack
        store(state, rates + SET.release, _rate(load_eight(state, rates + SET.release), sample_s))
    for at in range(row + SET.reduction_attack, row + SET.rise, GAIN_COMPUTERS):
        store_fours(state, at, step, _rate(load_fours(state, at, step), frame_s))
    for at in range(row + SET.rise, row + SET.slope, GAIN_COMPUTERS):
        store_fours(state, at, step, fma(exp(load_fours(state, at, step)), frame_s, _LEAST))
    slope = _ZERO - expm1(_ZERO - _positive(load_fours(state, row + SET.slope, step)))
    knee = _positive(load_fours(state, row + SET.knee, step)) + np.float32(NARROWEST_KNEE)
    threshold = load_fours(state, row + SET.threshold, step)
    most = exp(minimum(maximum(load_fours(state, row + SET.range, step), _ZERO - _LOG_WIDEST), _LOG_WIDEST))
    store_fours(state, row + SET.slope, step, slope)
    store_fours(state, row + SET.knee, step, knee)
    store_fours(state, row + SET.range, step, most)
    total = splat(_ZERO)
    for at in range(row + SET.mixes, row + SET.offset, GAIN_COMPUTERS):
        mix = _positive(load_fours(state, at, step))
        store_fours(state, at, step, mix)
        total = total + mix
    for at in range(row + SET.mixes, row + SET.offset, GAIN_COMPUTERS):
        store_fours(state, at, step, load_fours(state, at, step) / total)
    at_full_scale = _curve(_ZERO, threshold, slope, knee, most) * load(weights, constants + CONSTANT.shares)
    store(state, side + STATE.gains, sum_fours(at_full_scale))
    for f in range(4):
        state[row + f * step + SET.offset] += weights[constants + CONSTANT.auto_makeup] * state[side + STATE.gains + f]


@inner
def _curve(level, threshold, slope, knee, most):
    """The reductions in nepers that gain computers ask for at a level in nepers."""
    bent = fma(slope * knee, softplus((level - threshold) / knee), _LEAST)
    return most * (_ZERO - expm1((_ZERO - bent) / most))


@inner
def run(plan, v, weights, constants, state, row, mod_step, features, step, frames):
    """Frames whose keys are known to make-up and reduction in the state, and to `FEATURES` of frame f at features + f step.

    What the knobs set for frame f is at row + f mod_step.
    """
    side = v.side_chain
    _detect(plan, weights, constants, state, v.key, side, row, mod_step, frames)
    for f in range(frames):
        amplitude = load_eight(state, side + STATE.amplitudes + f * DETECTORS)
        store(state, features + f * step, log(amplitude + _FLOOR) * np.float32(SCALE) + np.float32(2.0))
    for f in range(0, frames, 4):
        _compute(state, side, f, row + f * mod_step, mod_step, features + f * step + DETECTORS, step)
    _follow(state, side, row, mod_step, features + DETECTORS, step, frames)
    reductions, shares = features + DETECTORS + GAIN_COMPUTERS, load(weights, constants + CONSTANT.shares)
    for f in range(0, frames, 4):
        store(state, side + STATE.carriers + f, sum_fours(load_fours(state, reductions + f * step, step) * shares))
    for f in range(frames):
        state[side + STATE.gains + f] = state[row + f * mod_step + SET.offset]


@inner
def _detect(plan, weights, constants, state, key, side, row, mod_step, frames):
    """The detectors over the hops of frames, and their amplitudes at the end of each.

    Of the two places that attack and release lead to, the higher one is right where attack is the quicker; where release is,
    all signs are turned. So only a product and a maximum wait for the sample before.
    """
    once = maximum(load_eight(state, side + STATE.once), _FAINTEST)
    twice = maximum(load_eight(state, side + STATE.twice), _FAINTEST)
    charged, powered = load_eight(state, side + STATE.charged), load_eight(weights, constants + CONSTANT.powers)
    for f in range(frames):
        average, attack = load_eight(state, row + SET.average), load_eight(state, row + SET.attack)
        release = load_eight(state, row + SET.release)
        sign = minimum(maximum((attack - release) * _HUGE + _ONE, _ZERO - _ONE), _ONE)
        magnitudes = load_eight(weights, constants + CONSTANT.magnitudes) * sign
        waves = load_eight(weights, constants + CONSTANT.waves) * sign
        roots, powers = load_eight(weights, constants + CONSTANT.roots) * sign, powered * sign
        charged = charged * sign
        for i in range(plan.hop):
            sample = get(state, key + f * plan.hop_lanes + i)
            once = fma(average, fma(sample, sample, _FAINTEST) - once, once)
            twice = fma(average, once - twice, twice)
            power = twice + _FLOOR_POWER
            heard = fma(
                roots, root(power), fma(powers, power, fma(magnitudes, magnitude(sample), fma(waves, sample, _FAINTEST)))
            )
            distance = heard - charged
            charged = maximum(fma(attack, distance, charged), fma(release, distance, charged))
        charged = charged * sign
        reached = maximum(charged, _ZERO)
        store(state, side + STATE.amplitudes + f * DETECTORS, fma(powered, root(reached + _FLOOR_POWER) - reached, reached))
        row = row + mod_step
    store(state, side + STATE.once, once)
    store(state, side + STATE.twice, twice)
    store(state, side + STATE.charged, charged)


@inner
def _compute(state, side, f, row, mod_step, wanted, step):
    """What the gain computers ask for in frames f to f + 3, to `wanted`."""
    mixed = load_fours(state, row + SET.mixes, mod_step) * load_each(state, side + STATE.amplitudes + f * DETECTORS, DETECTORS)
    for k in range(1, DETECTORS):
        amplitude = load_each(state, side + STATE.amplitudes + f * DETECTORS + k, DETECTORS)
        mixed = fma(amplitude, load_fours(state, row + SET.mixes + k * GAIN_COMPUTERS, mod_step), mixed)
    threshold, slope = load_fours(state, row + SET.threshold, mod_step), load_fours(state, row + SET.slope, mod_step)
    knee, most = load_fours(state, row + SET.knee, mod_step), load_fours(state, row + SET.range, mod_step)
    store_fours(state, wanted, step, _curve(log(mixed + _FLOOR), threshold, slope, knee, most))


@inner
def _follow(state, side, row, mod_step, wanted, step, frames):
    """The ballistics, from what is wanted of the frames to reductions beside it."""
    reduction = load_four(state, side + STATE.reduction)
    for _ in range(frames):
        distance = load_four(state, wanted) - reduction
        up, down = load_four(state, row + SET.reduction_attack), load_four(state, row + SET.reduction_release)
        way = fma(up, maximum(distance, _ZERO), down * minimum(distance, _ZERO))
        most, least = load_four(state, row + SET.rise), _ZERO - load_four(state, row + SET.fall)
        reduction = keep_between(reduction + minimum(maximum(way, least), most), _FAINTEST, _LOUDEST)
        store(state, wanted + GAIN_COMPUTERS, reduction)
        row, wanted = row + mod_step, wanted + step
    store(state, side + STATE.reduction, reduction)
