"""opto as native code: blocks of audio through the network, without allocation, Python objects or locks.

Everything lives in arrays that the caller owns, of which `layout` says what is where. What happens to a sample depends on its
position in the stream alone, never on how the stream is cut into blocks: any block size gives the same bits.

Two clocks tick: frames of `hop` samples for the network, tiles of 16 samples for the colour stage. Up to 16 frames are worked
on at once, one layer after the other, because a layer's products for several frames are independent of one another and fill the
pipeline. A row of a scratch buffer belongs to a frame.

In all functions `layout` is a `layout.Layout`, of which `plan`, `w`, `v`, `c` and `m` are parts: sizes, and offsets into
`weights`, into `state` (that of a voice) and into `own` (that of a channel), which are float32.
"""

from __future__ import annotations

import numpy as np

from mlxopto.engine import cell, colour, dense, film, knobs, levels, side_chain
from mlxopto.engine.colour import FAINTEST, LOUDEST
from mlxopto.engine.knobs import ENDS, MIXES
from mlxopto.engine.layout import FEATURE_LANES, FEATURES, MEAN, OFF, UNHEARD, layout_of, sounding_size
from mlxopto.engine.table import FRAMES
from mlxopto.models.opto import MAX_LOG_GAIN, STEEP
from mlxopto.native.arithmetic import exp, tanh
from mlxopto.native.compiler import inner, kernel
from mlxopto.native.memory import get, load, put, store
from mlxopto.native.vector import (
    LANES,
    fma,
    is_beyond,
    keep_between,
    largest_lane,
    louder,
    magnitude,
    maximum,
    minimum,
    root,
    splat,
    sum_lanes,
    with_sign,
)  # fmt: skip

_STEEP = np.float32(STEEP)
_ZERO, _UNHEARD = np.float32(0.0), np.float32(UNHEARD)


@kernel
def process(numbers, weights, state, x, key, y, gain, first_voice, end_voice):
    """A block of any length through some of the voices.

    Args:
        numbers: the layout, as `layout.lay_out` writes it. state: that of all voices and channels.
        x, y: (samples, channels), in and out, which may be one array. key: (samples, keys), what the detectors hear: a column a
        voice, or one for all, or what the link combines. gain: (samples, voices), is filled with the linear gain of the
        network.
    """
    layout = layout_of(numbers)
    plan = layout.plan
    for voice in range(first_voice, end_voice):
        own = voice_state(plan, state, voice)
        at = 0
        while at < len(x):
            count = min(len(x) - at, FRAMES * plan.hop - int(own[layout.voice.hop_phase]))
            _advance(layout, weights, state, own, x, key, y, gain, voice, at, count)
            at += count


@kernel
def is_audio(x):
    """Whether all samples, float32 (n,), are numbers that are played: up to LOUDEST."""
    fine = True
    for t in range(x.size):
        fine &= abs(x[t]) <= LOUDEST
    return fine


@kernel
def aim(numbers, state, target, voice):
    """Sends the knobs, wet and dry of a voice to a target, where they arrive after `glide_frames` frames; below 1e-15 they
    count as 0.
    """
    layout = layout_of(numbers)
    plan, v, own = layout.plan, layout.voice, voice_state(layout.plan, state, voice)
    for k in range(plan.knobs + MIXES):
        own[v.target + k] = keep_between(target[k], FAINTEST, LOUDEST)
    own[v.gliding] = np.float32(plan.glide_frames)


@inner
def take_meters(layout, state, row):
    """Fills row[0] with the lowest gain of all voices, then the peaks in and the peaks out of each channel, and begins anew.

    Returns the number of samples that were no numbers. Before the first time, what was there before counts in.
    """
    plan, v, c = layout.plan, layout.voice, layout.channel
    lowest, odd = _UNHEARD, _ZERO
    for voice in range(plan.voices):
        own = voice_state(plan, state, voice)
        lowest = min(lowest, own[v.lowest])
        own[v.lowest] = _UNHEARD
    row[0] = lowest
    for channel in range(plan.channels):
        own = channel_state(plan, state, channel)
        row[1 + channel], row[1 + plan.channels + channel] = own[c.peak_in], own[c.peak_out]
        odd += own[c.not_numbers]
        own[c.peak_in] = own[c.peak_out] = own[c.not_numbers] = _ZERO
    return int(odd)


@inner
def voice_state(plan, state, voice):
    """The state of a voice, of that of all."""
    return state[voice * plan.voice_size : (voice + 1) * plan.voice_size]


@inner
def channel_state(plan, state, channel):
    """The state of a channel, of that of all."""
    at = plan.voices * plan.voice_size + channel * plan.channel_size
    return state[at : at + plan.channel_size]


@inner
def _advance(layout, weights, all_states, state, x, key, y, gain, voice, at, count):
    """A piece of the block, of no more than FRAMES hops, through one voice."""
    plan, v = layout.plan, layout.voice
    phase, tile_phase = int(state[v.hop_phase]), int(state[v.tile_phase])
    _listen(plan, v, state, key, voice, at, count, phase)
    frames = (phase + count) // plan.hop
    if frames:
        mod_step = knobs.glide(layout, weights, state, frames)
        _network(layout, weights, state, mod_step, frames)
        for i in range(plan.modulation if mod_step else 0):
            state[v.modulations + i] = state[v.modulations + (frames - 1) * mod_step + i]
        for i in range(0, plan.hop_lanes):
            state[v.key + i] = state[v.key + frames * plan.hop_lanes + i]
    hops = (phase + count + plan.hop - 1) // plan.hop
    for hop in range(hops + 1):
        state[v.lowest] = minimum(state[v.ends + hop], state[v.lowest])
    for row in range(1 + MIXES):
        ends = v.ends + row * ENDS
        falling = 0 if row else plan.hop_lanes
        _sound(plan, weights, layout.weights.ramps, falling, state, ends, v.sounding + row * sounding_size(plan) + LANES, hops)
        state[ends], state[ends + 1] = state[ends + frames], state[ends + frames + 1]
    _write(state, v.sounding + LANES + phase, count, gain, voice, at)
    state[v.hop_phase] = np.float32(phase + count - frames * plan.hop)
    state[v.tile_phase] = np.float32((tile_phase + count) % LANES)
    first = voice if plan.link == OFF else 0
    for channel in range(first, first + 1 if plan.link == OFF else plan.channels):
        own = channel_state(plan, all_states, channel)
        _play(layout, weights, state, own, channel, x, y, at, count, phase, tile_phase)


@inner
def _network(layout, weights, state, mod_step, frames):
    """The gains of frames whose keys are known, to ends[2:]."""
    plan, w, v, m = layout.plan, layout.weights, layout.voice, layout.modulation
    lanes = plan.lanes
    step, compressing = FEATURE_LANES, v.features + levels.FEATURES
    levels.run(plan, v, state, v.features, step, frames)
    side_chain.run(plan, v, weights, w.side_chain, state, v.modulations + m.side_chain, mod_step, compressing, step, frames)
    cell.run(v, weights, w.cell, state, compressing + side_chain.FEATURES, step, frames)
    dense.run(weights, w.lift, state, v.features, step, FEATURES, v.h, lanes, lanes, frames)
    for layer in range(plan.layers):
        at, modulations = w.layers + layer * plan.layer_weights, v.modulations + m.layers + layer * plan.layer_modulation
        film.run(plan, v, weights, at, state, modulations, mod_step, frames)
    for f in range(frames):
        total = splat(_ZERO)
        for o in range(0, lanes, LANES):
            total = fma(load(state, v.h + f * lanes + o), load(weights, w.head + o), total)
        state[v.side_chain + side_chain.STATE.gains + f] += sum_lanes(total)
    head = load(state, v.side_chain + side_chain.STATE.gains) + load(weights, w.head_bias)
    bounded = tanh(head * np.float32(1 / MAX_LOG_GAIN)) * np.float32(MAX_LOG_GAIN)
    store(state, v.ends + 2, exp(bounded + load(weights, w.log_level)))


@inner
def _play(layout, weights, state, own, channel, x, y, at, count, phase, tile_phase):
    """One channel of `count` samples: gain, colour, mix. `own` is the channel's state."""
    plan, w, v, c = layout.plan, layout.weights, layout.voice, layout.channel
    size, row = sounding_size(plan), v.sounding + (1 + MIXES) * sounding_size(plan)
    begin, end, sounding = row + tile_phase, row + tile_phase + count, v.sounding + LANES + phase
    _read(x, channel, at, count, state, begin)
    store(state, end, splat(_ZERO))
    _clean(c, state, own, begin, count)
    past = row + size
    store(state, past, load(own, c.before))
    store(state, past + LANES, load(own, c.tile))
    tiles = past + LANES - row
    for t in range(0, count, LANES):
        compressed = load(state, begin + t) * load(state, sounding + t)
        store(state, tiles + begin + t, colour.bent(weights, w.colour_curve, compressed))
    store(state, tiles + end, splat(_ZERO))
    for start in range(row, end, LANES):
        wet = colour.filtered(plan, w, c, weights, own, state, tiles + start, start + LANES <= end)
        mix = sounding + start - begin
        store(state, start, fma(wet, load(state, mix + size), load(state, start) * load(state, mix + 2 * size)))
    done = past + (tile_phase + count) // LANES * LANES
    store(own, c.before, load(state, done))
    store(own, c.tile, load(state, done + LANES))
    store(state, end, splat(_ZERO))
    peak = splat(_ZERO)
    for t in range(begin, end, LANES):
        peak = maximum(magnitude(load(state, t)), peak)
    own[c.peak_out] = maximum(largest_lane(peak), own[c.peak_out])
    _write(state, begin, count, y, channel, at)


@inner
def _clean(c, state, own, at, count):
    """Makes what is no audio silent, and meters the rest; 16 zeros lie after the samples. `own` is the channel's state."""
    peak, odd = splat(_ZERO), splat(_ZERO)
    for t in range(at, at + count, LANES):
        raw = load(state, t)
        sample = keep_between(raw, FAINTEST, LOUDEST)
        peak, odd = maximum(magnitude(sample), peak), odd + is_beyond(raw, LOUDEST)
        store(state, t, sample)
    own[c.peak_in] = maximum(largest_lane(peak), own[c.peak_in])
    own[c.not_numbers] += sum_lanes(odd)


@inner
def _sound(plan, weights, ramps, falling, state, ends, sounding, hops):
    """From values at the ends of hops to one for each sample, on a ramp up or, that much further on, a ramp down."""
    for hop in range(hops):
        start, end = state[ends + hop], state[ends + hop + 1]
        ramp = ramps + falling if end < start * _STEEP else ramps
        for i in range(0, plan.hop_lanes, LANES):
            store(state, sounding + hop * plan.hop + i, fma(load(weights, ramp + i), end - start, splat(start)))


@inner
def _listen(plan, v, state, key, voice, at, count, phase):
    """Puts the key's samples into rows of a hop, after the `phase` samples that wait in the first row."""
    heard = v.sounding
    if plan.link == OFF or key.shape[1] == 1:
        _read(key, voice if plan.link == OFF and key.shape[1] > 1 else 0, at, count, state, heard)
        for t in range(heard, heard + count, LANES):
            store(state, t, keep_between(load(state, t), FAINTEST, LOUDEST))
    else:
        _link(plan, state, key, at, count, heard)
    hop, done = v.key, 0
    while done < count:
        length = min(plan.hop - phase, count - done)
        _copy(state, heard + done, length, hop + phase)
        hop, phase, done = hop + plan.hop_lanes, 0, done + length


@inner
def _link(plan, state, key, at, count, heard):
    """What linked channels make together: the loudest sample, or the root of the mean power with the sign of that."""
    single, power = heard + sounding_size(plan), heard + 2 * sounding_size(plan)
    for t in range(0, count, LANES):
        store(state, heard + t, splat(_ZERO))
        store(state, power + t, splat(_ZERO))
    for c in range(key.shape[1]):
        _read(key, c, at, count, state, single)
        for t in range(0, count, LANES):
            sample = keep_between(load(state, single + t), FAINTEST, LOUDEST)
            store(state, single + t, sample)
            store(state, heard + t, louder(load(state, heard + t), sample))
            store(state, power + t, fma(sample, sample, load(state, power + t)))
    if plan.link == MEAN:
        for t in range(0, count, LANES):
            mean = load(state, power + t) / np.float32(key.shape[1])
            store(state, heard + t, with_sign(root(mean), load(state, heard + t)))


@inner
def _read(source, column, at, count, target, to):
    """target[to:] = source[at : at + count, column]."""
    t = 0
    if source.shape[1] == 1:
        while t + LANES <= count:
            store(target, to + t, load(source, at + t))
            t += LANES
    step = source.shape[1]
    while t < count:
        put(target, to + t, get(source, (at + t) * step + column))
        t += 1


@inner
def _write(source, start, count, target, column, at):
    """target[at : at + count, column] = source[start:]."""
    t = 0
    if target.shape[1] == 1:
        while t + LANES <= count:
            store(target, at + t, load(source, start + t))
            t += LANES
    step = target.shape[1]
    while t < count:
        put(target, (at + t) * step + column, get(source, start + t))
        t += 1


@inner
def _copy(state, start, count, to):
    """state[to : to + count] = state[start : start + count]."""
    t = 0
    while t + LANES <= count:
        store(state, to + t, load(state, start + t))
        t += LANES
    while t < count:
        put(state, to + t, get(state, start + t))
        t += 1
