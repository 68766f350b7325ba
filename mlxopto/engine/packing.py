"""From a trained network to the flat arrays that the kernel reads."""

from __future__ import annotations

import math
from collections.abc import Iterable

import mlx.core as mx
import numpy as np

from mlxopto.engine.kernel import FAINTEST, OFF, Plan, channel_at, voice_at
from mlxopto.engine.rate import Filters, Frames
from mlxopto.engine.side_chain import MODULATION
from mlxopto.models.opto import Block, Opto
from mlxopto.native.vector import LANES
from mlxopto.nn import Dense
from mlxopto.nn.colour import Colour
from mlxopto.nn.side_chain import DETECTORS, REACH, RECTIFIED, KnobMap, SideChain

AT_ONCE = -30.0  # the logarithm of seconds that are no time at all
NO_RATIO = -100.0  # for lanes without a gain computer
GLIDE_S = 0.02  # a change of the controls arrives after this time


def pack(model: Opto, channels: int, link: int, frames: Frames, filters: Filters) -> tuple[Plan, np.ndarray]:
    """The sizes, and all weights in the order of use: ramp, network, knobs, colour. Below 1e-15 they count as 0."""
    config = model.config
    lanes = whole(config.width)
    hidden = whole(config.knob_hidden)
    side_at = (2 + 3 * config.blocks) * lanes
    ramp = _padded(np.arange(1, frames.hop + 1) / frames.hop, whole(frames.hop))
    network = [ramp, *_side_chain(model.side_chain, frames), *_network(model, lanes, frames.stretch, filters.level)]
    knobs = _knobs(model, lanes, hidden)
    colour = _colour(model.colour, filters)
    sizes = [sum(part.size for part in parts) for parts in (network, knobs)]
    plan = Plan(
        channels=channels,
        voices=channels if link == OFF else 1,
        link=link,
        hop=frames.hop,
        hop_lanes=whole(frames.hop),
        lanes=lanes,
        states=config.states,
        bc_lanes=whole(2 * config.states),
        blocks=config.blocks,
        knobs=config.controls,
        hidden_lanes=hidden,
        side_at=side_at,
        modulation=side_at + MODULATION,
        poles=filters.mix.size,
        taps=filters.fir.size,
        glide_frames=max(1, round(GLIDE_S * frames.per_second)),
        knobs_at=sizes[0],
        colour_at=sum(sizes),
        voice_size=0,
        channel_size=0,
    )
    plan = plan._replace(voice_size=whole(voice_at(plan, 0).end), channel_size=whole(channel_at(plan, 0).end))
    weights = np.concatenate([part.ravel() for part in (*network, *knobs, *colour)])
    return plan, aligned(np.where(np.abs(weights) < FAINTEST, 0, weights))


def room(plan: Plan) -> np.ndarray:
    """Room for the state, all zeros."""
    return aligned(np.zeros(plan.voices * plan.voice_size + plan.channels * plan.channel_size))


def whole(count: int) -> int:
    """Rounded up to whole vectors."""
    return -(-count // LANES) * LANES


def aligned(values: np.ndarray) -> np.ndarray:
    """A float32 copy that begins on a cache line."""
    room = np.zeros(values.size + LANES, np.float32)
    start = (-room.ctypes.data // 4) % LANES
    room[start : start + values.size] = values
    return room[start : start + values.size]


def _network(model: Opto, lanes: int, stretch: float, level: float) -> list[np.ndarray]:
    parts = [*_dense(model.lift, lanes), *_dense(model.gain_computer.gate, 2 * lanes, inputs=lanes, halves=2)]
    for block in model.blocks:
        parts += [*_block(block, lanes, stretch), *_dense(block.film.gate, 2 * lanes, inputs=lanes, halves=2)]
    bias = _array(model.head.bias)[0]
    return [*parts, _padded(_array(model.head.weight)[0], lanes), np.full(LANES, bias), np.full(LANES, math.log(level))]


def _block(block: Block, lanes: int, stretch: float) -> list[np.ndarray]:
    """in; dt, B and C as one product (the bias of dt comes with the modulations); A (in octaves a step), 1 / A and D; out."""
    s6 = block.s6
    width, states = s6.a_log.shape
    steps = np.zeros((whole(2 * states) + lanes, lanes))
    steps[:width, :width] = _array(s6.dt.weight)
    steps[lanes : lanes + 2 * states, :width] = _array(s6.bc.weight)
    bias = np.zeros(len(steps))
    bias[lanes : lanes + 2 * states] = _array(s6.bc.bias)
    rates = np.full((states, lanes), -1.0)
    rates[:, :width] = -np.exp(_array(s6.a_log)).T
    skip = _padded(_array(s6.skip), lanes)
    octaves = rates * stretch * math.log2(math.e)
    steps_in = _dense(s6.input, 2 * lanes, inputs=lanes, halves=2)
    return [*steps_in, bias, steps.T, octaves, 1 / rates, skip, *_dense(s6.output, lanes, inputs=lanes)]


def _knobs(model: Opto, lanes: int, hidden: int) -> list[np.ndarray]:
    """The hidden layer, then all modulations as one product: shift and 1 + scale of a FiLM, and the shifts of the step sizes."""
    conditions = model.config.controls + hidden
    parts = _dense(model.knobs, hidden) if model.knobs else []
    rows = [*_film(model.gain_computer.film.affine, lanes, conditions)]
    for block in model.blocks:
        shift = _padded_rows(_array(block.dt_shift.weight), lanes, conditions)
        bias = _padded(_array(block.dt_shift.bias) + _array(block.s6.dt.bias), lanes)
        rows += [(shift, bias), *_film(block.film.film.affine, lanes, conditions)]
    rows += _side_chain_rows(model.side_chain, conditions)
    return [*parts, np.concatenate([bias for _, bias in rows]), np.concatenate([weight for weight, _ in rows]).T]


def _side_chain(side: SideChain, frames: Frames) -> list[np.ndarray]:
    """The constants that `engine.side_chain` names, in that order."""
    half = DETECTORS // 2
    angle = REACH * _array(side.rectifier)
    roots, powers = np.repeat(np.eye(2), half, axis=1)
    roots[:RECTIFIED] = 0
    auto_makeup = REACH * _array(side.auto_makeup)
    seconds = np.array([1 / (frames.hop * frames.per_second), 1 / frames.per_second])
    heard = np.cos(angle), np.sin(angle), roots, powers
    return [_padded(row, LANES) for row in (*heard, _array(side.shares()), auto_makeup, *seconds[:, None])]


def _side_chain_rows(side: SideChain, conditions: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Weights and biases of what the knobs add up to: rows that `engine.side_chain` names, in that order."""

    def rows(weight: np.ndarray, start: np.ndarray, rest: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        bias = np.concatenate([start, np.full(LANES - start.size, rest)])
        return _padded_rows(weight.T, LANES, conditions), bias

    def mapped(knob_map: KnobMap, rest: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        weight, start = map(_array, knob_map.affine())
        return rows(weight, start, rest)

    fast, slow = DETECTORS // 4, DETECTORS // 4 + 1  # detectors of root mean squares; the others do not average
    average = np.full(DETECTORS, AT_ONCE)
    averages, starts = map(_array, side.average.affine())
    weight = np.zeros((len(averages), DETECTORS))
    for half in (0, DETECTORS // 2):
        for lane, column in ((fast, 0), (slow, 1)):
            average[half + lane] = starts[column]
            weight[:, half + lane] = averages[:, column]
    mixes = zip(*(np.split(_array(part), DETECTORS, axis=-1) for part in side.mix.affine()), strict=True)
    return [
        rows(weight, average), mapped(side.attack), mapped(side.release), mapped(side.threshold),
        mapped(side.ratio, rest=NO_RATIO), mapped(side.knee), mapped(side.range), mapped(side.reduction_attack),
        mapped(side.reduction_release), mapped(side.rise), mapped(side.fall), mapped(side.makeup),
        rows(np.zeros((len(weight), 0)), np.zeros(0)), *(rows(*mix) for mix in mixes),
    ]  # fmt: skip


def _film(affine: Dense, lanes: int, conditions: int) -> list[tuple[np.ndarray, np.ndarray]]:
    weight, bias = _array(affine.weight), _array(affine.bias)
    scale, shift = np.split(weight, 2)
    scale_bias, shift_bias = np.split(bias, 2)
    return [
        (_padded_rows(shift, lanes, conditions), _padded(shift_bias, lanes)),
        (_padded_rows(scale, lanes, conditions), _padded(1 + scale_bias, lanes)),
    ]


def _colour(colour: Colour, filters: Filters) -> list[np.ndarray]:
    """Harmonics and the inverse of the level that the gain took over; the response of FIR and poles to an impulse; the FIR; how the
    poles ring on; how they lose and gain over a tile."""
    n = np.arange(LANES)
    fir, mix, rate = filters.fir, filters.mix[:, None], filters.rates[:, None]
    impulse = _padded(fir, LANES) + (mix * rate * (1 - rate) ** n).sum(0)
    gains = np.concatenate([(1 - rate) ** LANES - 1, rate * (1 - rate) ** n[::-1]], axis=1)
    return [
        _padded([*_array(colour.harmonics), 1 / filters.level], LANES), np.zeros(LANES), impulse, _padded(fir, 2 * LANES),
        mix * (1 - rate) ** (n + 1), _padded_rows(gains.T, LANES + 1, LANES),
    ]  # fmt: skip


def _dense(layer: Dense, outputs: int, inputs: int | None = None, halves: int = 1) -> list[np.ndarray]:
    """Bias and weights (inputs, outputs), each half of the outputs rounded up by itself."""
    weight, bias = _array(layer.weight), _array(layer.bias)
    columns = inputs or weight.shape[1]
    weights = [_padded_rows(part, outputs // halves, columns) for part in np.split(weight, halves)]
    biases = [_padded(part, outputs // halves) for part in np.split(bias, halves)]
    return [np.concatenate(biases), np.concatenate(weights).T]


def _padded_rows(weight: np.ndarray, rows: int, columns: int) -> np.ndarray:
    return np.pad(weight, ((0, rows - weight.shape[0]), (0, columns - weight.shape[1])))


def _padded(values: Iterable[float] | np.ndarray, size: int) -> np.ndarray:
    array = np.asarray(values, np.float64)
    return np.pad(array, (0, size - array.size))


def _array(parameter: mx.array) -> np.ndarray:
    return np.array(parameter, dtype=np.float64)
