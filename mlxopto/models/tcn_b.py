"""tcn_b: the plain temporal convolutional baseline (Steinmetz and Reiss 2022): dilated causal convolutions, each with FiLM by
the knobs.
"""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn

from mlxopto.models.network import State
from mlxopto.models.wave import WaveConfig, WaveNetwork
from mlxopto.nn import Dense

CHANNELS, TAPS = 4, 13
DILATIONS = (1, 10, 100, 1000)  # hears 13,333 samples back, 0.28 s


class DilatedBlock(nn.Module):
    """A dilated causal convolution, FiLM, a parametric rectifier, and the input beside it."""

    def __init__(self, controls: int, inputs: int, dilation: int):
        super().__init__()
        self._inputs, self._dilation = inputs, dilation
        self.taps = Dense(TAPS * inputs, CHANNELS)
        self.film = Dense(controls, 2 * CHANNELS)
        self.bend = mx.full((CHANNELS,), 0.25)  # what is left of negative values
        self.straight = Dense(inputs, CHANNELS)

    def initial_state(self, batch: int) -> mx.array:
        """The inputs that it still needs (batch, (TAPS - 1) dilation, inputs), silent."""
        return mx.zeros((batch, (TAPS - 1) * self._dilation, self._inputs))

    def __call__(self, x: mx.array, controls: mx.array, state: mx.array) -> tuple[mx.array, mx.array]:
        """x: (batch, time, inputs) to (batch, time, CHANNELS)."""
        time = x.shape[1]
        heard = mx.concatenate([state, x], axis=1)
        taps = [heard[:, k * self._dilation : k * self._dilation + time] for k in range(TAPS)]
        scale, shift = mx.split(self.film(controls)[:, None], 2, axis=-1)
        y = self.taps(mx.concatenate(taps, axis=-1)) * (1 + scale) + shift
        return mx.maximum(y, 0) + self.bend * mx.minimum(y, 0) + self.straight(x), heard[:, time:]


class TcnB(WaveNetwork):
    """Four blocks of four channels, a dense layer, and a hyperbolic tangent at the end."""

    def __init__(self, config: WaveConfig):
        super().__init__(config)
        self.blocks = [DilatedBlock(config.controls, CHANNELS if at else 1, dilation) for at, dilation in enumerate(DILATIONS)]
        self.head = Dense(CHANNELS, 1)

    def initial_state(self, controls: mx.array, channels: int = 1) -> State:
        """At rest, as after silence."""
        return {"blocks": [block.initial_state(len(controls)) for block in self.blocks]}

    def wave(self, x: mx.array, controls: mx.array, state: State) -> tuple[mx.array, State]:
        """See `WaveNetwork`."""
        h, states = x[..., None], []
        for block, before in zip(self.blocks, state["blocks"], strict=True):
            h, after = block(h, controls, before)
            states.append(after)
        return mx.tanh(self.head(h)[..., 0]), {"blocks": states}
