"""The static curve of a side-chain that works in decibels."""

from __future__ import annotations

import numba


@numba.njit(inline="always")
def reduction_db(over_db, slope, knee_db):
    """Reduction for a level that is `over_db` over the threshold: slope (1 - 1 / ratio) times it, through a quadratic knee of a
    width.
    """
    if 2 * over_db >= knee_db:
        return slope * max(over_db, 0.0)
    if 2 * over_db > -knee_db:
        return slope * (over_db + knee_db / 2) ** 2 / (2 * knee_db)
    return 0.0
