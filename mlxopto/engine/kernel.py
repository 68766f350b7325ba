"""opto as native code: blocks of audio through the network, without allocation, Python objects or locks.

Everything lives in two arrays that the caller owns: `weights` is read in the order in which `packing` writes it, `state` holds one part a
voice and one a channel. What happens to a sample depends on its position in the stream alone, never on how the stream is
cut into blocks: any block size gives the same bits.

Two clocks tick: frames of `hop` samples for the network, tiles of 16 samples for the colour stage. Up to 16 frames are worked on at
once, one layer after the other, because a layer's products for several frames are independent of one another and fill the
pipeline. A row of a scratch buffer belongs to a frame.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba.extending import register_jitable

from mlxopto.engine.side_chain import GAIN_ROW, ROOM, listen_on, modulate
from mlxopto.models.opto import MAX_LOG_GAIN
from mlxopto.native.arithmetic import exp, exp2m1, log, sigmoid, softplus, tanh
from mlxopto.native.compiler import inner, kernel
from mlxopto.native.vector import (
    LANES,
    fma,
    get,
    is_beyond,
    keep_between,
    largest_lane,
    load,
    load_one,
    louder,
    magnitude,
    maximum,
    minimum,
    put,
    root,
    splat,
    store,
    sum_lanes,
    with_sign,
)
from mlxopto.nn.front_end import FLOOR, SCALE, WINDOW
from mlxopto.nn.side_chain import LEAST, SideChain

FRAMES = 16  # worked on at once, one a lane where a layer has few outputs
LEVELS = 4  # features of the level front end; those of the side-chain follow
FEATURES = LEVELS + SideChain.features
FAINTEST, LOUDEST = (
    np.float32(1e-15),
    np.float32(1e12),
)  # samples outside, and what is not a number, are heard and played as silence
OFF, MAX, MEAN = range(3)
MIXES = 2  # wet and dry level, which glide as the knobs do
UNHEARD = np.float32(1e6)  # the lowest gain where there was none
_SHUT = np.float32(-40.0)  # gates close no further, so that what they let through does not become subnormal
_LEAST = np.float32(LEAST)  # of step sizes and of what a scan's states go to, for the same reason
_ONE, _ZERO = np.float32(1.0), np.float32(0.0)


class Plan(NamedTuple):
    """Sizes of the network and of its parts in the two arrays. `lanes` is the width rounded up to whole vectors, and so on."""

    channels: int
    voices: int  # gain paths: one a channel, or one that linked channels share
    link: int
    hop: int  # samples a frame
    hop_lanes: int
    lanes: int
    states: int
    bc_lanes: int  # B and C side by side
    blocks: int
    knobs: int
    hidden_lanes: int
    side_at: int  # where those of the side-chain begin among the numbers that the knobs set
    modulation: int  # numbers that the knobs set for a frame
    poles: int
    taps: int
    glide_frames: int  # that a change of the controls takes
    knobs_at: int  # where the weights of the knobs begin; those of the network begin at 0
    colour_at: int
    voice_size: int
    channel_size: int


class Voice(NamedTuple):
    """Where the parts of a voice lie in the state. Of a buffer with rows, the first rows are remembered from block to block."""

    hop_phase: int
    tile_phase: int
    gliding: int  # frames until the controls have arrived
    lowest: int  # gain, since somebody set it
    position: int  # of the knobs, then wet and dry
    target: int
    window: int  # (frames, 2): peak and power of hops
    key: int  # (frames, hop_lanes)
    side_chain: int  # what it remembers, then its scratch
    scans: int  # (blocks, states, lanes)
    modulations: int  # (frames, modulation)
    ends: int  # three rows, gain, wet, dry: at the ends of hops
    condition: int
    features: int
    h: int
    wide: int
    steps: int
    bent: int
    sounding: int  # four rows: gain, wet, dry and the audio of a channel, for each sample after a margin of a tile
    end: int


class Channel(NamedTuple):
    """Where the parts of a channel lie in the state."""

    tile: int  # the samples of the tile that are known, zeros after them
    before: int  # the tile before
    poles: int
    peak_in: int  # since somebody set it to zero, as the other meters
    peak_out: int
    not_numbers: int  # samples that were none
    end: int


ENDS = 2 * LANES  # numbers in a row of `ends`; FRAMES + 2 are used


@register_jitable
def voice_at(plan, at):
    """The parts of the voice that begins at `at`."""
    controls = plan.knobs + MIXES
    position = at + 4
    target = position + controls
    window = target + controls
    key = window + 2 * (FRAMES + WINDOW - 1)
    side_chain = key + (FRAMES + 1) * plan.hop_lanes
    scans = side_chain + ROOM
    modulations = scans + plan.blocks * plan.states * plan.lanes
    ends = modulations + FRAMES * plan.modulation
    condition = ends + 3 * ENDS
    features = condition + plan.knobs + plan.hidden_lanes
    h = features + FEATURES * LANES
    wide = h + FRAMES * plan.lanes
    steps = wide + FRAMES * 2 * plan.lanes
    bent = steps + FRAMES * (plan.lanes + plan.bc_lanes)
    sounding = bent + FRAMES * plan.lanes
    end = sounding + 4 * sounding_size(plan)
    return Voice(
        at,
        at + 1,
        at + 2,
        at + 3,
        position,
        target,
        window,
        key,
        side_chain,
        scans,
        modulations,
        ends,
        condition,
        features,
        h,
        wide,
        steps,
        bent,
        sounding,
        end,
    )


@register_jitable
def sounding_size(plan):
    """Numbers in a row of `sounding`: a margin at either side of the hops."""
    return LANES + FRAMES * plan.hop + plan.hop_lanes + LANES


@register_jitable
def channel_at(plan, at):
    """The parts of the channel that begins at `at`."""
    meters = at + 3 * LANES
    return Channel(at, at + LANES, at + 2 * LANES, meters, meters + 1, meters + 2, meters + 3)


@inner
def _dense(weights, at, state, x, x_step, i_step, inputs, y, y_step, outputs, frames):
    """y[f, o] = bias[o] + sum_i x[f, i] w[i, o], four frames by up to 32 outputs at a time; returns where the weights end."""
    table = at + outputs
    for f in range(0, frames, 4):
        row, out = x + f * x_step, y + f * y_step
        for o in range(0, outputs - LANES, 2 * LANES):
            a0, b0 = load(weights, at + o), load(weights, at + o + LANES)
            a1, a2, a3 = a0, a0, a0
            b1, b2, b3 = b0, b0, b0
            for i in range(inputs):
                w, u = load(weights, table + i * outputs + o), load(weights, table + i * outputs + o + LANES)
                heard = row + i * i_step
                x0, x1 = load_one(state, heard), load_one(state, heard + x_step)
                x2, x3 = load_one(state, heard + 2 * x_step), load_one(state, heard + 3 * x_step)
                a0, a1, a2, a3 = fma(x0, w, a0), fma(x1, w, a1), fma(x2, w, a2), fma(x3, w, a3)
                b0, b1, b2, b3 = fma(x0, u, b0), fma(x1, u, b1), fma(x2, u, b2), fma(x3, u, b3)
            _store_four(state, out + o, y_step, a0, a1, a2, a3)
            _store_four(state, out + o + LANES, y_step, b0, b1, b2, b3)
        if outputs // LANES % 2:
            o = outputs - LANES
            a0 = load(weights, at + o)
            a1, a2, a3 = a0, a0, a0
            for i in range(inputs):
                w = load(weights, table + i * outputs + o)
                heard = row + i * i_step
                a0, a1 = fma(load_one(state, heard), w, a0), fma(load_one(state, heard + x_step), w, a1)
                a2, a3 = fma(load_one(state, heard + 2 * x_step), w, a2), fma(load_one(state, heard + 3 * x_step), w, a3)
            _store_four(state, out + o, y_step, a0, a1, a2, a3)
    return table + inputs * outputs


@inner
def _store_four(state, at, step, a0, a1, a2, a3):
    store(state, at, a0)
    store(state, at + step, a1)
    store(state, at + 2 * step, a2)
    store(state, at + 3 * step, a3)


@inner
def _dense_row(weights, at, state, x, inputs, y, outputs):
    """`_dense` for one frame."""
    table = at + outputs
    for o in range(0, outputs, LANES):
        total = load(weights, at + o)
        for i in range(inputs):
            total = fma(load_one(state, x + i), load(weights, table + i * outputs + o), total)
        store(state, y + o, total)
    return table + inputs * outputs


@inner
def _modulate(plan, weights, state, v, row):
    """What the knobs, where they stand now, set for a frame."""
    at, hidden = plan.knobs_at, v.condition + plan.knobs
    for k in range(plan.knobs):
        state[v.condition + k] = state[v.position + k]
    if plan.hidden_lanes:
        at = _dense_row(weights, at, state, v.position, plan.knobs, hidden, plan.hidden_lanes)
        for o in range(0, plan.hidden_lanes, LANES):
            store(state, hidden + o, tanh(load(state, hidden + o)))
    _dense_row(weights, at, state, v.condition, plan.knobs + plan.hidden_lanes, row, plan.modulation)
    modulate(weights, plan.hop_lanes, state, row + plan.side_at)


@inner
def _glide(plan, weights, state, v, frames):
    """Moves knobs, wet and dry a frame at a time towards their targets; returns the step between the frames' modulations."""
    for f in range(frames):
        for m in range(MIXES):
            state[v.ends + (m + 1) * ENDS + f + 2] = state[v.position + plan.knobs + m]
    if state[v.gliding] == _ZERO:
        return 0
    for f in range(frames):
        left = state[v.gliding]
        if left > _ZERO:
            for k in range(plan.knobs + MIXES):
                state[v.position + k] += (state[v.target + k] - state[v.position + k]) / left
            state[v.gliding] = left - _ONE
        if left == _ONE:
            for k in range(plan.knobs + MIXES):
                state[v.position + k] = state[v.target + k]
        for m in range(MIXES):
            state[v.ends + (m + 1) * ENDS + f + 2] = state[v.position + plan.knobs + m]
        _modulate(plan, weights, state, v, v.modulations + f * plan.modulation)
    return plan.modulation


@inner
def _levels(plan, state, v, frames):
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
    for k in range(LEVELS):
        level = log(load(state, v.features + k * LANES) + np.float32(FLOOR**2)) * np.float32(0.5)
        store(state, v.features + k * LANES, level * np.float32(SCALE) + np.float32(2.0))


@inner
def _opening(gate):
    """How much a gate lets through, from 4e-18 to 1."""
    return sigmoid(maximum(gate, _SHUT))


@inner
def _gated_film(plan, weights, at, state, v, modulations, mod_step, frames):
    """h += glu(gate((h + shift) scale)), shift and scale from the modulations."""
    lanes = plan.lanes
    for f in range(frames):
        for o in range(0, lanes, LANES):
            mod = modulations + f * mod_step + o
            store(
                state, v.bent + f * lanes + o, (load(state, v.h + f * lanes + o) + load(state, mod)) * load(state, mod + lanes)
            )
    at = _dense(weights, at, state, v.bent, lanes, 1, lanes, v.wide, 2 * lanes, 2 * lanes, frames)
    for f in range(frames):
        for o in range(0, lanes, LANES):
            linear, gate = v.wide + f * 2 * lanes + o, v.wide + f * 2 * lanes + lanes + o
            h = v.h + f * lanes + o
            store(state, h, fma(load(state, linear), _opening(load(state, gate)), load(state, h)))
    return at


@inner
def _s6(plan, weights, at, state, v, scan, modulations, mod_step, frames):
    """h += S6(h), with the step sizes shifted by the modulations; the scan's memory lies at `scan`."""
    lanes, states = plan.lanes, plan.states
    size, step_row = states * lanes, lanes + plan.bc_lanes
    at = _dense(weights, at, state, v.h, lanes, 1, lanes, v.wide, 2 * lanes, 2 * lanes, frames)
    at = _dense(weights, at, state, v.wide, 2 * lanes, 1, lanes, v.steps, step_row, step_row, frames)
    skip = at + 2 * size
    for f in range(frames):  # apart from the recurrence, which waits for itself
        for o in range(0, lanes, LANES):
            dt, gate = v.steps + f * step_row + o, v.wide + f * 2 * lanes + lanes + o
            store(state, dt, softplus(load(state, dt) + load(state, modulations + f * mod_step + o)) + _LEAST)
            store(state, gate, load(state, gate) * _opening(load(state, gate)))
    for f in range(frames):
        b = v.steps + f * step_row + lanes
        c = b + states
        for o in range(0, lanes, LANES):
            u = load(state, v.wide + f * 2 * lanes + o)
            dt = load(state, v.steps + f * step_row + o)
            y = u * load(weights, skip + o)
            for n in range(states):
                row = n * lanes + o
                decay = exp2m1(dt * load(weights, at + row))
                drive = fma(u * load_one(state, b + n), load(weights, at + size + row), _LEAST)
                h = load(state, scan + row)
                h = fma(decay, h + drive, h)
                store(state, scan + row, h)
                y = fma(load_one(state, c + n), h, y)
            store(state, v.bent + f * lanes + o, y * load(state, v.wide + f * 2 * lanes + lanes + o))
    at = _dense(weights, skip + lanes, state, v.bent, lanes, 1, lanes, v.wide, 2 * lanes, lanes, frames)
    for f in range(frames):
        for o in range(0, lanes, LANES):
            store(state, v.h + f * lanes + o, load(state, v.h + f * lanes + o) + load(state, v.wide + f * 2 * lanes + o))
    return at


@inner
def _network(plan, weights, state, v, mod_step, frames):
    """The gains of frames whose keys are known, to ends[2:]."""
    lanes = plan.lanes
    _levels(plan, state, v, frames)
    side = v.modulations + plan.side_at
    at = listen_on(
        weights,
        plan.hop_lanes,
        state,
        v.key,
        plan.hop,
        plan.hop_lanes,
        v.side_chain,
        side,
        mod_step,
        v.features,
        LEVELS,
        frames,
    )
    at = _dense(weights, at, state, v.features, 1, LANES, FEATURES, v.h, lanes, lanes, frames)
    at = _gated_film(plan, weights, at, state, v, v.modulations, mod_step, frames)
    for block in range(plan.blocks):
        scan = v.scans + block * plan.states * lanes
        modulations = v.modulations + (2 + 3 * block) * lanes
        at = _s6(plan, weights, at, state, v, scan, modulations, mod_step, frames)
        at = _gated_film(plan, weights, at, state, v, modulations + lanes, mod_step, frames)
    for f in range(frames):
        total = splat(_ZERO)
        for o in range(0, lanes, LANES):
            total = fma(load(state, v.h + f * lanes + o), load(weights, at + o), total)
        state[v.features + f] = sum_lanes(total)
    head = load(state, v.side_chain + GAIN_ROW) + load(state, v.features) + load(weights, at + lanes)
    bounded = tanh(head * np.float32(1 / MAX_LOG_GAIN)) * np.float32(MAX_LOG_GAIN)
    store(state, v.ends + 2, exp(bounded + load(weights, at + lanes + LANES)))


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
def _listen(plan, state, v, key, voice, at, count, phase):
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
def _copy(state, start, count, to):
    """state[to : to + count] = state[start : start + count]."""
    t = 0
    while t + LANES <= count:
        store(state, to + t, load(state, start + t))
        t += LANES
    while t < count:
        put(state, to + t, get(state, start + t))
        t += 1


@inner
def _sound(plan, weights, state, ends, sounding, hops):
    """From values at the ends of hops to one for each sample, on straight lines."""
    for hop in range(hops):
        start, end = state[ends + hop], state[ends + hop + 1]
        for i in range(0, plan.hop_lanes, LANES):
            store(state, sounding + hop * plan.hop + i, fma(load(weights, i), end - start, splat(start)))


@inner
def _colour(plan, weights, state, c):
    """The filters over the tile: FIR and poles as one triangular matrix, and what the past still gives."""
    impulse, fir = plan.colour_at + 2 * LANES, plan.colour_at + 3 * LANES  # zeros lie before the one and after the other
    ringing = plan.colour_at + 5 * LANES
    y0, y1 = splat(_ZERO), splat(_ZERO)
    for j in range(0, LANES, 2):
        y0 = fma(load_one(state, c.tile + j), load(weights, impulse - j), y0)
        y1 = fma(load_one(state, c.tile + j + 1), load(weights, impulse - j - 1), y1)
    for j in range(LANES - plan.taps + 1, LANES):
        y0 = fma(load_one(state, c.before + j), load(weights, fir + LANES - j), y0)
    for k in range(plan.poles):
        y1 = fma(load_one(state, c.poles + k), load(weights, ringing + k * LANES), y1)
    return y0 + y1


@inner
def _next_tile(plan, weights, state, c):
    """The tile is complete: the poles, a lane each, and the past move on."""
    rates = plan.colour_at + (5 + plan.poles) * LANES
    poles = load(state, c.poles)
    p0, p1 = poles * load(weights, rates), splat(_ZERO)
    for j in range(0, LANES, 2):
        p0 = fma(load_one(state, c.tile + j), load(weights, rates + (1 + j) * LANES), p0)
        p1 = fma(load_one(state, c.tile + j + 1), load(weights, rates + (2 + j) * LANES), p1)
    store(state, c.poles, keep_between(poles + (p0 + p1), splat(FAINTEST), splat(LOUDEST)))
    store(state, c.before, load(state, c.tile))
    store(state, c.tile, splat(_ZERO))


@inner
def _clean(state, c, at, count):
    """Makes what is no audio silent, and meters the rest; 16 zeros lie after the samples."""
    peak, odd = splat(_ZERO), splat(_ZERO)
    for t in range(at, at + count, LANES):
        raw = load(state, t)
        sample = keep_between(raw, FAINTEST, LOUDEST)
        peak, odd = maximum(magnitude(sample), peak), odd + is_beyond(raw, LOUDEST)
        store(state, t, sample)
    state[c.peak_in] = maximum(largest_lane(peak), state[c.peak_in])
    state[c.not_numbers] += sum_lanes(odd)


@inner
def _play(plan, weights, state, v, channel, c, x, y, at, count, phase, tile_phase):
    """One channel of `count` samples: gain, harmonics, filters, mix."""
    size, row = sounding_size(plan), v.sounding + (1 + MIXES) * sounding_size(plan)
    even, odd, drive = splat(weights[plan.colour_at]), weights[plan.colour_at + 1], weights[plan.colour_at + 2]
    begin, end = row + tile_phase, row + tile_phase + count
    store(state, row, splat(_ZERO))
    store(state, end, splat(_ZERO))
    _read(x, channel, at, count, state, begin)
    _clean(state, c, begin, count)
    for start in range(row, end, LANES):
        sounding = v.sounding + LANES + phase + start - begin
        dry = load(state, start)
        driven = dry * load(state, sounding) * drive
        square = driven * driven
        bend = square / (square + _ONE)
        store(state, c.tile, load(state, c.tile) + fma(fma(driven, odd, even), bend, driven))
        wet = _colour(plan, weights, state, c)
        store(state, start, fma(wet, load(state, sounding + size), dry * load(state, sounding + 2 * size)))
        if start + LANES <= end:
            _next_tile(plan, weights, state, c)
    store(state, end, splat(_ZERO))
    peak = splat(_ZERO)
    for t in range(begin, end, LANES):
        peak = maximum(magnitude(load(state, t)), peak)
    state[c.peak_out] = maximum(largest_lane(peak), state[c.peak_out])
    _write(state, begin, count, y, channel, at)


@inner
def _advance(plan, weights, state, x, key, y, gain, voice, v, at, count):
    """A piece of the block, of no more than FRAMES hops, through one voice."""
    phase, tile_phase = int(state[v.hop_phase]), int(state[v.tile_phase])
    _listen(plan, state, v, key, voice, at, count, phase)
    frames = (phase + count) // plan.hop
    if frames:
        mod_step = _glide(plan, weights, state, v, frames)
        _network(plan, weights, state, v, mod_step, frames)
        for i in range(plan.modulation if mod_step else 0):
            state[v.modulations + i] = state[v.modulations + (frames - 1) * mod_step + i]
        for i in range(0, plan.hop_lanes):
            state[v.key + i] = state[v.key + frames * plan.hop_lanes + i]
    hops = (phase + count + plan.hop - 1) // plan.hop
    for hop in range(hops + 1):
        state[v.lowest] = minimum(state[v.ends + hop], state[v.lowest])
    for row in range(1 + MIXES):
        ends = v.ends + row * ENDS
        _sound(plan, weights, state, ends, v.sounding + row * sounding_size(plan) + LANES, hops)
        state[ends], state[ends + 1] = state[ends + frames], state[ends + frames + 1]
    _write(state, v.sounding + LANES + phase, count, gain, voice, at)
    state[v.hop_phase] = np.float32(phase + count - frames * plan.hop)
    state[v.tile_phase] = np.float32((tile_phase + count) % LANES)
    first = voice if plan.link == OFF else 0
    for channel in range(first, first + 1 if plan.link == OFF else plan.channels):
        c = channel_at(plan, plan.voices * plan.voice_size + channel * plan.channel_size)
        _play(plan, weights, state, v, channel, c, x, y, at, count, phase, tile_phase)


@kernel
def process(plan, weights, state, x, key, y, gain, first_voice, end_voice):
    """A block of any length through some of the voices.

    Args:
        x, y: (samples, channels), in and out, which may be one array. key: (samples, keys), what the detectors hear: a column a voice, or
        one for all, or what the link combines. gain: (samples, voices), is filled with the linear gain of the network.
    """
    for voice in range(first_voice, end_voice):
        v = voice_at(plan, voice * plan.voice_size)
        at = 0
        while at < len(x):
            count = min(len(x) - at, FRAMES * plan.hop - int(state[v.hop_phase]))
            _advance(plan, weights, state, x, key, y, gain, voice, v, at, count)
            at += count


@kernel
def aim(plan, state, target, voice):
    """Sends the knobs, wet and dry of a voice to a target, where they arrive after `glide_frames` frames; below 1e-15 they count as 0."""
    v = voice_at(plan, voice * plan.voice_size)
    for k in range(plan.knobs + MIXES):
        state[v.target + k] = keep_between(target[k], FAINTEST, LOUDEST)
    state[v.gliding] = np.float32(plan.glide_frames)


@inner
def take_meters(plan, state, row):
    """Fills row[0] with the lowest gain of all voices, then the peaks in and the peaks out of each channel, and begins anew.

    Returns the number of samples that were no numbers. Before the first time, what was there before counts in.
    """
    lowest, odd = UNHEARD, _ZERO
    for voice in range(plan.voices):
        v = voice_at(plan, voice * plan.voice_size)
        lowest = min(lowest, state[v.lowest])
        state[v.lowest] = UNHEARD
    row[0] = lowest
    for channel in range(plan.channels):
        c = channel_at(plan, plan.voices * plan.voice_size + channel * plan.channel_size)
        row[1 + channel], row[1 + plan.channels + channel] = state[c.peak_in], state[c.peak_out]
        odd += state[c.not_numbers]
        state[c.peak_in] = state[c.peak_out] = state[c.not_numbers] = _ZERO
    return int(odd)


@kernel
def forget(plan, state):
    """Forgets all that was heard. The controls will have arrived at their targets with the next frame, which `rest` wants to be silent."""
    for voice in range(plan.voices):
        v = voice_at(plan, voice * plan.voice_size)
        for i in range(v.end - v.window):
            state[v.window + i] = _ZERO
        state[v.hop_phase], state[v.tile_phase], state[v.gliding] = _ZERO, _ZERO, _ONE
    for i in range(plan.voices * plan.voice_size, len(state)):
        state[i] = _ZERO


@kernel
def rest(plan, state):
    """After `forget` and a hop of silence: the state of rest that training begins with, with the gain that the silent frame had."""
    for voice in range(plan.voices):
        v = voice_at(plan, voice * plan.voice_size)
        for row in range(1 + MIXES):
            state[v.ends + row * ENDS] = state[v.ends + row * ENDS + 1]
        for i in range(v.modulations - v.window):
            state[v.window + i] = _ZERO
        state[v.hop_phase], state[v.tile_phase], state[v.lowest] = _ZERO, _ZERO, UNHEARD
    for i in range(plan.voices * plan.voice_size, len(state)):
        state[i] = _ZERO
