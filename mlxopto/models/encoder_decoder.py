"""encoder_decoder: the paper's network with an encoder of the last samples that sets the state of a decoder, anew for every
sample.

The decoder is a long short-term memory that makes a single step from the encoder's state, so that only the temporal FiLM
remembers more than the last 64 samples.
"""

from __future__ import annotations

import mlx.core as mx

from mlxopto.models.conditioned import WIDTH, Conditioned, ConditionedConfig, Window, gain_head
from mlxopto.models.network import State
from mlxopto.nn import Dense, lstm_step

UNITS = 4


class EncoderDecoder(Conditioned):
    """Encoder: two dense layers over the last samples, for the output and the cell of the decoder's four units."""

    def __init__(self, config: ConditionedConfig):
        super().__init__(config)
        self.encoder = Window(2 * UNITS)
        self.lift = Window(WIDTH)
        self.decoder = Dense(WIDTH + UNITS, 4 * UNITS)
        self.join = Dense(UNITS, WIDTH)
        self.head = gain_head(WIDTH)

    def listen(self, heard: mx.array, state: State) -> tuple[mx.array, State]:
        """See `Conditioned`."""
        output, cell = mx.split(self.encoder(heard), 2, axis=-1)
        gates = self.decoder(mx.concatenate([self.lift(heard), output], axis=-1))
        return self.join(lstm_step(gates, cell)), {}

    def answer(self, x: mx.array, state: State) -> tuple[mx.array, State]:
        """See `Conditioned`."""
        return self.head(x), {}
