"""A network at another sample rate than it was trained at, without resampling the audio.

A state space layer is a differential equation that was cut into steps; it can be cut into others. A frame stays as long as
whole samples allow, the step sizes take up the rest, the poles of the colour stage keep their frequencies, and its FIR is
fitted anew. Against resampling to the network's rate and back this costs no latency and no pass band.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlxopto.errors import RequestError
from mlxopto.models.opto import Opto
from mlxopto.native.vector import LANES
from mlxopto.nn.colour import FAINTEST_LEVEL, LEVEL_HZ

LOWEST_RATE, HIGHEST_RATE = 8000, 192000
_FIT_BAND_HZ = 20000.0


@dataclass(frozen=True)
class Frames:
    """hop: samples a frame. stretch: its length over the length of the frames trained with. rate: frames a second."""

    hop: int
    stretch: float
    per_second: float


@dataclass(frozen=True)
class Filters:
    """The colour stage's filters: fir (taps,), at most 16; pole rates and their mix (poles,); their gain at 1 kHz, see
    `Colour.level`.
    """

    fir: np.ndarray
    rates: np.ndarray
    mix: np.ndarray
    level: float


def at_rate(model: Opto, sample_rate: int) -> tuple[Frames, Filters]:
    """Frames and filters of a network at a sample rate in Hz.

    Raises:
        RequestError: a rate below 8 or above 192 kHz; beyond, the fitted FIR is not held to anything where nobody hears.
    """
    if not LOWEST_RATE <= sample_rate <= HIGHEST_RATE:
        raise RequestError(f"the network runs at {LOWEST_RATE} to {HIGHEST_RATE} Hz, not at {sample_rate}")
    config = model.config
    ratio = sample_rate / config.sample_rate
    hop = max(1, round(config.hop * ratio))
    fir, mix = (np.array(a, dtype=np.float64) for a in (model.colour.fir, model.colour.pole_mix))
    rates = 1 / (1 + np.exp(-np.array(model.colour.pole_logit, dtype=np.float64)))
    frames = Frames(hop, hop / config.hop / ratio, sample_rate / hop)
    if ratio != 1:
        fir, rates = _refit(fir, config.sample_rate, sample_rate), 1 - (1 - rates) ** (1 / ratio)
    return frames, Filters(fir, rates, mix, _level(fir, rates, mix, sample_rate))


def _level(fir: np.ndarray, rates: np.ndarray, mix: np.ndarray, sample_rate: int) -> float:
    later = np.exp(-2j * np.pi * LEVEL_HZ / sample_rate)  # by a sample
    response = fir @ later ** np.arange(fir.size) + (mix * rates / (1 - (1 - rates) * later)).sum()
    return float(np.hypot(abs(response), FAINTEST_LEVEL))


def _refit(fir: np.ndarray, trained_rate: int, sample_rate: int) -> np.ndarray:
    """The FIR at `sample_rate` whose response is nearest to that of `fir` at `trained_rate`, up to 20 kHz."""
    taps = min(LANES, int(np.ceil(fir.size * sample_rate / trained_rate)) + 2)
    f = np.linspace(0, min(_FIT_BAND_HZ, 0.45 * min(trained_rate, sample_rate)), 256)

    def waves(count: int, rate: int) -> np.ndarray:
        return np.exp(-2j * np.pi * np.outer(f / rate, np.arange(count)))

    wanted, basis = waves(fir.size, trained_rate) @ fir, waves(taps, sample_rate)
    small = 1e-3 * np.eye(taps)  # keeps the taps modest where the band leaves them free
    rows = np.concatenate([basis.real, basis.imag, small])
    solution: np.ndarray = np.linalg.lstsq(rows, np.concatenate([wanted.real, wanted.imag, np.zeros(taps)]), rcond=None)[0]
    return solution
