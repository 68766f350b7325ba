"""The two ends of the audio callback: the table that it finds everything by, and Python's view of what it counts."""

from __future__ import annotations

import time

import numpy as np

from mlxopto.engine import NativeEngine
from mlxopto.live import callback
from mlxopto.portaudio.lockfree import Ring, TripleBuffer
from mlxopto.portaudio.stream import XRUNS

FOREVER = 1 << 62
_METER_ROWS = 8192
_CHANGES = 4096


class Bridge:
    """An engine for the callback to play; keep it as long as the callback may run.

    Args:
        keys: side-chain channels after the audio's. limit: samples until the stream ends.
        record, play: rings of rows, to fill with dry and wet, and to take the input from.
    """

    def __init__(
        self,
        engine: NativeEngine,
        sample_rate: int,
        keys: int = 0,
        limit: int = FOREVER,
        record: Ring | None = None,
        play: Ring | None = None,
    ):
        channels, controls = engine.plan.channels, engine.plan.knobs
        self.channels = channels
        self.settings = TripleBuffer(controls + 3)  # with wet, dry and a serial number
        self._meters = Ring(_METER_ROWS, callback.METER_FIELDS + 2 * channels)
        self._changes = Ring(_CHANGES, 3)
        self._counters = np.zeros(callback.COUNTERS_SIZE + 2, np.int64)
        self._histogram = np.zeros(callback.BINS_A_DECADE * callback.DECADES, np.int64)
        self._scratch = np.zeros(callback.scratch_size(channels, keys, engine.plan.voices), np.float32)
        self._alive = (engine, record, play)
        self.table = np.zeros(callback.TABLE_SIZE, np.int64)
        for place, array in (
            (callback.LAYOUT, engine.layout),
            (callback.WEIGHTS, engine.weights),
            (callback.STATE, engine.state),
            (callback.SETTINGS, self.settings.words),
            (callback.COUNTERS, self._counters),
            (callback.HISTOGRAM, self._histogram),
            (callback.METERS, self._meters.words),
            (callback.CHANGES, self._changes.words),
            (callback.SCRATCH, self._scratch),
        ):
            self.table[place] = array.ctypes.data
        self.table[callback.RECORD] = record.words.ctypes.data if record else 0
        self.table[callback.PLAY] = play.words.ctypes.data if play else 0
        self.table[callback.WEIGHTS_SIZE], self.table[callback.STATE_SIZE] = engine.weights.size, engine.state.size
        self.table[callback.KEYS], self.table[callback.RATE] = keys, sample_rate
        self.table[callback.CLOCK] = time.CLOCK_MONOTONIC
        self._counters[callback.LIMIT] = limit

    def count(self, counter: int) -> int:
        """One of the callback's counters."""
        return int(self._counters[counter])

    def measure_by(self, clock: int) -> None:
        """Chooses the system's clock for the time spent in calls, and forgets what was counted of it."""
        self.table[callback.CLOCK] = clock
        self._counters[[callback.CALLS, callback.LATE]] = 0
        self._histogram[:] = 0

    def ended(self) -> bool:
        """Whether the limit has been reached."""
        return self.count(callback.POSITION) >= self.count(callback.LIMIT)

    def xruns(self) -> dict[str, int]:
        """Drop-outs by kind, as PortAudio reported them."""
        return {name: self.count(callback.INPUT_UNDERFLOW + k) for k, name in enumerate(XRUNS)}

    def load(self, *shares: float) -> list[float]:
        """Quantiles of the time in the callback over the time that its block lasts, from a histogram with bins 2 % wide."""
        counts = np.cumsum(self._histogram)
        if not counts[-1]:
            return [0.0] * len(shares)
        middles = callback.LEAST_LOAD * 10 ** ((np.arange(len(counts)) + 0.5) / callback.BINS_A_DECADE)
        return [float(f"{middles[np.searchsorted(counts, share * counts[-1])]:.3g}") for share in shares]

    def meters(self) -> np.ndarray:
        """Rows since the last call, a call of the callback each: samples, lowest gain, peaks in, peaks out; all linear."""
        rows = self._meters.pull(_METER_ROWS)
        return rows[rows[:, 0] > 0]

    def changes(self) -> list[tuple[int, int]]:
        """(sample, serial number) of settings taken up since the last call of this."""
        return [(int(high) << 20 | int(low), int(serial)) for high, low, serial in self._changes.pull(_CHANGES)]
