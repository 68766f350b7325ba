"""What the audio thread and Python share without locks: a triple buffer for the latest settings, ring buffers for streams of
rows.

Both are plain arrays of int64 whose last words hold the address of float32 data, so that native code finds everything from one
address. The functions are native; each end of a buffer belongs to one thread.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.extending import intrinsic

from mlxopto.native.compiler import kernel

_DIRTY = 4
# words of a triple buffer: the slot in the middle and whether it is new; the reader's and the writer's slot; floats a slot;
# address
MIDDLE, FRONT, BACK, SIZE, SLOTS = range(5)
SETTINGS_WORDS = 5
# words of a ring buffer, whose counters lie on cache lines of their own: rows written, rows read, rows, floats a row, address
WRITTEN, READ, ROWS, WIDTH, DATA = 0, 8, 16, 17, 18
RING_WORDS = 19


def _atomic(emit: Any) -> Any:
    """An intrinsic of (int64 array, index, value) from emit(builder, pointer, value)."""

    @intrinsic
    def operation(_context, words, _index, _value):
        def codegen(context, builder, signature, arguments):
            data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
            return emit(builder, builder.gep(data, [arguments[1]]), arguments[2])

        return types.int64(words, types.intp, types.int64), codegen

    return operation


def _store(builder: Any, pointer: Any, value: Any) -> Any:
    builder.store_atomic(value, pointer, "release", 8)
    return value


_exchange = _atomic(lambda builder, pointer, value: builder.atomic_rmw("xchg", pointer, value, "acq_rel"))
release = _atomic(_store)
acquire = _atomic(lambda builder, pointer, _value: builder.load_atomic(pointer, "acquire", 8))


@intrinsic
def floats_at(_context, _address):
    """The address of float32 numbers as a pointer for `carray`."""

    def codegen(_context, builder, _signature, arguments):
        return builder.inttoptr(arguments[0], ir.FloatType().as_pointer())

    return types.CPointer(types.float32)(types.int64), codegen


@intrinsic
def ints_at(_context, _address):
    """The address of int64 numbers as a pointer for `carray`."""

    def codegen(_context, builder, _signature, arguments):
        return builder.inttoptr(arguments[0], ir.IntType(64).as_pointer())

    return types.CPointer(types.int64)(types.int64), codegen


@kernel
def put(words, values):
    """Writer: makes `values` (size,) the latest. Never waits; what nobody took is replaced whole."""
    slots = carray(floats_at(words[SLOTS]), (3, words[SIZE]))
    back = words[BACK]
    for i in range(words[SIZE]):
        slots[back, i] = values[i]
    words[BACK] = _exchange(words, MIDDLE, back | _DIRTY) & 3


@kernel
def take(words):
    """Reader: the slot with the latest values if they are new, otherwise -1.

    The slot stays the reader's until the next call.
    """
    if not acquire(words, MIDDLE, 0) & _DIRTY:
        return -1
    words[FRONT] = _exchange(words, MIDDLE, words[FRONT]) & 3
    return words[FRONT]


@kernel
def push(words, rows):
    """Writer: appends (count, width) to a ring; returns how many rows there was room for, the first ones."""
    written = words[WRITTEN]
    count = min(len(rows), words[ROWS] - (written - acquire(words, READ, 0)))
    data = carray(floats_at(words[DATA]), (words[ROWS], words[WIDTH]))
    for i in range(count):
        for k in range(words[WIDTH]):
            data[(written + i) % words[ROWS], k] = rows[i, k]
    release(words, WRITTEN, written + count)
    return count


@kernel
def pull(words, rows):
    """Reader: fills (count, width) from a ring, as far as there is something; returns how many rows that was."""
    read = words[READ]
    count = min(len(rows), acquire(words, WRITTEN, 0) - read)
    data = carray(floats_at(words[DATA]), (words[ROWS], words[WIDTH]))
    for i in range(count):
        for k in range(words[WIDTH]):
            rows[i, k] = data[(read + i) % words[ROWS], k]
    release(words, READ, read + count)
    return count


class TripleBuffer:
    """The latest values, from one writer to one reader, whole and in order. `words` is what the native side needs."""

    def __init__(self, size: int):
        self._slots = np.zeros((3, size), np.float32)
        self.words = np.array([0, 1, 2, size, self._slots.ctypes.data], np.int64)

    def put(self, values: np.ndarray) -> None:
        """float32 (size,); call from one thread at a time."""
        put(self.words, values)


class Ring:
    """Rows of float32 in order, from one writer to one reader; what finds no room is not taken."""

    def __init__(self, rows: int, width: int):
        self._data = np.zeros((rows, width), np.float32)
        self.words = np.zeros(RING_WORDS, np.int64)
        self.words[[ROWS, WIDTH, DATA]] = rows, width, self._data.ctypes.data

    def push(self, rows: np.ndarray) -> int:
        """Appends the first rows of (count, width) that find room; returns how many. Raises ValueError for another width."""
        if rows.shape[1:] != self._data.shape[1:]:
            raise ValueError(f"this ring takes rows of {self._data.shape[1]} numbers, got the shape {rows.shape}")
        return int(push(self.words, rows))

    def pull(self, most: int) -> np.ndarray:
        """Up to `most` rows, (count, width)."""
        rows = np.empty((most, self._data.shape[1]), np.float32)
        return rows[: pull(self.words, rows)]
