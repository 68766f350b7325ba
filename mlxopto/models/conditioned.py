"""The frame that the paper's networks share (Simionato and Fasciani, J. Audio Eng. Soc. 73(3), 2025): per sample, a core hears
the last samples, FiLM and temporal FiLM apply the knobs and the spectrum of those samples, and a second core gives the gain.
"""

from __future__ import annotations

from dataclasses import dataclass

import mlx.core as mx
import mlx.nn as nn

from mlxopto.controls import TIME_UNITS, Panel
from mlxopto.models.network import Network, State
from mlxopto.nn import GRU, Dense
from mlxopto.nn.window import BINS, WINDOW, spectrum_dense, window_dense

WIDTH = 2  # features between the parts
GRU_UNITS = 2 * WIDTH


@dataclass(frozen=True)
class ConditionedConfig:
    """The hyperparameters kept in a weights file."""

    controls: int  # knobs on the panel
    sample_rate: int = 48000
    timed: tuple[int, ...] = ()  # which knobs the temporal FiLM hears (attack, release, a switch); the others the FiLM
    scale: tuple[float, ...] = ()  # what a knob of -1 to 1 is multiplied by, then added to, to be the network's number;
    offset: tuple[float, ...] = ()  # 1/2 and 1/2, so 0 to 1, where not given

    def __post_init__(self) -> None:
        for name in ("scale", "offset"):
            object.__setattr__(self, name, tuple(getattr(self, name)) or (0.5,) * self.controls)
        object.__setattr__(self, "timed", tuple(self.timed))
        if len(self.scale) != self.controls or len(self.offset) != self.controls:
            raise ValueError(f"scale and offset need {self.controls} numbers each")
        if any(not 0 <= i < self.controls for i in self.timed):
            raise ValueError(f"timed names knobs from 0 to {self.controls - 1}")

    @classmethod
    def for_panel(cls, panel: Panel, sample_rate: int, settings: int) -> ConditionedConfig:
        """Knobs in units of time, or a switch where there is none, reach the temporal FiLM, as in the paper."""
        timed = tuple(i for i, control in enumerate(panel.controls) if control.unit in TIME_UNITS)
        switches = tuple(i for i, control in enumerate(panel.controls) if control.taper == "steps")
        return cls(len(panel.controls), sample_rate, timed or switches)


class Window(Dense):
    """A dense layer over the last samples."""

    def __init__(self, outputs: int, width: int = WINDOW):
        super().__init__(width, outputs)

    def __call__(self, heard: mx.array) -> mx.array:
        """heard: (batch, width - 1 + time) to (batch, time, outputs)."""
        return window_dense(heard, self.weight, self.bias)


class SoftsignGLU(nn.Module):
    """a b / (1 + |b|) for the halves a, b of a dense layer; starts near the identity, because a chain of shut gates hardly
    learns.
    """

    def __init__(self) -> None:
        super().__init__()
        self.dense = Dense(WIDTH, 2 * WIDTH)
        self.dense.weight[:WIDTH] = 2 * mx.eye(WIDTH)
        self.dense.bias[WIDTH:] = 1.0

    def __call__(self, x: mx.array) -> mx.array:
        value, gate = mx.split(self.dense(x), 2, axis=-1)
        return value * gate / (1 + mx.abs(gate))


class Conditioned(Network):
    """y[n] = g[n] x[n], the gain of every sample from the last 64 samples, their spectrum, the knobs and the state.

    Subclasses give the cores: `core_state`, `listen` and `answer`.
    """

    frame = 4
    learning_rate = 1e-2

    def __init__(self, config: ConditionedConfig, stride: int = 1):
        super().__init__()
        self.config = config
        self._static = tuple(i for i in range(config.controls) if i not in config.timed)
        self.spectrum = Dense(BINS, WIDTH)
        self.film = Dense(len(self._static) + WIDTH, 2 * WIDTH)
        self.film_glu = SoftsignGLU()
        self.slow = GRU(len(config.timed) + WIDTH, GRU_UNITS, stride)
        self.temporal_glu = SoftsignGLU()

    def core_state(self, batch: int) -> State:
        """The cores at rest."""
        return {}

    def listen(self, heard: mx.array, state: State) -> tuple[mx.array, State]:
        """The first core: heard (batch, WINDOW - 1 + time) to (batch, time, WIDTH), and what changes of the state."""
        raise NotImplementedError

    def answer(self, x: mx.array, state: State) -> tuple[mx.array, State]:
        """The second core: (batch, time, WIDTH) to the gain (batch, time, 1), and what changes of the state."""
        raise NotImplementedError

    def initial_state(self, controls: mx.array, channels: int = 1) -> State:
        """At rest, as after silence, for each batch item of controls (batch, knobs)."""
        batch = len(controls)
        return {"window": mx.zeros((batch, WINDOW - 1)), "gru": self.slow.initial_state(batch), **self.core_state(batch)}

    def gain(self, key: mx.array, controls: mx.array, state: State | None = None) -> tuple[mx.array, State]:
        """The gain (linear, of either sign) for each sample of the key.

        Args:
            key: (batch, samples), any number of samples. controls: (batch, knobs), each -1 to 1.
        """
        state = state or self.initial_state(controls)
        samples = key.shape[1]
        heard = mx.concatenate([state["window"], key], axis=1)
        x, first = self.listen(heard, state)
        phi = spectrum_dense(heard, self.spectrum.weight, self.spectrum.bias)
        static, timed = self._conditions(controls, samples)
        scale, shift = mx.split(self.film(mx.concatenate([static, phi], axis=-1)), 2, axis=-1)
        x = self.film_glu(x * scale + shift)
        slow, gru = self.slow(mx.concatenate([timed, phi], axis=-1), state["gru"])
        scale, shift = mx.split(slow, 2, axis=-1)
        x = self.temporal_glu(x * scale + shift)
        gain, second = self.answer(x, state)
        return gain[..., 0], {"window": heard[:, samples:], "gru": gru, **first, **second}

    def _conditions(self, controls: mx.array, samples: int) -> tuple[mx.array, mx.array]:
        """The network's own numbers for the static and for the timed knobs, (batch, samples, knobs) each."""
        values = controls * mx.array(self.config.scale) + mx.array(self.config.offset)

        def over_time(knobs: tuple[int, ...]) -> mx.array:
            chosen = [values[:, i : i + 1] for i in knobs] or [mx.zeros((len(controls), 0))]
            return mx.broadcast_to(mx.concatenate(chosen, axis=1)[:, None], (len(controls), samples, len(knobs)))

        return over_time(self._static), over_time(self.config.timed)


def gain_head(inputs: int) -> Dense:
    """A dense layer to the gain, which starts around one."""
    head = Dense(inputs, 1)
    head.bias = mx.ones((1,))
    return head
