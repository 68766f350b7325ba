"""opto: the default network. A side-chain, the cell that it lights, a network that corrects them, and a small colour stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import mlx.core as mx

from mlxopto.controls import Panel
from mlxopto.models.network import Network, State
from mlxopto.nn import Colour, Dense, GatedFiLM, LevelFrontEnd, OpticalCell, SideChain
from mlxopto.nn.cell import TRAPS
from mlxopto.nn.side_chain import DETECTORS, REACH

MAX_LOG_GAIN = 6.0  # nepers, 52 dB either way
STEEP = 0.944  # a gain that falls further than this within a hop, by half a decibel, may fall steeply
MANY_SETTINGS, KNOB_HIDDEN = 64, 16  # with fewer settings, a hidden layer of knobs learns them by heart


@dataclass(frozen=True)
class OptoConfig:
    """The hyperparameters kept in a weights file."""

    controls: int  # knobs on the panel
    sample_rate: int = 48000
    hop: int = 16  # samples a frame
    width: int = 16
    layers: int = 3
    knob_hidden: int = 0  # units of a layer that lets knobs act on one another; needs many training settings

    @classmethod
    def for_panel(cls, panel: Panel, sample_rate: int, settings: int) -> Self:
        """What suits a panel and the number of settings that there are to learn from."""
        hidden = KNOB_HIDDEN if settings >= MANY_SETTINGS else 0
        return cls(len(panel.controls), sample_rate, knob_hidden=hidden)


@dataclass(frozen=True)
class LightConfig(OptoConfig):
    """Half the cost: frames twice as long and a layer less."""

    hop: int = 32
    layers: int = 2


class Opto(Network):
    """y = colour(gain * x), the gain from a side-chain that listens to a key signal and lights a cell that remembers.

    Causal without look-ahead: frame k hears the key up to its last sample, and the gain glides to its value during
    the hop that follows, so that the latency is 0 samples. It goes on a straight line, but where an attack is so fast that
    the hop counts it falls as steeply as was learnt.
    """

    linkable = True
    frame = 32  # of training, whatever the hop
    good_block = 1 << 20  # a hundred kernels a block are launched in less time than they run on a GPU

    def __init__(self, config: OptoConfig):
        super().__init__()
        self.config = config
        width = config.width
        self.front_end = LevelFrontEnd(config.hop)
        conditions = config.controls + config.knob_hidden
        self.knobs = Dense(config.controls, config.knob_hidden) if config.knob_hidden else None
        self.side_chain = SideChain(config.controls, config.sample_rate, config.hop)
        self.cell = OpticalCell(config.hop / config.sample_rate)
        features = self.front_end.features + self.side_chain.features + self.cell.features
        self.lift = Dense(features, width)
        self.layers = [GatedFiLM(conditions, width) for _ in range(config.layers)]
        self.head = Dense(width, 1, scale=0.1)
        self.steepness = mx.zeros((1,))  # of a falling gain, as a logarithm in units of REACH
        self.colour = Colour(config.sample_rate)

    @property
    def scan_sizes(self) -> tuple[int, int]:
        """Channels and states of its selective scan."""
        return TRAPS, 1

    def prime(self, panel: Panel) -> None:
        """Starts fresh weights from what the units on the panel say; training may unlearn it.

        The side-chain knows most of it; a knob in decibels also shifts the level that the first layer sees, as a threshold
        does.
        """
        self.side_chain.prime(panel)
        width = self.config.width
        heard = self.front_end.features + DETECTORS  # levels; the other features have no threshold
        affine = self.layers[0].film.affine
        weight = affine.weight
        for column, control in enumerate(panel.controls):
            low, high = control.travel
            if control.unit.startswith("dB") and control.taper != "log":
                half_range = 0.5 * (high - low) * self.front_end.per_db
                weight[width:, column] = -half_range * self.lift.weight[:, :heard].sum(axis=1)
        affine.weight = weight

    def turn(self, by: mx.array) -> None:
        """Makes every setting do what it did with the knobs turned further by so much, (knobs,), in half travels."""
        self.side_chain.turn(by)
        for layer in [*(layer.film.affine for layer in self.layers), *([self.knobs] if self.knobs else [])]:
            layer.bias = layer.bias + layer.weight[:, : self.config.controls] @ by

    def penalty(self) -> mx.array:
        """With few settings: for a knob that does more than the panel says. With many, the data know better."""
        return super().penalty() if self.knobs else self.side_chain.prior_penalty()

    def initial_state(self, controls: mx.array, channels: int = 1) -> State:
        """At rest, as after silence: for `channels` audio channels that share the gain of each batch item."""
        batch = len(controls)
        state: State = {
            "pending": mx.zeros((batch, 0)),
            "levels": self.front_end.initial_state(batch),
            "side_chain": self.side_chain.initial_state(batch),
            "cell": self.cell.initial_state(batch),
            "colour": self.colour.initial_state(batch * channels),
        }
        silent, _ = self._frame_gains(mx.zeros((batch, self.config.hop)), controls, state)
        return {**state, "gains": mx.concatenate([silent, silent], axis=1)}

    def gain(self, key: mx.array, controls: mx.array, state: State | None = None) -> tuple[mx.array, State]:
        """The gain (linear, positive) for each sample of the key.

        Args:
            key: (batch, samples), what the detector hears; any number of samples. controls: (batch, knobs), each -1 to 1.
        """
        state = state or self.initial_state(controls)
        hop = self.config.hop
        batch, samples = key.shape
        offset = state["pending"].shape[1]
        heard = mx.concatenate([state["pending"], key], axis=1) if offset else key
        frames = heard.shape[1] // hop
        whole = heard[:, : frames * hop]
        new_gains, network = self._frame_gains(whole, controls, state) if frames else (mx.zeros((batch, 0)), {})
        gains = mx.concatenate([state["gains"], new_gains], axis=1)
        hops = -(-heard.shape[1] // hop)  # the last may be begun only
        start, end = gains[:, :hops, None], gains[:, 1 : hops + 1, None]
        rising, falling = self.ramps()
        glide = start + (end - start) * mx.where(end < STEEP * start, falling, rising)
        return glide.reshape(batch, -1)[:, offset : offset + samples], {
            **state,
            **network,
            "pending": heard[:, frames * hop :],
            "gains": gains[:, -2:],
        }

    def ramps(self) -> tuple[mx.array, mx.array]:
        """How far a rising and a falling gain have come after each sample of a hop, (hop,) each, at last 1: t and 1 - (1 - t)^p
        with the steepness p.
        """
        hop = self.config.hop
        ahead = mx.arange(hop - 1, 0, -1) * (1 / hop)
        left = mx.exp(mx.exp(REACH * self.steepness) * mx.log(ahead))
        rising, falling = (1 - mx.concatenate([part, mx.zeros((1,))]) for part in (ahead, left))
        return rising, falling

    def amplify(self, x: mx.array, gain: mx.array, state: State) -> tuple[mx.array, State]:
        """The audio path alone: x (batch, samples[, channels]) times gain (batch, samples), then the colour stage."""
        if x.ndim == 2:
            y, colour = self.colour(x * gain, state["colour"])
            return y, {**state, "colour": colour}
        batch, samples, channels = x.shape
        rows = (x * gain[..., None]).swapaxes(1, 2).reshape(batch * channels, samples)
        y, colour = self.colour(rows, state["colour"])
        return y.reshape(batch, channels, samples).swapaxes(1, 2), {**state, "colour": colour}

    def _frame_gains(self, key: mx.array, controls: mx.array, state: State) -> tuple[mx.array, State]:
        """key: (batch, frames * hop) to gains (batch, frames) and the parts of the state that the network keeps."""
        condition = self._condition(controls)
        levels, level_state = self.front_end(key, state["levels"])
        makeup, reduction, heard, side_chain = self.side_chain(key, controls, state["side_chain"])
        reduction, memory, cell = self.cell(reduction, state["cell"])
        h = self.lift(mx.concatenate([levels, heard, memory], axis=-1))
        for layer in self.layers:
            h = layer(h, condition)
        log_gain = MAX_LOG_GAIN * mx.tanh((makeup - reduction + self.head(h)[..., 0]) * (1 / MAX_LOG_GAIN))
        return mx.exp(log_gain) * self.colour.level(), {"levels": level_state, "side_chain": side_chain, "cell": cell}

    def _condition(self, controls: mx.array) -> mx.array:
        """(batch, knobs) to (batch, conditions): the knobs themselves, then what the hidden layer makes of them."""
        return mx.concatenate([controls, mx.tanh(self.knobs(controls))], axis=-1) if self.knobs else controls
