"""The gain of a render where something is heard, in one pass over the samples."""

from __future__ import annotations

import math

import numpy as np

from mlxopto.native.arithmetic import log
from mlxopto.native.compiler import kernel

_LOWEST = np.float32(1e-6)  # -120 dB
_DB = 20 / math.log(10)  # a neper


@kernel
def gain_where_audible(x, gain, audible, starts, sums, counts):
    """Adds up the gain in dB, of samples whose loudest channel is above `audible`, for each column of an overview.

    Args:
        x: (samples, channels). gain: (samples, gain paths), linear, of which the lowest counts; both float32.
        starts: the sample that each column starts with, int64 (columns,). sums, counts: float64 (columns,), are added to.
    Returns:
        The lowest gain in dB; inf where nothing is audible.
    """
    lowest = np.inf
    for column in range(starts.size):
        end = starts[column + 1] if column + 1 < starts.size else x.shape[0]
        for i in range(starts[column], end):
            loudest = np.float32(0)
            for channel in range(x.shape[1]):
                loudest = max(loudest, abs(x[i, channel]))
            if loudest > audible:
                least = gain[i, 0]
                for path in range(1, gain.shape[1]):
                    least = min(least, gain[i, path])
                gain_db = _DB * float(log(max(least, _LOWEST)))
                sums[column] += gain_db
                counts[column] += 1
                lowest = min(lowest, gain_db)
    return lowest
