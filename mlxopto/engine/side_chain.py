"""The side-chain as native code: detectors a sample at a time, all of them in one vector, then gain computers a frame at a
time.

Many processors take a hundred times as long over subnormal numbers, those below 1.2e-38. What would die away settles at
_FAINTEST or LEAST instead, which a fused product adds for nothing: too little to count, and so much that no product becomes
subnormal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from mlxopto.engine.table import Affine, Part, Row, Source, float64, offsets, offsets_type, padded, padded_rows
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
)  # fmt: skip
from mlxopto.nn import SideChain
from mlxopto.nn.levels import FLOOR, SCALE
from mlxopto.nn.side_chain import DETECTORS, GAIN_COMPUTERS, LEAST, NARROWEST_KNEE, REACH, RECTIFIED, SHARPNESS

FEATURES = SideChain.features
_AT_ONCE = -30.0  # the logarithm of a time constant, in seconds, that averages nothing
_NO_RATIO = -100.0  # for lanes without a gain computer


Mapped = tuple[np.ndarray, np.ndarray]  # weights (controls, n) and offsets (n,)


class Setting(NamedTuple):
    """Vectors that the knobs set for a frame: what they add up to, in lanes without a parameter `rest`, and what
    becomes of it.
    """

    name: str
    source: Callable[[SideChain], list[Mapped]]  # one a vector
    rest: float = 0.0
    becomes: str = ""  # sample_rate, frame_rate: of a one-pole filter; frame_limit: what a slew limit allows
    vectors: int = 1


def _angle(source: Source) -> np.ndarray:
    return REACH * float64(source.model.side_chain.rectifier)


def _halves() -> tuple[np.ndarray, np.ndarray]:
    """Which detectors hear roots of averages, and which the averages."""
    roots, powers = np.repeat(np.eye(2), DETECTORS // 2, axis=1)
    roots[:RECTIFIED] = 0
    return roots, powers


def _of(name: str) -> Callable[[SideChain], list[Mapped]]:
    """What the knobs add up to in the map of that name, one vector."""

    def affine(side: SideChain) -> list[Mapped]:
        weight, start = map(float64, getattr(side, name).affine())
        return [(weight, start)]

    return affine


def _averages(side: SideChain) -> list[Mapped]:
    """Of the root mean squares, in both halves of the detectors; the others do not average."""
    averages, starts = map(float64, side.average.affine())
    weight, average = np.zeros((len(averages), DETECTORS)), np.full(DETECTORS, _AT_ONCE)
    for half in (0, DETECTORS // 2):
        lanes = slice(half + RECTIFIED, half + RECTIFIED + starts.size)
        average[lanes], weight[:, lanes] = starts, averages
    return [(weight, average)]


def _nothing(side: SideChain) -> list[Mapped]:
    return [(np.zeros((len(side.makeup.weight), 0)), np.zeros(0))]


def _mixes(side: SideChain) -> list[Mapped]:
    """A vector a detector."""
    return list(zip(*(np.split(float64(part), DETECTORS, axis=-1) for part in side.mix.affine()), strict=True))


CONSTANTS = (  # a vector each
    Part("magnitudes", lambda source: np.cos(_angle(source))),  # how much detectors hear of the key's magnitude,
    Part("waves", lambda source: np.sin(_angle(source))),  # of the key,
    Part("roots", lambda _: _halves()[0]),  # of the averages' roots,
    Part("powers", lambda _: _halves()[1]),  # of the averages
    Part("shares", lambda source: float64(source.model.side_chain.shares())),  # of the gain computers
    Part("auto_makeup", lambda source: REACH * float64(source.model.side_chain.auto_makeup)),  # in the first lane, as the rest
    Part("sample_s", lambda source: [1 / (source.frames.hop * source.frames.per_second)]),
    Part("frame_s", lambda source: [1 / source.frames.per_second]),
)
SETTINGS = (
    Setting("average", _averages, becomes="sample_rate"),
    Setting("attack", _of("attack"), becomes="sample_rate"),
    Setting("release", _of("release"), becomes="sample_rate"),
    Setting("threshold", _of("threshold")),
    Setting("slope", _of("ratio"), rest=_NO_RATIO),
    Setting("knee", _of("knee")),
    Setting("range", _of("range")),
    Setting("reduction_attack", _of("reduction_attack"), becomes="frame_rate"),
    Setting("reduction_release", _of("reduction_release"), becomes="frame_rate"),
    Setting("rise", _of("rise"), becomes="frame_limit"),
    Setting("fall", _of("fall"), becomes="frame_limit"),
    Setting("offset", _of("makeup")),  # in the first lane
    Setting("sign", _nothing),  # 1 where attack is quicker than release, else -1
    Setting("mixes", _mixes, vectors=DETECTORS),
)
CONSTANT = offsets_type("CONSTANT", CONSTANTS, __name__)(*offsets(LANES for _ in CONSTANTS))
SET = offsets_type("SET", SETTINGS, __name__)(*offsets(row.vectors * LANES for row in SETTINGS))
STATES = (  # a vector each
    Row("once"),  # averages of the key's power,
    Row("twice"),  # averaged again
    Row("charged"),  # detectors
    Row("reduction"),  # of the gain computers, in nepers
    Row("amplitude"),  # from here on scratch: of the detectors at a frame's end
    Row("gains"),  # make-up, from which the cell takes its share, as logarithms, a frame a lane
    Row("carriers"),  # the whole reduction, of which the cell makes carriers, a frame a lane
)
STATE = offsets_type("STATE", STATES, __name__)(*offsets(row.size(None) for row in STATES))
_SAMPLE_RATES, _FRAME_RATES, _FRAME_LIMITS = (
    tuple(getattr(SET, row.name) for row in SETTINGS if row.becomes == kind)
    for kind in ("sample_rate", "frame_rate", "frame_limit")
)
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
    """What the knobs set: `SETTINGS`."""
    parts = [(mapped, row.rest) for row in SETTINGS for mapped in row.source(source.model.side_chain)]
    biases = [np.concatenate([start, np.full(LANES - start.size, rest)]) for (_, start), rest in parts]
    weights = [padded_rows(weight.T, LANES, source.conditions) for (weight, _), _ in parts]
    return np.concatenate(weights), np.concatenate(biases)


@inner
def _rate(log_seconds, step_s):
    """How far a one-pole filter of that time constant, the logarithm of seconds, goes in a step of `step_s` seconds, 0 to 1."""
    return splat(_ZERO) - expm1(fma(exp(splat(_ZERO) - log_seconds), _ZERO - step_s, _ZERO - _LEAST))


@inner
def _positive(x):
    return fma(softplus(x * np.float32(SHARPNESS)), np.float32(1 / SHARPNESS), _LEAST)


@inner
def modulate(weights, constants, state, row):
    """From what the knobs add up to, (SET.end,) at `row`, to rates a step, curves in nepers and mixes, in place."""
    sample_s, frame_s = weights[constants + CONSTANT.sample_s], weights[constants + CONSTANT.frame_s]
    for part in _SAMPLE_RATES:
        store(state, row + part, _rate(load(state, row + part), sample_s))
    for part in _FRAME_RATES:
        store(state, row + part, _rate(load(state, row + part), frame_s))
    for part in _FRAME_LIMITS:
        store(state, row + part, fma(exp(load(state, row + part)), frame_s, _LEAST))
    store(state, row + SET.range, exp(minimum(maximum(load(state, row + SET.range), _ZERO - _LOG_WIDEST), _LOG_WIDEST)))
    difference = load(state, row + SET.attack) - load(state, row + SET.release)
    store(state, row + SET.sign, minimum(maximum(difference * _HUGE + _ONE, splat(_ZERO) - _ONE), _ONE))
    slope = splat(_ZERO) - expm1(splat(_ZERO) - _positive(load(state, row + SET.slope)))
    knee = _positive(load(state, row + SET.knee)) + np.float32(NARROWEST_KNEE)
    store(state, row + SET.slope, slope)
    store(state, row + SET.knee, knee)
    total = splat(_ZERO)
    for k in range(DETECTORS):
        mix = _positive(load(state, row + SET.mixes + k * LANES))
        store(state, row + SET.mixes + k * LANES, mix)
        total = total + mix
    for k in range(DETECTORS):
        store(state, row + SET.mixes + k * LANES, load(state, row + SET.mixes + k * LANES) / total)
    at_full_scale = _curve(state, row, splat(_ZERO)) * load(weights, constants + CONSTANT.shares)
    state[row + SET.offset] += weights[constants + CONSTANT.auto_makeup] * sum_lanes(at_full_scale)


@inner
def _curve(state, row, level):
    """The reductions in nepers that the gain computers ask for, a lane each, at a level in nepers."""
    knee, most = load(state, row + SET.knee), load(state, row + SET.range)
    bent = fma(load(state, row + SET.slope) * knee, softplus((level - load(state, row + SET.threshold)) / knee), _LEAST)
    return most * (splat(_ZERO) - expm1((splat(_ZERO) - bent) / most))


@inner
def run(plan, v, weights, constants, state, row, mod_step, first, frames):
    """Frames whose keys are known to their make-up and reduction in the state, and to features: k of frame f to
    features[16 (first + k) + f].
    """
    for f in range(frames):
        _detect(weights, constants, state, v.key + f * plan.hop_lanes, plan.hop, v.side_chain, row + f * mod_step)
        _compute(weights, constants, state, v.side_chain, row + f * mod_step, v.features, first, f)


@inner
def _detect(weights, constants, state, key, hop, side, row):
    """The detectors over a hop.

    Of the two places that attack and release lead to, the higher one is right where attack is the quicker; where release is,
    all signs are turned. So only a product and a maximum wait for the sample before.
    """
    average, attack, release = load(state, row + SET.average), load(state, row + SET.attack), load(state, row + SET.release)
    sign = load(state, row + SET.sign)
    magnitudes, waves = load(weights, constants + CONSTANT.magnitudes) * sign, load(weights, constants + CONSTANT.waves) * sign
    roots, powers = load(weights, constants + CONSTANT.roots) * sign, load(weights, constants + CONSTANT.powers) * sign
    once, twice = maximum(load(state, side + STATE.once), _FAINTEST), maximum(load(state, side + STATE.twice), _FAINTEST)
    charged = load(state, side + STATE.charged) * sign
    for i in range(hop):
        sample = splat(state[key + i])
        once = fma(average, fma(sample, sample, _FAINTEST) - once, once)
        twice = fma(average, once - twice, twice)
        power = twice + _FLOOR_POWER
        heard = fma(roots, root(power), fma(powers, power, fma(magnitudes, magnitude(sample), fma(waves, sample, _FAINTEST))))
        distance = heard - charged
        charged = maximum(fma(attack, distance, charged), fma(release, distance, charged))
    charged = charged * sign
    store(state, side + STATE.once, keep_between(once, _FAINTEST, _LOUDEST))
    store(state, side + STATE.twice, keep_between(twice, _FAINTEST, _LOUDEST))
    store(state, side + STATE.charged, keep_between(charged, _FAINTEST, _LOUDEST))
    charged, powers = maximum(charged, _ZERO), load(weights, constants + CONSTANT.powers)
    store(state, side + STATE.amplitude, fma(powers, root(charged + _FLOOR_POWER) - charged, charged))


@inner
def _compute(weights, constants, state, side, row, features, first, f):
    """The gain computers, a lane each, and their ballistics for frame f."""
    mixed = splat(_FLOOR)
    for k in range(DETECTORS):
        mixed = fma(load_one(state, side + STATE.amplitude + k), load(state, row + SET.mixes + k * LANES), mixed)
    wanted = _curve(state, row, log(mixed))
    before = load(state, side + STATE.reduction)
    distance = wanted - before
    up, down = load(state, row + SET.reduction_attack), load(state, row + SET.reduction_release)
    step = fma(up, maximum(distance, _ZERO), down * minimum(distance, _ZERO))
    reduction = before + minimum(maximum(step, splat(_ZERO) - load(state, row + SET.fall)), load(state, row + SET.rise))
    reduction = keep_between(reduction, _FAINTEST, _LOUDEST)
    store(state, side + STATE.reduction, reduction)
    state[side + STATE.gains + f] = state[row + SET.offset]
    state[side + STATE.carriers + f] = sum_lanes(reduction * load(weights, constants + CONSTANT.shares))
    level = log(load(state, side + STATE.amplitude) + _FLOOR) * np.float32(SCALE) + np.float32(2.0)
    store(state, side + STATE.amplitude, level)
    for k in range(DETECTORS):
        state[features + (first + k) * LANES + f] = state[side + STATE.amplitude + k]
    store(state, side + STATE.amplitude, wanted)
    for m in range(GAIN_COMPUTERS):
        at = features + (first + DETECTORS + m) * LANES + f
        state[at] = state[side + STATE.amplitude + m]
        state[at + GAIN_COMPUTERS * LANES] = state[side + STATE.reduction + m]
