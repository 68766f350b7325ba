"""What the audio thread and Python share: never torn, never out of order, whatever the two do at the same time."""

import threading
import time

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlxopto.portaudio import lockfree
from mlxopto.portaudio.lockfree import Ring, TripleBuffer

SIZE = 9


@numba.njit(nogil=True)
def _write_settings(words, first, changes):
    """Sets that count up: the low 20 bits of the number, over and over, then the high ones."""
    values = np.empty(SIZE, np.float32)
    for k in range(first, first + changes):
        for i in range(SIZE):
            values[i] = np.float32(k & 0xFFFFF)
        values[SIZE - 1] = np.float32(k >> 20)
        lockfree.put(words, values)


@numba.njit(nogil=True)
def _read_settings(words, slots, stop, found):
    """Reads until told to stop and nothing new comes: counts sets, torn sets, and sets older than the one before."""
    before = np.int64(-1)
    while True:
        ending = stop[0]
        slot = lockfree.take(words)
        if slot < 0:
            if ending:
                return
            continue
        low = slots[slot, 0]
        for i in range(SIZE - 1):
            found[1] += slots[slot, i] != low
        number = np.int64(slots[slot, SIZE - 1]) << 20 | np.int64(low)
        found[2] += number <= before
        before = number
        found[0] += 1


def test_ten_million_changes_without_a_torn_or_reordered_set():
    buffer = TripleBuffer(SIZE)
    stop, found = np.ones(1, np.int64), np.zeros(3, np.int64)
    _write_settings(TripleBuffer(SIZE).words, 0, 1)
    _read_settings(buffer.words, buffer._slots, stop, found)  # compiles
    stop[0] = 0
    reader = threading.Thread(target=_read_settings, args=(buffer.words, buffer._slots, stop, found))
    reader.start()
    changes, deadline = 0, time.monotonic() + 60
    while changes < 10_000_000 or (
        found[0] < 100_000 and time.monotonic() < deadline
    ):  # a busy machine may run one thread at a time
        _write_settings(buffer.words, changes, 1_000_000)
        changes += 1_000_000
    stop[0] = 1
    reader.join()
    read, torn, older = found
    assert read > 1000
    assert (torn, older) == (0, 0)


def test_the_reader_gets_the_latest_and_only_once():
    buffer = TripleBuffer(2)
    assert lockfree.take(buffer.words) == -1
    for k in range(5):
        buffer.put(np.array([k, -k], np.float32))
    np.testing.assert_array_equal(buffer._slots[lockfree.take(buffer.words)], [4, -4])
    assert lockfree.take(buffer.words) == -1


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 40), st.lists(st.tuples(st.booleans(), st.integers(0, 50)), max_size=40))
def test_a_ring_is_a_queue_that_refuses_what_has_no_room(rows, actions):
    ring, queue, number = Ring(rows, 2), [], 0
    for pushing, count in actions:
        if pushing:
            new = np.arange(number, number + count, dtype=np.float32)
            taken = ring.push(np.stack([new, -new], axis=1))
            assert taken == min(count, rows - len(queue))
            queue += list(new[:taken])
            number += count
        else:
            got = ring.pull(count)
            expected, queue = queue[:count], queue[count:]
            np.testing.assert_array_equal(got, np.stack([expected, [-v for v in expected]], axis=1).reshape(-1, 2))


@numba.njit(nogil=True)
def _push_numbers(words, total):
    rows, sent = np.empty((7, 1), np.float32), 0
    while sent < total:
        for i in range(7):
            rows[i, 0] = np.float32((sent + i) % 1000)
        sent += lockfree.push(words, rows[: min(7, total - sent)])


def test_a_ring_between_two_threads_loses_and_reorders_nothing():
    total = 3_000_000
    ring = Ring(64, 1)
    _push_numbers(Ring(8, 1).words, 1)
    writer = threading.Thread(target=_push_numbers, args=(ring.words, total))
    writer.start()
    got = []
    count = 0
    while count < total:
        rows = ring.pull(50)[:, 0]
        got.append(rows)
        count += len(rows)
    writer.join()
    np.testing.assert_array_equal(np.concatenate(got), np.arange(total) % 1000)


def test_rows_must_be_of_the_rings_width():
    with pytest.raises(ValueError, match="rows of 3 numbers"):
        Ring(4, 3).push(np.zeros((2, 2), np.float32))
