"""The colour stage as native code: a curve a sample at a time, its filters by tiles of 16 samples."""

from __future__ import annotations

import numpy as np

from mlxopto.engine.table import Part, Source, float64, padded, padded_rows
from mlxopto.native.compiler import inner
from mlxopto.native.vector import LANES, fma, keep_between, load, load_one, splat, store

FAINTEST, LOUDEST = np.float32(1e-15), np.float32(1e12)  # samples outside are heard, played and remembered as silence
_ONE, _ZERO = np.float32(1.0), np.float32(0.0)


def _impulse(source: Source) -> np.ndarray:
    filters = source.filters
    mix, rate = filters.mix[:, None], filters.rates[:, None]
    return padded(filters.fir, LANES) + (mix * rate * (1 - rate) ** np.arange(LANES)).sum(0)


def _ringing(source: Source) -> np.ndarray:
    rate = source.filters.rates[:, None]
    return source.filters.mix[:, None] * (1 - rate) ** (np.arange(LANES) + 1)


def _poles(source: Source) -> np.ndarray:
    rate = source.filters.rates[:, None]
    gains = np.concatenate([(1 - rate) ** LANES - 1, rate * (1 - rate) ** np.arange(LANES)[::-1]], axis=1)
    return padded_rows(gains.T, LANES + 1, LANES)


def _curve(source: Source) -> list[float]:
    return [*float64(source.model.colour.harmonics), 1 / source.filters.level]  # the network's gain holds that level already


WEIGHTS = (
    Part("colour_curve", lambda source: padded(_curve(source), LANES)),
    Part("colour_before", lambda _: np.zeros(LANES)),  # `filtered` reads what lies before the impulse, and after the FIR
    Part("colour_impulse", _impulse),  # the response of FIR and poles
    Part("colour_fir", lambda source: padded(source.filters.fir, 2 * LANES)),
    Part("colour_ringing", _ringing),  # (poles, 16): what the poles still give
    Part("colour_poles", _poles),  # (17, 16): how the poles, a lane each, move on over a tile
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
def filtered(plan, w, c, weights, own):
    """The filters over the tile: FIR and poles as one triangular matrix, and what the past still gives.

    `own` is a channel's state.
    """
    y0, y1 = splat(_ZERO), splat(_ZERO)
    for j in range(0, LANES, 2):
        y0 = fma(load_one(own, c.tile + j), load(weights, w.colour_impulse - j), y0)
        y1 = fma(load_one(own, c.tile + j + 1), load(weights, w.colour_impulse - j - 1), y1)
    for j in range(LANES - plan.taps + 1, LANES):
        y0 = fma(load_one(own, c.before + j), load(weights, w.colour_fir + LANES - j), y0)
    for k in range(plan.poles):
        y1 = fma(load_one(own, c.poles + k), load(weights, w.colour_ringing + k * LANES), y1)
    return y0 + y1


@inner
def next_tile(c, weights, rates, own):
    """The tile is complete: the poles, a lane each, and the past move on."""
    poles = load(own, c.poles)
    p0, p1 = poles * load(weights, rates), splat(_ZERO)
    for j in range(0, LANES, 2):
        p0 = fma(load_one(own, c.tile + j), load(weights, rates + (1 + j) * LANES), p0)
        p1 = fma(load_one(own, c.tile + j + 1), load(weights, rates + (2 + j) * LANES), p1)
    store(own, c.poles, keep_between(poles + (p0 + p1), splat(FAINTEST), splat(LOUDEST)))
    store(own, c.before, load(own, c.tile))
    store(own, c.tile, splat(_ZERO))
