"""Where time constants start: those of compressors, log-spaced, the same for every recurrence here."""

from __future__ import annotations

import math

import mlx.core as mx

SHORTEST_S, LONGEST_S = 0.0003, 6.0


def step_rates(count: int, sample_rate: float) -> mx.array:
    """(count,): 1 / (time constant in steps), the slowest first."""
    low, high = (math.log(1 / (seconds * sample_rate)) for seconds in (LONGEST_S, SHORTEST_S))
    return mx.exp(mx.linspace(low, high, count))


def gate_biases(count: int, sample_rate: float) -> mx.array:
    """(count,): biases with which a forget gate keeps these time constants (Tallec and Ollivier 2018)."""
    return -mx.log(mx.expm1(step_rates(count, sample_rate)))
