"""lstm: the paper's network with long short-term memories in the place of the state space blocks."""

from __future__ import annotations

import mlx.core as mx

from mlxopto.models.conditioned import WIDTH, Conditioned, ConditionedConfig, Window, gain_head
from mlxopto.models.network import State
from mlxopto.nn import LSTM, Dense

UNITS = 6


class Lstm(Conditioned):
    """Six units before the knobs, six after them."""

    def __init__(self, config: ConditionedConfig):
        super().__init__(config)
        self.lift = Window(WIDTH)
        self.first = LSTM(WIDTH, UNITS)
        self.join = Dense(UNITS, WIDTH)
        self.second = LSTM(WIDTH, UNITS)
        self.head = gain_head(UNITS)

    def core_state(self, batch: int) -> State:
        """The memories at rest."""
        return {"first": self.first.initial_state(batch), "second": self.second.initial_state(batch)}

    def listen(self, heard: mx.array, state: State) -> tuple[mx.array, State]:
        """See `Conditioned`."""
        h, first = self.first(self.lift(heard), state["first"])
        return self.join(h), {"first": first}

    def answer(self, x: mx.array, state: State) -> tuple[mx.array, State]:
        """See `Conditioned`."""
        h, second = self.second(x, state["second"])
        return self.head(h), {"second": second}
