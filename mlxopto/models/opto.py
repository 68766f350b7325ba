"""opto: the default network. A selective state space model at a control rate that sets a gain, and a small colour stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import mlx.core as mx
import mlx.nn as nn

from mlxopto.controls import TIME_UNITS, Panel
from mlxopto.models.network import Network, State
from mlxopto.nn import S6, Colour, Dense, GatedFiLM, LevelFrontEnd, SideChain
from mlxopto.nn.side_chain import DETECTORS

MAX_LOG_GAIN = 6.0  # nepers, 52 dB either way
MANY_SETTINGS, KNOB_HIDDEN = 64, 16  # with fewer settings, a hidden layer of knobs learns them by heart
SHORTEST_S, LONGEST_S = 0.0003, 6.0  # initial time constants of the scans; A spreads them by a further factor of two


@dataclass(frozen=True)
class OptoConfig:
    """The hyperparameters kept in a weights file."""

    controls: int  # knobs on the panel
    sample_rate: int = 48000
    hop: int = 16  # samples a frame
    width: int = 16
    states: int = 8
    blocks: int = 2
    knob_hidden: int = 0  # units of a layer that lets knobs act on one another; needs many training settings

    @classmethod
    def for_panel(cls, panel: Panel, sample_rate: int, settings: int) -> Self:
        """What suits a panel and the number of settings that there are to learn from."""
        hidden = KNOB_HIDDEN if settings >= MANY_SETTINGS else 0
        return cls(len(panel.controls), sample_rate, knob_hidden=hidden)


@dataclass(frozen=True)
class LightConfig(OptoConfig):
    """Half the cost: frames twice as long and a single block."""

    hop: int = 32
    blocks: int = 1


class Block(nn.Module):
    """S6 whose time constants the controls move, then the gated FiLM; both residual."""

    def __init__(self, config: OptoConfig):
        super().__init__()
        frame = config.hop / config.sample_rate
        self.s6 = S6(config.width, config.states, (frame / LONGEST_S, frame / SHORTEST_S))
        self.dt_shift = Dense(config.controls + config.knob_hidden, config.width)
        self.film = GatedFiLM(config.controls + config.knob_hidden, config.width)

    def __call__(self, x: mx.array, condition: mx.array, state: mx.array) -> tuple[mx.array, mx.array]:
        y, state = self.s6(x, self.dt_shift(condition)[:, None], state)
        return self.film(x + y, condition), state


class Opto(Network):
    """y = colour(gain * x), the gain from a selective state space model that listens to a key signal.

    Causal without look-ahead: frame k hears the key up to its last sample, and the gain glides to its value during
    the hop that follows, so that the latency is 0 samples.
    """

    linkable = True
    good_block = 1 << 20  # a hundred kernels a block are launched in less time than they run on a GPU

    def __init__(self, config: OptoConfig):
        super().__init__()
        self.config = config
        self.frame = config.hop
        width = config.width
        self.front_end = LevelFrontEnd(config.hop)
        conditions = config.controls + config.knob_hidden
        self.knobs = Dense(config.controls, config.knob_hidden) if config.knob_hidden else None
        self.side_chain = SideChain(config.controls, config.sample_rate, config.hop)
        self.lift = Dense(self.front_end.features + self.side_chain.features, width)
        self.gain_computer = GatedFiLM(conditions, width)
        self.blocks = [Block(config) for _ in range(config.blocks)]
        self.head = Dense(width, 1, scale=0.1)
        self.colour = Colour(config.sample_rate)

    @property
    def scan_sizes(self) -> tuple[int, int]:
        """Channels and states of its selective scans."""
        return self.config.width, self.config.states

    def prime(self, panel: Panel) -> None:
        """Starts fresh weights from what the units on the panel say; training may unlearn it.

        A knob in seconds scales the time constants, every second such knob those of every second channel; a knob in
        decibels shifts the level that the gain computer sees, as a threshold does.
        """
        self.side_chain.prime(panel)
        width = self.config.width
        times = 0
        heard = self.front_end.features + DETECTORS  # levels; the other features have no threshold
        gains = self.gain_computer.film.affine.weight
        for column, control in enumerate(panel.controls):
            low, high = control.travel
            if control.unit in TIME_UNITS and control.taper == "log":
                channels = (mx.arange(width) % 2 == times % 2).astype(mx.float32)
                for block in self.blocks:
                    block.dt_shift.weight[:, column] = -0.5 * (high - low) * channels
                times += 1
            elif control.unit.startswith("dB") and control.taper != "log":
                half_range = 0.5 * (high - low) * self.front_end.per_db
                gains[width:, column] = -half_range * self.lift.weight[:, :heard].sum(axis=1)
        self.gain_computer.film.affine.weight = gains

    def turn(self, by: mx.array) -> None:
        """Makes every setting do what it did with the knobs turned further by so much, (knobs,), in half travels."""
        self.side_chain.turn(by)
        layers = [self.gain_computer.film.affine, *([self.knobs] if self.knobs else [])]
        for block in self.blocks:
            layers += [block.dt_shift, block.film.film.affine]
        for layer in layers:
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
            "scans": [block.s6.initial_state(batch) for block in self.blocks],
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
        ramp = mx.arange(1, hop + 1) * (1 / hop)
        glide = (start + (end - start) * ramp).reshape(batch, -1)[:, offset : offset + samples]
        return glide, {**state, **network, "pending": heard[:, frames * hop :], "gains": gains[:, -2:]}

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
        textbook, features, side_chain = self.side_chain(key, controls, state["side_chain"])
        h = self.gain_computer(self.lift(mx.concatenate([levels, features], axis=-1)), condition)
        scans = []
        for block, scan_state in zip(self.blocks, state["scans"], strict=True):
            h, scan_state = block(h, condition, scan_state)
            scans.append(scan_state)
        log_gain = MAX_LOG_GAIN * mx.tanh((textbook + self.head(h)[..., 0]) * (1 / MAX_LOG_GAIN))
        return mx.exp(log_gain) * self.colour.level(), {"levels": level_state, "side_chain": side_chain, "scans": scans}

    def _condition(self, controls: mx.array) -> mx.array:
        """(batch, knobs) to (batch, conditions): the knobs themselves, then what the hidden layer makes of them."""
        return mx.concatenate([controls, mx.tanh(self.knobs(controls))], axis=-1) if self.knobs else controls
