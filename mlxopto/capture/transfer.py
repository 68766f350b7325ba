"""The callback of a capture: plays one signal and records another in the very same samples. Native code, as the live one is."""

from __future__ import annotations

import numpy as np
from numba import carray

from mlxopto.native.compiler import kernel, native_callback
from mlxopto.portaudio.lockfree import acquire, floats_at, release
from mlxopto.portaudio.stream import CONTINUE, SIGNATURE

# the table: addresses of what is played and what is recorded, their samples, samples done; channels of the device, and which is
# used
PLAY, RECORD, LENGTH, DONE, OUTPUTS, OUTPUT, INPUTS, INPUT = range(8)
# 1 while a signal is being played; calls; then what PortAudio reported, in the order of its flags
RUNNING, CALLS, INPUT_UNDERFLOW, TABLE_SIZE = 8, 9, 10, 14


@native_callback(SIGNATURE)
def callback(heard_at, played_at, frames_, _time_info, flags_, table_at):
    """PortAudio's callback: silence, and the signal where one runs; the table is the user data."""
    table = carray(table_at, TABLE_SIZE)
    frames, flags = np.int64(frames_), np.int64(flags_)
    heard = carray(heard_at, (frames, table[INPUTS]))
    played = carray(played_at, (frames, table[OUTPUTS]))
    played[:] = np.float32(0.0)
    table[CALLS] += 1
    if not acquire(table, RUNNING, 0):
        return CONTINUE
    for bit in range(4):
        table[INPUT_UNDERFLOW + bit] += (flags >> bit) & 1
    length, done = table[LENGTH], table[DONE]
    play, record = carray(floats_at(table[PLAY]), length), carray(floats_at(table[RECORD]), length)
    count = min(frames, length - done)
    for t in range(count):
        played[t, table[OUTPUT]] = play[done + t]
        record[done + t] = heard[t, table[INPUT]]
    table[DONE] = done + count
    if done + count == length:
        release(table, RUNNING, 0)
    return CONTINUE


@kernel
def begin(table):
    """Lets the callback play what the table says."""
    release(table, RUNNING, 1)


@kernel
def end(table):
    """Stops it; a call that is under way may still record."""
    release(table, RUNNING, 0)
