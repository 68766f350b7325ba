"""Feature-wise linear modulation by controls (FiLM; Perez et al. 2018)."""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn

from mlxopto.nn import functional
from mlxopto.nn.dense import Dense


class FiLM(nn.Module):
    """(x + shift) (1 + scale), with scale and shift linear in a condition that does not change over time.

    The published order is scale, then shift. Shift first is a threshold, then a slope, without products of knobs to learn.
    """

    def __init__(self, conditions: int, width: int):
        super().__init__()
        self.affine = Dense(conditions, 2 * width)

    def __call__(self, x: mx.array, condition: mx.array) -> mx.array:
        """x: (batch, time, width); condition: (batch, conditions)."""
        scale, shift = mx.split(self.affine(condition)[:, None], 2, axis=-1)
        return (x + shift) * (1 + scale)


class GatedFiLM(nn.Module):
    """A residual block without memory: FiLM, then a gated linear unit, added to its input."""

    def __init__(self, conditions: int, width: int):
        super().__init__()
        self.film = FiLM(conditions, width)
        self.gate = Dense(width, 2 * width)

    def __call__(self, x: mx.array, condition: mx.array) -> mx.array:
        """x: (batch, time, width); condition: (batch, conditions)."""
        return x + functional.glu(self.gate(self.film(x, condition)))
