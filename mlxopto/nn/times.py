"""Where the time constants of per-sample scans start: log-spaced over those of attacks and short releases."""

from __future__ import annotations

import math

import mlx.core as mx

SHORTEST_S, LONGEST_S = 0.0003, 0.5


def step_rates(count: int, sample_rate: float) -> mx.array:
    """(count,): 1 / (time constant in steps), the slowest first."""
    low, high = (math.log(1 / (seconds * sample_rate)) for seconds in (LONGEST_S, SHORTEST_S))
    return mx.exp(mx.linspace(low, high, count))
