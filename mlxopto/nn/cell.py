"""The photoresistor of an optical compressor, which remembers how bright and how long the light was on."""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn

from mlxopto.nn.side_chain import REACH
from mlxopto.scan import selective_scan

# where the traps start: of a cadmium-sulphide cell, half of whose release takes 40 to 80 ms and the rest seconds
EMPTYING_S = (0.12, 0.7, 1.8, 5.0)
FILLING = (0.27, 0.25, 0.15, 0.06)  # a second, at the light that halves the gain
WEIGHTS = (0.12, 0.2, 0.35, 0.35)  # of full traps, in units of that light
POWER = 2.0  # of the free carriers, with which traps fill
LOOP = 2.0  # how much more light the side-chain would ask for if the gain were not taken away already
TRAPS = len(WEIGHTS)
DARK = 1e-6  # free carriers that count as none
MOST = 6.0  # nepers of reduction that the cell is lit for


class OpticalCell(nn.Module):
    """A selective state space layer (S6) whose every number has a meaning: the traps of a photoresistor.

    The side-chain's reduction of R nepers excites f = exp(R) - 1 carriers. Populations of traps fill in proportion to a power
    of them and to what is empty, and empty by themselves: s' = c f^p (1 - s) - s / tau. Exactly discretised over a frame T that
    is a selective scan with one state a channel, A = -1, step dt = T (c f^p + 1 / tau) and input c f^p / (c f^p + 1 / tau).
    Carriers and traps lower the gain together. Where the side-chain hears the output, the loop takes back light that the
    traps make needless: f and w s add up to f + w s (1 + f) / (1 + (1 + loop) f).

    Times, rates, weights, power and loop are kept as how far they are from their start, as logarithms in units of `REACH`.
    """

    features = TRAPS + 1

    def __init__(self, frame_s: float):
        """frame_s: seconds from step to step."""
        super().__init__()
        self._frame_s = frame_s
        self.emptying, self.filling, self.weight = (mx.zeros((TRAPS,)) for _ in range(3))
        self.power, self.loop = mx.zeros((1,)), mx.zeros((1,))

    def constants(self) -> tuple[mx.array, ...]:
        """Rates of emptying and of filling a second and weights, (TRAPS,) each, power and loop, (1,) each."""
        starts = (tuple(1 / seconds for seconds in EMPTYING_S), FILLING, WEIGHTS, (POWER,), (LOOP,))
        moved = (-self.emptying, self.filling, self.weight, self.power, self.loop)
        return tuple(mx.array(list(start)) * mx.exp(REACH * by) for start, by in zip(starts, moved, strict=True))

    def initial_state(self, batch: int) -> mx.array:
        """(batch, TRAPS, 1): empty, as after a night in the dark."""
        return mx.zeros((batch, TRAPS, 1))

    def __call__(self, reduction: mx.array, state: mx.array) -> tuple[mx.array, mx.array, mx.array]:
        """The side-chain's reduction (batch, frames) in nepers, to that with the traps' share, features (batch, frames, TRAPS +
        1): that and how full the traps are, and the state.
        """
        emptying, filling, weight, power, loop = self.constants()
        carriers = mx.expm1(mx.minimum(reduction, MOST))
        fills = filling * mx.exp(power * mx.log(carriers + DARK))[..., None]
        rates = fills + emptying
        ones, none = mx.ones((*reduction.shape, 1)), mx.zeros((TRAPS,))
        traps, state = selective_scan(fills / rates, self._frame_s * rates, -mx.ones((TRAPS, 1)), ones, ones, none, state)
        spared = (1 + carriers) / (1 + (1 + loop) * carriers)
        whole = mx.log1p(carriers + (traps @ weight) * spared)
        return whole, mx.concatenate([whole[..., None], traps], axis=-1), state
