"""The one layout of the network: which parts the two arrays have, `weights` and `state`, in tables from which all offsets come.

`weights` is read only. `state` holds a part for each voice, then one for each channel. What a layer keeps in them stands in
that layer's own file, in `pack` beside `run`; here the parts are put together.
"""

from __future__ import annotations

import math
from collections import namedtuple
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numba import types
from numba.extending import intrinsic, register_jitable

from mlxopto.engine import cell, colour, dense, film, knobs, levels, side_chain
from mlxopto.engine.knobs import ENDS, MIXES
from mlxopto.engine.table import FRAMES, Part, Row, Source, float64, made, offsets, offsets_type, padded, whole
from mlxopto.native.vector import LANES
from mlxopto.nn.levels import WINDOW
from mlxopto.nn.side_chain import REACH

OFF, MAX, MEAN = range(3)  # links
FEATURES = levels.FEATURES + side_chain.FEATURES + cell.FEATURES
FEATURE_LANES = whole(FEATURES)
UNHEARD = 1e6  # the lowest gain where there was none
GLIDE_S = 0.02  # a change of the controls arrives after this time


class Plan(NamedTuple):
    """Sizes of the network. `lanes` is the width rounded up to whole vectors, and so on."""

    channels: int
    voices: int  # gain paths: one a channel, or one that linked channels share
    link: int
    hop: int  # samples a frame
    hop_lanes: int
    lanes: int
    layers: int
    knobs: int
    hidden_lanes: int
    poles: int
    taps: int
    glide_frames: int  # that a change of the controls takes
    layer_weights: int  # from one layer to the next
    layer_modulation: int
    modulation: int  # numbers that the knobs set for a frame
    voice_size: int
    channel_size: int


# `lanes` is the network's width; levels are linear, of full scale, logarithms are nepers
VOICE = (
    Row("hop_phase", lambda _: 1),  # samples of the hop that is under way
    Row("tile_phase", lambda _: 1),  # and of the tile
    Row("gliding", lambda _: 1),  # frames until the controls have arrived
    Row("lowest", lambda _: 1, UNHEARD),  # gain, since somebody set it
    Row("position", lambda plan: plan.knobs + MIXES, None),  # of the knobs, -1 to 1, then wet and dry level
    Row("target", lambda plan: plan.knobs + MIXES, None),  # where they glide to
    Row("window", lambda _: 2 * (FRAMES + WINDOW - 1)),  # (hops, 2): peak and power; the first rows are remembered
    Row("key", lambda plan: (FRAMES + 1) * plan.hop_lanes),  # (hops, hop_lanes): what the detectors hear
    Row("side_chain", lambda _: side_chain.STATE.end),  # see `side_chain.STATES`
    Row("cell", lambda _: cell.STATE.end),  # see `cell.STATES`
    Row("modulations", lambda plan: FRAMES * plan.modulation, None),  # (frames, modulation); the first row is remembered
    Row("ends", lambda _: (1 + MIXES) * ENDS, None),  # (3, ENDS): gain, wet, dry at the ends of hops
    Row("condition", lambda plan: FRAMES * (plan.knobs + plan.hidden_lanes)),  # (frames, knobs, then hidden units); now scratch
    Row("features", lambda _: FRAMES * FEATURE_LANES),  # (frames, features)
    Row("h", lambda plan: FRAMES * plan.lanes),  # (frames, lanes): what goes from layer to layer
    Row("wide", lambda plan: FRAMES * 2 * plan.lanes),  # (frames, 2 lanes): before a gate
    Row("bent", lambda plan: FRAMES * plan.lanes),  # (frames, lanes): after FiLM
    Row("sounding", lambda plan: 5 * sounding_size(plan)),  # (5, sounding_size): gain, wet, dry, audio, audio through the curve
)
CHANNEL = (
    Row("before"),  # the tile before, through the curve
    Row("tile"),  # the samples of the tile that are known, zeros after them
    Row("poles"),
    Row("peak_in", lambda _: 1),  # since somebody set it to zero, as the other meters
    Row("peak_out", lambda _: 1),
    Row("not_numbers", lambda _: 1),  # samples that were none
)


def _ramps(source: Source) -> np.ndarray:
    """How far a rising, then a falling gain have come after each sample of a hop, see `Opto.ramps`; (2, hop_lanes)."""
    hop = source.frames.hop
    left = 1 - np.arange(1, hop + 1) / hop
    steepness = np.exp(REACH * float64(source.model.steepness))
    return np.concatenate([padded(1 - left**power, whole(hop)) for power in (1.0, steepness)])


WEIGHTS = (
    Part("ramps", _ramps),
    Part("side_chain", side_chain.pack),
    Part("cell", cell.pack),
    Part("lift", lambda source: dense.pack(source.model.lift, source.lanes)),
    Part("layers", lambda source: np.concatenate([film.pack(layer, source.lanes) for layer in source.model.layers])),
    Part("head", lambda source: padded(float64(source.model.head.weight)[0], source.lanes)),
    Part("head_bias", lambda source: np.full(LANES, float64(source.model.head.bias)[0])),
    Part("log_level", lambda source: np.full(LANES, math.log(source.filters.level))),  # of the colour stage, for the gain
    *knobs.WEIGHTS,
    *colour.WEIGHTS,
)

Weights = offsets_type("Weights", WEIGHTS, __name__)
Modulation = offsets_type("Modulation", knobs.MODULATION, __name__)
Voice = offsets_type("Voice", VOICE, __name__)
Channel = offsets_type("Channel", CHANNEL, __name__)
_PARTS = {
    "plan": Plan,
    "weights": Weights,
    "modulation": Modulation,
    "voice": Voice,
    "channel": Channel,
}
Layout = namedtuple("Layout", list(_PARTS))
NUMBERS = sum(len(part._fields) for part in _PARTS.values())


def lay_out(source: Source, channels: int, link: int) -> tuple[np.ndarray, np.ndarray]:
    """The layout as numbers, int64 (NUMBERS,), and the weights. Weights below 1e-15 count as 0."""
    weights = made(WEIGHTS, source)
    first = source.model.layers[0]
    modulation = offsets(len(part.make(source)[1]) for part in knobs.MODULATION)
    config, frames = source.model.config, source.frames
    plan = Plan(
        channels=channels,
        voices=channels if link == OFF else 1,
        link=link,
        hop=frames.hop,
        hop_lanes=whole(frames.hop),
        lanes=source.lanes,
        layers=config.layers,
        knobs=config.controls,
        hidden_lanes=source.hidden_lanes,
        poles=source.filters.mix.size,
        taps=source.filters.fir.size,
        glide_frames=max(1, round(GLIDE_S * frames.per_second)),
        layer_weights=film.pack(first, source.lanes).size,
        layer_modulation=film.modulation(first, source)[1].size,
        modulation=modulation[-1],
        voice_size=0,
        channel_size=0,
    )
    voice, channel = (_places(table, plan) for table in (VOICE, CHANNEL))
    plan = plan._replace(voice_size=whole(voice[-1]), channel_size=whole(channel[-1]))
    numbers = [*plan, *offsets(array.size for array in weights), *modulation, *voice, *channel]
    joined = np.concatenate(weights)
    return np.array(numbers, np.int64), aligned(np.where(np.abs(joined) < colour.FAINTEST, 0, joined))


def _places(table: Sequence[Row], plan: Plan) -> list[int]:
    """Where the rows of a state begin, each on a cache line, and where the last one ends."""
    return offsets(whole(row.size(plan)) for row in table)


@intrinsic
def layout_of(_context, _numbers):
    """The layout that `lay_out` has written as numbers, int64 (NUMBERS,)."""
    kinds = [types.NamedUniTuple(types.int64, len(part._fields), part) for part in _PARTS.values()]
    whole_kind = types.NamedTuple(kinds, Layout)

    def codegen(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        places = iter(range(NUMBERS))
        parts = []
        for kind in kinds:
            fields = [
                builder.load(builder.gep(data, [context.get_constant(types.intp, next(places))])) for _ in range(kind.count)
            ]
            parts.append(context.make_tuple(builder, kind, fields))
        return context.make_tuple(builder, whole_kind, parts)

    return whole_kind(_numbers), codegen


def room(plan: Plan) -> np.ndarray:
    """Room for the state, all zeros."""
    return aligned(np.zeros(plan.voices * plan.voice_size + plan.channels * plan.channel_size))


def parts_of(state: np.ndarray, plan: Plan) -> list[tuple[Row, np.ndarray]]:
    """Every part of the state of every voice and channel, to be written to."""
    starts = [(VOICE, voice * plan.voice_size) for voice in range(plan.voices)]
    starts += [(CHANNEL, plan.voices * plan.voice_size + channel * plan.channel_size) for channel in range(plan.channels)]
    found = []
    for table, at in starts:
        edges = pairwise(_places(table, plan))
        found += [(row, state[at + begin : at + end]) for row, (begin, end) in zip(table, edges, strict=True)]
    return found


@register_jitable
def sounding_size(plan):
    """Numbers in a row of `sounding`: a margin at either side of the hops."""
    return LANES + FRAMES * plan.hop + plan.hop_lanes + LANES


def aligned(values: np.ndarray) -> np.ndarray:
    """A float32 copy that begins on a cache line."""
    room = np.zeros(values.size + LANES, np.float32)
    start = (-room.ctypes.data // 4) % LANES
    room[start : start + values.size] = values
    return room[start : start + values.size]
