"""lstm_b: the plain baseline of Wright et al. (2019), a long short-term memory that hears a sample's features and the knobs."""

from __future__ import annotations

import mlx.core as mx

from mlxopto.models.conditioned import Window
from mlxopto.models.network import State
from mlxopto.models.wave import WaveConfig, WaveNetwork
from mlxopto.nn import LSTM, Dense
from mlxopto.nn.window import WINDOW

UNITS = 12  # the published one has 14, and 1,200 parameters


class LstmB(WaveNetwork):
    """One filter of the last 64 samples, the knobs beside it, twelve units, two dense layers without a bend between them."""

    def __init__(self, config: WaveConfig):
        super().__init__(config)
        self.lift = Window(1)
        self.memory = LSTM(1 + config.controls, UNITS)
        self.join = Dense(UNITS, 2)
        self.head = Dense(2, 1)

    def initial_state(self, controls: mx.array, channels: int = 1) -> State:
        """At rest, as after silence."""
        return {"window": mx.zeros((len(controls), WINDOW - 1)), "memory": self.memory.initial_state(len(controls))}

    def wave(self, x: mx.array, controls: mx.array, state: State) -> tuple[mx.array, State]:
        """See `WaveNetwork`."""
        heard = mx.concatenate([state["window"], x], axis=1)
        knobs = mx.broadcast_to(controls[:, None], (*x.shape, controls.shape[1]))
        h, memory = self.memory(mx.concatenate([self.lift(heard), knobs], axis=-1), state["memory"])
        return self.head(self.join(h))[..., 0], {"window": heard[:, x.shape[1] :], "memory": memory}
