"""The detectors on the CPU, a lane each, in one pass over the samples, of which nothing is kept for every sample.

The forward pass keeps the state at each frame's end; the backward pass recomputes a frame from the state before it. Lanes
without an average have one that averages nothing.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import mlx.core as mx
import numpy as np

from mlxopto.native.compiler import inner, kernel
from mlxopto.native.memory import load, store
from mlxopto.native.threads import over_ranges, to_numpy
from mlxopto.native.vector import LANES, fma, is_beyond, magnitude, maximum, minimum, root, splat, sum_lanes
from mlxopto.scan.reference import AVERAGES, DETECTORS, HALF, RECTIFIED

_ONCE, _TWICE, _CHARGED, _STATES = 0, LANES, 2 * LANES, 3 * LANES  # in a state: averages, again, detectors
_LEAST = np.float32(1e-30)  # of a root, in lanes that hear none
_ZERO, _ONE, _HALF = np.float32(0.0), np.float32(1.0), np.float32(0.5)


@inner
def _average(rate, sample, once, twice):
    """The averages of the squared sample, once and again, after a sample."""
    once = fma(rate, sample * sample - once, once)
    return once, fma(rate, once - twice, twice)


@inner
def _heard(roots, powers, magnitudes, waves, floor, sample, twice):
    """What each detector hears of a sample and of the averages."""
    power = twice + floor
    return fma(roots, root(power), fma(powers, power, fma(magnitudes, magnitude(sample), waves * sample)))


@kernel
def _forward(key, average, attack, release, of_magnitude, of_wave, hears, hop, floor, start, states, first_batch, end_batch):
    roots, powers = load(hears, 0), load(hears, LANES)
    magnitudes, waves = load(of_magnitude, 0), load(of_wave, 0)
    for b in range(first_batch, end_batch):
        rate, up, down = load(average, b * LANES), load(attack, b * LANES), load(release, b * LANES)
        once, twice = load(start, b * _STATES + _ONCE), load(start, b * _STATES + _TWICE)
        charged = load(start, b * _STATES + _CHARGED)
        frames = key.shape[1] // hop
        for frame in range(frames):
            for i in range(hop):
                sample = splat(key[b, frame * hop + i])
                once, twice = _average(rate, sample, once, twice)
                distance = _heard(roots, powers, magnitudes, waves, floor, sample, twice) - charged
                charged = fma(up, maximum(distance, _ZERO), fma(down, minimum(distance, _ZERO), charged))
            at = (b * frames + frame) * _STATES
            store(states, at + _ONCE, once)
            store(states, at + _TWICE, twice)
            store(states, at + _CHARGED, charged)


@kernel
def _backward(
    key, average, attack, release, of_magnitude, of_wave, hears, hop, floor, start, states, grad_states,
    grad_key, grad_average, grad_attack, grad_release, grad_magnitude, grad_wave, grad_start, first_batch, end_batch,
):  # fmt: skip
    roots, powers = load(hears, 0), load(hears, LANES)
    magnitudes, waves = load(of_magnitude, 0), load(of_wave, 0)
    kept = np.empty((hop + 1) * _STATES, np.float32)  # the state before each sample of a frame
    frames = key.shape[1] // hop
    for b in range(first_batch, end_batch):
        rate, attacks, releases = load(average, b * LANES), load(attack, b * LANES), load(release, b * LANES)
        to_once, to_twice, to_charged = splat(_ZERO), splat(_ZERO), splat(_ZERO)
        for frame in range(frames - 1, -1, -1):
            at = (b * frames + frame) * _STATES
            to_once = to_once + load(grad_states, at + _ONCE)
            to_twice = to_twice + load(grad_states, at + _TWICE)
            to_charged = to_charged + load(grad_states, at + _CHARGED)
            if frame:
                kept[:_STATES] = states[b, frame - 1]
            else:
                kept[:_STATES] = start[b]
            once, twice, charged = load(kept, _ONCE), load(kept, _TWICE), load(kept, _CHARGED)
            for i in range(hop):
                sample = splat(key[b, frame * hop + i])
                once, twice = _average(rate, sample, once, twice)
                distance = _heard(roots, powers, magnitudes, waves, floor, sample, twice) - charged
                charged = fma(attacks, maximum(distance, _ZERO), fma(releases, minimum(distance, _ZERO), charged))
                after = (i + 1) * _STATES
                store(kept, after + _ONCE, once)
                store(kept, after + _TWICE, twice)
                store(kept, after + _CHARGED, charged)
            of_average, of_attack, of_release = splat(_ZERO), splat(_ZERO), splat(_ZERO)  # the frame's shares
            of_magnitudes, of_waves = splat(_ZERO), splat(_ZERO)
            for i in range(hop - 1, -1, -1):
                before, after = i * _STATES, (i + 1) * _STATES
                x = key[b, frame * hop + i]
                sample = splat(x)
                once, twice = load(kept, after + _ONCE), load(kept, after + _TWICE)
                distance = _heard(roots, powers, magnitudes, waves, floor, sample, twice) - load(kept, before + _CHARGED)
                rising = is_beyond(maximum(distance, _ZERO), _ZERO)
                moved = to_charged * distance
                of_attack = fma(rising, moved, of_attack)
                of_release = fma(splat(_ONE) - rising, moved, of_release)
                to_heard = to_charged * fma(rising, attacks, (splat(_ONE) - rising) * releases)
                to_charged = to_charged - to_heard
                of_magnitudes = fma(to_heard, magnitude(sample), of_magnitudes)
                of_waves = fma(to_heard, sample, of_waves)
                to_twice = fma(to_heard, fma(roots, splat(_HALF) / maximum(root(twice + floor), _LEAST), powers), to_twice)
                of_average = fma(to_twice, once - load(kept, before + _TWICE), of_average)
                to_once = fma(to_twice, rate, to_once)
                to_twice = to_twice - to_twice * rate
                of_average = fma(to_once, sample * sample - load(kept, before + _ONCE), of_average)
                to_square = to_once * rate
                to_once = to_once - to_square
                of_key = to_heard * fma(magnitudes, splat(np.sign(x)), waves)
                grad_key[b, frame * hop + i] = sum_lanes(fma(to_square, sample + sample, of_key))
            _add(grad_average, b, of_average)
            _add(grad_attack, b, of_attack)
            _add(grad_release, b, of_release)
            _add(grad_magnitude, b, of_magnitudes)
            _add(grad_wave, b, of_waves)
        store(grad_start, b * _STATES + _ONCE, to_once)
        store(grad_start, b * _STATES + _TWICE, to_twice)
        store(grad_start, b * _STATES + _CHARGED, to_charged)


@inner
def _add(total, row, part):
    """total[row] += part, in the precision of the total."""
    frame = np.empty(LANES, np.float32)
    store(frame, 0, part)
    for k in range(LANES):
        total[row, k] += frame[k]


@cache
def _operation(hop: int, floor: float) -> Any:
    """States at the ends of frames, (batch, frames, 3 * LANES), of lanes."""
    hears = np.zeros((2, LANES), np.float32)  # roots, powers
    hears[0, RECTIFIED:HALF] = hears[1, HALF:DETECTORS] = 1
    known = (hears.ravel(), hop, np.float32(floor))

    @mx.custom_function
    def scan(key, average, attack, release, magnitude, wave, start):
        mx.eval(key, average, attack, release, magnitude, wave, start)
        *arrays, start_ = map(to_numpy, (key, average, attack, release, magnitude, wave, start))
        states = np.empty((len(key), key.shape[1] // hop, _STATES), np.float32)
        over_ranges(len(states), _forward, *arrays, *known, start_, states)
        return mx.array(states)

    @scan.vjp
    def scan_vjp(primals, grad_states, states):
        mx.eval(grad_states, states)
        *arrays, start, states_, grad_states_ = map(to_numpy, (*primals, states, grad_states))
        grad_key, grad_start = np.zeros_like(arrays[0]), np.empty_like(start)
        sums = tuple(np.zeros((5, len(start), LANES)))  # in float64: of many samples
        over_ranges(len(start), _backward, *arrays, *known, start, states_, grad_states_, grad_key, *sums, grad_start)
        *of_rates, of_magnitude, of_wave = (total.astype(np.float32) for total in sums)
        return tuple(map(mx.array, (grad_key, *of_rates, of_magnitude.sum(0), of_wave.sum(0), grad_start)))

    return scan


def detector_scan(key, average, attack, release, magnitude, wave, hop, floor, state):
    """See `mlxopto.scan.detector_scan`; float32 only, all arguments needed."""
    batch = len(key)
    if not key.shape[1]:
        return mx.zeros((batch, 0, DETECTORS)), state

    def lanes(*parts: mx.array) -> mx.array:
        joined = mx.concatenate(list(parts), axis=-1)
        return mx.pad(joined, [(0, 0)] * (joined.ndim - 1) + [(0, LANES - joined.shape[-1])])

    def heard_by(averages: mx.array, others: float) -> mx.array:
        rest = mx.full((batch, RECTIFIED), others)
        return lanes(rest, averages, rest, averages)

    once, twice, charged = mx.split(state, [AVERAGES, 2 * AVERAGES], axis=-1)
    start = mx.concatenate([heard_by(once, 0.0), heard_by(twice, 0.0), lanes(charged)], axis=-1)
    rates = (heard_by(average, 1.0), lanes(attack), lanes(release))
    states = _operation(hop, floor)(key, *rates, lanes(magnitude), lanes(wave), start)
    last = states[:, -1]
    averages = [last[:, at + RECTIFIED : at + HALF] for at in (_ONCE, _TWICE)]
    followed = states[..., _CHARGED : _CHARGED + DETECTORS]
    return followed, mx.concatenate([*averages, followed[:, -1]], axis=-1)
