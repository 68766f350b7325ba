"""The colour stage as native code: a curve a sample at a time, its filters by tiles of 16 samples."""

from __future__ import annotations

import numpy as np

from mlxopto.engine.table import Part, Source, float64, padded, padded_rows
from mlxopto.native.compiler import inner
from mlxopto.native.memory import load, load_one
from mlxopto.native.vector import LANES, fma, keep_between, last_lane, later, splat

STEPS = 8  # numbers a pole
FAINTEST, LOUDEST = np.float32(1e-15), np.float32(1e12)  # samples outside are heard, played and remembered as silence
_ONE, _ZERO = np.float32(1.0), np.float32(0.0)


def _ringing(source: Source) -> np.ndarray:
    rate = source.filters.rates[:, None]
    return source.filters.mix[:, None] * (1 - rate) ** (np.arange(LANES) + 1)


def _steps(source: Source) -> np.ndarray:
    """Of each pole: what is left of it after 1, 2, 4 and 8 samples, what it gives and takes, what is left after a tile."""
    mix, rate = source.filters.mix, source.filters.rates
    steps = np.stack([*((1 - rate) ** by for by in (1, 2, 4, 8)), mix * rate, rate, (1 - rate) ** LANES], axis=1)
    return padded_rows(steps, rate.size, STEPS)


def _curve(source: Source) -> list[float]:
    return [*float64(source.model.colour.harmonics), 1 / source.filters.level]  # the network's gain holds that level already


WEIGHTS = (
    Part("colour_curve", lambda source: padded(_curve(source), LANES)),
    Part("colour_fir", lambda source: padded(source.filters.fir, LANES)),
    Part("colour_ringing", _ringing),  # (poles, 16): what a pole still gives
    Part("colour_steps", _steps),  # (poles, STEPS): see `_steps`
)


@inner
def bent(weights, curve, sample):
    """A sample through the curve."""
    even, odd, drive = splat(weights[curve]), weights[curve + 1], weights[curve + 2]
    driven = sample * drive
    square = driven * driven
    bend = square / (square + _ONE)
    return fma(fma(driven, odd, even), bend, driven)


@inner
def filtered(plan, w, c, weights, own, state, at, whole):
    """FIR and poles over the tile at state[at:], whose past lies before it; if it is `whole`, the poles move on.

    A pole sums up its tile by doubling: what it heard 1, then 2, 4 and 8 samples ago. `own` is the channel's state.
    """
    heard, total = load(state, at), splat(_ZERO)
    for j in range(plan.taps):
        total = fma(load_one(weights, w.colour_fir + j), load(state, at - j), total)
    for k in range(plan.poles):
        steps, pole = w.colour_steps + k * STEPS, own[c.poles + k]
        taken = fma(load_one(weights, steps), later(heard, 1), heard)
        taken = fma(load_one(weights, steps + 1), later(taken, 2), taken)
        taken = fma(load_one(weights, steps + 2), later(taken, 4), taken)
        taken = fma(load_one(weights, steps + 3), later(taken, 8), taken)
        still = fma(load(weights, w.colour_ringing + k * LANES), pole, total)
        total = fma(load_one(weights, steps + 4), taken, still)
        if whole:
            pole = fma(weights[steps + 6], pole, weights[steps + 5] * last_lane(taken))
            own[c.poles + k] = keep_between(pole, FAINTEST, LOUDEST)
    return total
