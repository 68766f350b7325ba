"""An electroluminescent panel shining on a photoresistor: the gain element of optical compressors.

The photoresistor's excited carriers sit in two populations of traps. The fast one fills and empties in milliseconds; the slow
one fills over a good part of a second and empties the more slowly the longer and brighter the cell was lit (public knowledge
about the T4 cell: half the recovery in 40 to 80 ms, the rest in 0.5 to 5 s, longer after heavy reduction). The
conductance rises with the population to the power gamma, and with a series resistor it forms a voltage divider:
    gain = 1 / (1 + (populations) ** gamma), in units where the light that halves the gain is 1.
"""

from __future__ import annotations

import numba
import numpy as np

FAST, SLOW, MEMORY = 0, 1, 2  # the state's entries

# the cell's constants, as an array for the native code
FAST_ON, FAST_OFF, SLOW_ON, SLOW_OFF_SHORT, SLOW_OFF_LONG, MEMORY_ON, MEMORY_OFF, SLOW_SHARE, GAMMA = range(9)


def cell(
    sample_rate: int,
    *,
    fast_on_s: float,
    fast_off_s: float,
    slow_on_s: float,
    slow_off_s: tuple[float, float],
    memory_s: tuple[float, float],
    slow_share: float,
    gamma: float,
) -> np.ndarray:
    """The constants of one cell at one sample rate, float64 (9,), times as rates per sample.

    Args:
        fast_on_s, fast_off_s: time constants of the fast population. slow_on_s: of the slow one filling.
        slow_off_s: of the slow one emptying, with no memory and with full memory of light.
        memory_s: how fast exposure is remembered and forgotten. slow_share: the slow population's part of the conductance, 0 to
        1. gamma: the photoresistor's exponent, about 0.7 to 0.9.
    """

    def rate(seconds: float) -> float:
        return float(-np.expm1(-1 / (seconds * sample_rate)))

    return np.array(
        [
            rate(fast_on_s), rate(fast_off_s), rate(slow_on_s), rate(slow_off_s[0]), rate(slow_off_s[1]),
            rate(memory_s[0]), rate(memory_s[1]), slow_share, gamma,
        ]
    )  # fmt: skip


@numba.njit(inline="always")
def gain_of(state, constants):
    """The voltage divider's gain, 0 to 1, for the cell's state (3,)."""
    share = constants[SLOW_SHARE]
    carriers = (1 - share) * state[FAST] + share * state[SLOW]
    return 1 / (1 + carriers ** constants[GAMMA]) if carriers > 1e-9 else 1.0


@numba.njit(inline="always")
def expose(state, light, constants):
    """One sample of light (>= 0) on the cell."""
    rising = light > state[FAST]
    state[FAST] += constants[FAST_ON if rising else FAST_OFF] * (light - state[FAST])
    if state[FAST] > state[SLOW]:
        state[SLOW] += constants[SLOW_ON] * (state[FAST] - state[SLOW])
    else:
        memory = state[MEMORY]
        off = (1 - memory) * constants[SLOW_OFF_SHORT] + memory * constants[SLOW_OFF_LONG]
        state[SLOW] += off * (state[FAST] - state[SLOW])
    exposure = state[SLOW] / (1 + state[SLOW])
    state[MEMORY] += constants[MEMORY_ON if exposure > state[MEMORY] else MEMORY_OFF] * (exposure - state[MEMORY])
