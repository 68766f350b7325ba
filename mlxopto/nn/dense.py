"""The dense layer."""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn

from mlxopto.nn import functional


class Dense(nn.Linear):
    """x W^T + b, with MLX's uniform initialisation scaled by `scale` (0 makes the layer start as zero)."""

    def __init__(self, inputs: int, outputs: int, scale: float = 1.0):
        super().__init__(inputs, outputs)
        self.weight: mx.array = self.weight * scale
        self.bias: mx.array = mx.zeros((outputs,))

    def __call__(self, x: mx.array) -> mx.array:
        return functional.dense(x, self.weight, self.bias)
