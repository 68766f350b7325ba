"""What a gain cannot do: the harmonics of tubes and the filters of transformers and coupling capacitors."""

from __future__ import annotations

import math

import mlx.core as mx
import mlx.nn as nn

from mlxopto.scan import one_pole_bank

CORNERS_HZ = (5.0, 20.0, 80.0)  # where the low-frequency poles start
TAPS = 8
LEVEL_HZ = 1000.0  # where levels are read
FAINTEST_LEVEL = 1e-3  # keeps the slope finite where the filters have learnt silence


class Colour(nn.Module):
    """A static curve with a second and a third harmonic, then a short FIR beside a bank of one-pole filters.

    The curve's even and odd terms q, q x with q = x^2 / (1 + x^2) stay bounded at any level. Its filters leave 1 kHz as loud as
    it is, whatever they have learnt, so that the gain before is all that happens to a faint tone. Starts as the identity;
    silence in gives silence out.
    """

    def __init__(self, sample_rate: int):
        super().__init__()
        self._angle = 2 * math.pi * LEVEL_HZ / sample_rate
        self.harmonics = mx.zeros((2,))
        rates = [1 - math.exp(-2 * math.pi * f / sample_rate) for f in CORNERS_HZ]
        self.pole_logit = mx.array([math.log(r / (1 - r)) for r in rates])
        self.pole_mix = mx.zeros((len(rates),))
        self.fir = mx.array([1.0] + [0.0] * (TAPS - 1))

    def initial_state(self, batch: int) -> dict[str, mx.array]:
        """Samples before the first (batch, TAPS - 1) and the poles (batch, K), at rest."""
        return {"tail": mx.zeros((batch, TAPS - 1)), "poles": mx.zeros((batch, len(CORNERS_HZ)))}

    def level(self) -> mx.array:
        """The gain of the filters at 1 kHz, which the network's gain takes over from them."""
        cosine, sine = math.cos(self._angle), math.sin(self._angle)
        waves = mx.array([[function(self._angle * tap) for tap in range(TAPS)] for function in (math.cos, math.sin)])
        rate = mx.sigmoid(self.pole_logit)
        keep = 1 - rate
        poles = self.pole_mix * rate / (1 - 2 * cosine * keep + mx.square(keep))
        of_poles = mx.stack([(poles * (1 - cosine * keep)).sum(), (poles * keep).sum() * sine])
        return mx.sqrt(mx.square(waves @ self.fir + of_poles).sum() + FAINTEST_LEVEL**2)

    def __call__(self, x: mx.array, state: dict[str, mx.array]) -> tuple[mx.array, dict[str, mx.array]]:
        """x: (batch, samples)."""
        x = x / self.level()
        square = mx.square(x)
        q = square / (1 + square)
        x = x + (self.harmonics[0] + self.harmonics[1] * x) * q
        low, poles = one_pole_bank(x, mx.sigmoid(self.pole_logit), self.pole_mix, state["poles"])
        padded = mx.concatenate([state["tail"], x], axis=1)
        samples = x.shape[1]
        y = low
        for tap in range(TAPS):
            start = TAPS - 1 - tap
            y = y + self.fir[tap] * padded[:, start : start + samples]
        return y, {"tail": padded[:, samples:], "poles": poles}
