"""The audio callback: native code that PortAudio calls on its own thread.

Python, its lock and its garbage collector are not in it.
"""

from __future__ import annotations

import numpy as np
from numba import carray, types

from mlxopto.engine.colour import FAINTEST, LOUDEST
from mlxopto.engine.kernel import aim, process, take_meters
from mlxopto.engine.knobs import MIXES
from mlxopto.engine.layout import NUMBERS, layout_of
from mlxopto.native.compiler import inner, native_callback
from mlxopto.native.vector import keep_between
from mlxopto.portaudio.lockfree import RING_WORDS, SETTINGS_WORDS, SIZE, SLOTS, floats_at, ints_at, pull, push, take
from mlxopto.portaudio.stream import COMPLETE, CONTINUE, SIGNATURE

CHUNK = 1024  # samples handled at once; longer blocks are cut
# the table, addresses first: layout, weights and state of the engine; settings; counters; the histogram of load; rings, or 0;
# scratch
LAYOUT, WEIGHTS, WEIGHTS_SIZE, STATE, STATE_SIZE, SETTINGS = range(6)
COUNTERS, HISTOGRAM, METERS, RECORD, PLAY, CHANGES, SCRATCH = range(6, 13)
# then numbers: side-chain channels after the audio ones; Hz; the system's number of the clock to measure load by
KEYS, RATE, CLOCK = range(13, 16)
TABLE_SIZE = 16
# the counters: samples so far, samples after which the stream ends, calls, calls longer than their block, what PortAudio
# reported,
POSITION, LIMIT, CALLS, LATE, INPUT_UNDERFLOW, INPUT_OVERFLOW, OUTPUT_UNDERFLOW, OUTPUT_OVERFLOW = range(8)
# samples that were no numbers, that the recording had no room for, that the file was late with; samples in the last call
NOT_NUMBERS, UNRECORDED, UNPLAYED, BLOCK = range(8, 12)
COUNTERS_SIZE = 12
BINS_A_DECADE, DECADES, LEAST_LOAD = 100, 6, 1e-5  # of the histogram
METER_FIELDS = 2  # of a row of meters: samples, lowest gain; then peaks in, peaks out, a channel each
_clock_gettime = types.ExternalFunction("clock_gettime", types.int32(types.int32, types.CPointer(types.int64)))


def scratch_size(channels: int, keys: int, voices: int) -> int:
    """Floats of scratch that the callback needs: gain, key, played song, and what is recorded."""
    return CHUNK * (voices + keys + channels + 2 * channels)


@inner
def _now(clock, place):
    """Nanoseconds by a clock of the system; `place` is an array of two words for the answer."""
    _clock_gettime(np.int32(clock), place.ctypes)
    return place[0] * 1000000000 + place[1]


@inner
def _turn_knobs(table, numbers, plan, state, position):
    """Aims at the latest settings if there are new ones, and notes when: the sample, and the number that came with the
    settings.
    """
    settings = carray(ints_at(table[SETTINGS]), SETTINGS_WORDS)
    slot = take(settings)
    if slot < 0:
        return
    size = settings[SIZE]
    values = carray(floats_at(settings[SLOTS]), (3, size))[slot]
    for voice in range(plan.voices):
        aim(numbers, state, values, voice)
    note = carray(floats_at(table[SCRATCH]), (1, 3))
    note[0, 0], note[0, 1], note[0, 2] = np.float32(position >> 20), np.float32(position & 0xFFFFF), values[plan.knobs + MIXES]
    push(carray(ints_at(table[CHANGES]), RING_WORDS), note)


@inner
def _chunk(table, counters, numbers, plan, weights, state, heard, played, at, count):
    """`count` samples from `at` on: input, engine, output, recording. Beside the engine nothing is done that need not be."""
    channels, keys, scratch = plan.channels, table[KEYS], table[SCRATCH]
    gain = carray(floats_at(scratch), (count, plan.voices))
    key = carray(floats_at(scratch + 4 * CHUNK * plan.voices), (count, max(keys, 1)))
    song = carray(floats_at(scratch + 4 * CHUNK * (plan.voices + keys)), (count, channels))
    both = carray(floats_at(scratch + 4 * CHUNK * (plan.voices + keys + channels)), (count, 2 * channels))
    y = played[at : at + count]
    x = heard[at : at + count]
    if table[PLAY]:
        got = pull(carray(ints_at(table[PLAY]), RING_WORDS), song)
        counters[UNPLAYED] += count - got
        for t in range(got, count):
            for c in range(channels):
                song[t, c] = np.float32(0.0)
        x = song
    if table[RECORD]:
        for t in range(count):
            for c in range(channels):
                both[t, c] = keep_between(x[t, c], FAINTEST, LOUDEST)
    if keys:
        for t in range(count):
            for c in range(keys):
                key[t, c] = x[t, channels + c]
        process(numbers, weights, state, x, key, y, gain, 0, plan.voices)
    else:
        process(numbers, weights, state, x, x, y, gain, 0, plan.voices)
    if table[RECORD]:
        for t in range(count):
            for c in range(channels):
                both[t, channels + c] = y[t, c]
        counters[UNRECORDED] += count - push(carray(ints_at(table[RECORD]), RING_WORDS), both)


@inner
def _meter(table, counters, layout, state, samples):
    """A row of meters for this call."""
    width = METER_FIELDS + 2 * layout.plan.channels
    row = carray(floats_at(table[SCRATCH]), (1, width))
    counters[NOT_NUMBERS] += take_meters(layout, state, row[0, 1:])
    row[0, 0] = np.float32(samples)
    push(carray(ints_at(table[METERS]), RING_WORDS), row)


@inner
def _account(table, counters, flags, frames, spent):
    """What happened in a call, for the summary and the dashboard."""
    for bit in range(4):
        counters[INPUT_UNDERFLOW + bit] += (flags >> bit) & 1
    counters[CALLS] += 1
    counters[BLOCK] = frames
    if frames:
        load = spent * 1e-9 * table[RATE] / frames
        counters[LATE] += load > 1
        place = int(BINS_A_DECADE * np.log10(max(load, LEAST_LOAD) / LEAST_LOAD))
        carray(ints_at(table[HISTOGRAM]), BINS_A_DECADE * DECADES)[min(place, BINS_A_DECADE * DECADES - 1)] += 1


@native_callback(SIGNATURE)
def callback(heard_at, played_at, frames_, _time_info, flags, table_at):
    """PortAudio's callback: `frames_` samples in and out, interleaved; the table is the user data."""
    table = carray(table_at, TABLE_SIZE)
    counters = carray(ints_at(table[COUNTERS]), COUNTERS_SIZE + 2)
    place = counters[COUNTERS_SIZE:]
    began = _now(table[CLOCK], place)
    numbers = carray(ints_at(table[LAYOUT]), NUMBERS)
    layout, frames = layout_of(numbers), np.int64(frames_)
    plan = layout.plan
    weights = carray(floats_at(table[WEIGHTS]), table[WEIGHTS_SIZE])
    state = carray(floats_at(table[STATE]), table[STATE_SIZE])
    heard = carray(heard_at, (frames, plan.channels + table[KEYS]))
    played = carray(played_at, (frames, plan.channels))
    _turn_knobs(table, numbers, plan, state, counters[POSITION])
    wanted = min(frames, counters[LIMIT] - counters[POSITION])
    at = 0
    while at < wanted:
        count = min(CHUNK, wanted - at)
        _chunk(table, counters, numbers, plan, weights, state, heard, played, at, count)
        at += count
    for t in range(wanted, frames):
        for c in range(plan.channels):
            played[t, c] = np.float32(0.0)
    counters[POSITION] += wanted
    _meter(table, counters, layout, state, wanted)
    _account(table, counters, np.int64(flags), frames, _now(table[CLOCK], place) - began)
    return COMPLETE if counters[POSITION] >= counters[LIMIT] else CONTINUE
