"""s4d: the paper's network with state space blocks that do not select: linear and the same at all times."""

from __future__ import annotations

import mlx.core as mx

from mlxopto.models.conditioned import WIDTH, Conditioned, ConditionedConfig, Window, gain_head
from mlxopto.models.network import State
from mlxopto.nn import S4D, Dense, functional

STATES = 16


class S4d(Conditioned):
    """Sixteen pairs of states a channel before the knobs, as many after them."""

    def __init__(self, config: ConditionedConfig):
        super().__init__(config)
        self.lift = Window(WIDTH)
        self.first = S4D(WIDTH, STATES, config.sample_rate)
        self.join = Dense(WIDTH, WIDTH)
        self.second = S4D(WIDTH, STATES, config.sample_rate)
        self.hidden = Dense(WIDTH, WIDTH)
        self.head = gain_head(WIDTH)

    def core_state(self, batch: int) -> State:
        """The states at rest."""
        return {"first": self.first.initial_state(batch), "second": self.second.initial_state(batch)}

    def listen(self, heard: mx.array, state: State) -> tuple[mx.array, State]:
        """See `Conditioned`."""
        y, first = self.first(self.lift(heard), state["first"])
        return functional.gelu(self.join(y)), {"first": first}

    def answer(self, x: mx.array, state: State) -> tuple[mx.array, State]:
        """See `Conditioned`."""
        y, second = self.second(x, state["second"])
        return self.head(functional.gelu(self.hidden(y))), {"second": second}
