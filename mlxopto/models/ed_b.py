"""ed_b: the plain encoder-decoder baseline (Simionato and Fasciani, DAFx 2022): the older half of the window and the knobs set
the state of a decoder that makes one step with the newer half.

Its only memory beyond the window is a gated recurrent unit that hears the knobs, which stand still: it settles, and stays.
"""

from __future__ import annotations

import mlx.core as mx

from mlxopto.models.conditioned import Window
from mlxopto.models.network import State
from mlxopto.models.wave import WaveConfig, WaveNetwork
from mlxopto.nn import GRU, Dense, lstm_step
from mlxopto.nn.window import WINDOW

ENCODER_UNITS, DECODER_UNITS = 2, 5
HALF = WINDOW // 2


class EdB(WaveNetwork):
    """Encoder: dense over the older samples, plus the knobs, plus a GRU of the knobs, for the decoder's output and cell."""

    def __init__(self, config: WaveConfig):
        super().__init__(config)
        self.encoder = Window(2 * ENCODER_UNITS, HALF)
        self.knobs = Dense(config.controls, 2 * ENCODER_UNITS)
        self.slow = GRU(config.controls, 2 * ENCODER_UNITS)
        self.states = [Dense(ENCODER_UNITS, DECODER_UNITS), Dense(ENCODER_UNITS, DECODER_UNITS)]
        self.newest = Window(4 * DECODER_UNITS, HALF)
        self.decoder = Dense(DECODER_UNITS, 4 * DECODER_UNITS)
        self.join = Dense(DECODER_UNITS, 2)
        self.head = Dense(2, 1)

    def initial_state(self, controls: mx.array, channels: int = 1) -> State:
        """At rest, as after silence."""
        return {"window": mx.zeros((len(controls), WINDOW - 1)), "gru": self.slow.initial_state(len(controls))}

    def wave(self, x: mx.array, controls: mx.array, state: State) -> tuple[mx.array, State]:
        """See `WaveNetwork`."""
        heard = mx.concatenate([state["window"], x], axis=1)
        knobs = mx.broadcast_to(controls[:, None], (*x.shape, controls.shape[1]))
        slow, gru = self.slow(knobs, state["gru"])
        encoded = self.encoder(heard[:, :-HALF]) + self.knobs(controls)[:, None] + slow
        output, cell = (dense(half) for dense, half in zip(self.states, mx.split(encoded, 2, axis=-1), strict=True))
        h = lstm_step(self.newest(heard[:, HALF:]) + self.decoder(output), cell)
        return self.head(mx.sigmoid(self.join(h)))[..., 0], {"window": heard[:, x.shape[1] :], "gru": gru}
