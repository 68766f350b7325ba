"""s6_paper: the published network (Simionato and Fasciani, J. Audio Eng. Soc. 73(3), 2025), layer for layer, per sample.

Two modes. The published one steps nothing but a GRU, which moves once in 2,400 samples for each of as many interleaved slots, because
in the authors' code every sample was a batch item of length 1: its state space recurrence was never trained. The recurrent one
is what the paper describes: the convolutions, the scans and the GRU move with every sample.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from mlxopto.controls import TIME_UNITS, Panel
from mlxopto.models.network import Network, State
from mlxopto.nn import functional
from mlxopto.scan import gru_scan, selective_scan

WINDOW = 64  # samples that the network hears at once
FFT = 255  # the window is filled up with zeros to this length
BINS = FFT // 2 + 1
CHANNELS, STATES, DT_RANK, TAPS = 6, 6, 2, 4
GRU_UNITS = 4
PUBLISHED_STRIDE = 2400  # samples between two moves of a slot of the GRU


@dataclass(frozen=True)
class S6PaperConfig:
    """The hyperparameters kept in a weights file."""

    controls: int  # knobs on the panel
    sample_rate: int = 48000
    timed: tuple[int, ...] = ()  # which knobs the temporal FiLM hears (attack, release, a switch); the others the FiLM
    scale: tuple[float, ...] = ()  # what a knob of -1 to 1 is multiplied by, then added to, to be the network's number;
    offset: tuple[float, ...] = ()  # 1/2 and 1/2, so 0 to 1, where not given
    recurrent: bool = True  # false: the published mode

    def __post_init__(self) -> None:
        for name in ("scale", "offset"):
            object.__setattr__(self, name, tuple(getattr(self, name)) or (0.5,) * self.controls)
        object.__setattr__(self, "timed", tuple(self.timed))
        if len(self.scale) != self.controls or len(self.offset) != self.controls:
            raise ValueError(f"scale and offset need {self.controls} numbers each")
        if any(not 0 <= i < self.controls for i in self.timed):
            raise ValueError(f"timed names knobs from 0 to {self.controls - 1}")

    @staticmethod
    def for_panel(panel: Panel, sample_rate: int, settings: int) -> S6PaperConfig:
        """Knobs in units of time, or a switch where there is none, reach the temporal FiLM, as in the paper."""
        timed = tuple(i for i, control in enumerate(panel.controls) if control.unit in TIME_UNITS)
        switches = tuple(i for i, control in enumerate(panel.controls) if control.taper == "steps")
        return S6PaperConfig(len(panel.controls), sample_rate, timed or switches)


class Mixer(nn.Module):
    """The S6 block of Gu and Dao (2023): gate, causal depthwise convolution, selective scan in its usual simplified form.

    Args:
        outputs: features out; two come in.
        recurrent: false forgets everything before each sample.
    """

    def __init__(self, outputs: int, recurrent: bool):
        super().__init__()
        self._recurrent = recurrent
        self.input = nn.Linear(2, 2 * CHANNELS, bias=False)
        self.taps = mx.random.uniform(-0.5, 0.5, (TAPS, CHANNELS))  # oldest first
        self.tap_bias = mx.zeros((CHANNELS,))
        self.select = nn.Linear(CHANNELS, DT_RANK + 2 * STATES, bias=False)
        self.dt = nn.Linear(DT_RANK, CHANNELS)
        self.a_log = mx.broadcast_to(mx.log(mx.arange(1, STATES + 1, dtype=mx.float32)), (CHANNELS, STATES)) + 0.0
        self.skip = mx.ones((CHANNELS,))
        self.output = nn.Linear(CHANNELS, outputs)

    def initial_state(self, batch: int) -> State:
        """The last inputs of the convolution (batch, TAPS - 1, CHANNELS) and the scan (batch, CHANNELS, STATES), at rest."""
        return {"inputs": mx.zeros((batch, TAPS - 1, CHANNELS)), "scan": mx.zeros((batch, CHANNELS, STATES))}

    def __call__(self, x: mx.array, state: State) -> tuple[mx.array, State]:
        """x: (batch, samples, 2)."""
        samples = x.shape[1]
        inputs, gate = mx.split(_linear(self.input, x), 2, axis=-1)
        if self._recurrent:
            heard = mx.concatenate([state["inputs"], inputs], axis=1)
            mixed = sum((heard[:, k : k + samples] * self.taps[k] for k in range(TAPS)), start=self.tap_bias)
        else:
            heard, mixed = state["inputs"], inputs * self.taps[-1] + self.tap_bias
        u = nn.silu(mixed)
        selected = _linear(self.select, u)
        dt = functional.softplus(_linear(self.dt, selected[..., :DT_RANK]))
        b, c = mx.split(selected[..., DT_RANK:], 2, axis=-1)
        scan = state["scan"]
        if self._recurrent:
            y, scan = selective_scan(u, dt, -mx.exp(self.a_log), b, c, self.skip, scan, "euler")
        else:  # one step from rest
            y = dt * u * (b * c).sum(-1, keepdims=True) + self.skip * u
        output = _linear(self.output, functional.silu_gate(y, gate))
        return output, {"inputs": heard[:, heard.shape[1] - (TAPS - 1) :], "scan": scan}


class SoftsignGLU(nn.Module):
    """a b / (1 + |b|) for the halves a, b of a dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(2, 4)

    def __call__(self, x: mx.array) -> mx.array:
        value, gate = mx.split(_linear(self.dense, x), 2, axis=-1)
        return value * gate / (1 + mx.abs(gate))


class S6Paper(Network):
    """y[n] = g[n] x[n], the gain of every sample from the last 64 samples, their spectrum, the knobs and the state."""

    def __init__(self, config: S6PaperConfig):
        super().__init__()
        self.config = config
        self._static = tuple(i for i in range(config.controls) if i not in config.timed)
        self.stride = 1 if config.recurrent else PUBLISHED_STRIDE
        self.lift = nn.Linear(WINDOW, 2)
        self.mixer_in = Mixer(3, config.recurrent)
        self.join = nn.Linear(3, 2)
        self.spectrum = nn.Linear(BINS, 2)
        self.film = nn.Linear(len(self._static) + 2, 4)
        self.film_glu = SoftsignGLU()
        self.gates = nn.Linear(len(config.timed) + 2, 3 * GRU_UNITS)
        bound = GRU_UNITS**-0.5
        self.recurrent = mx.random.uniform(-bound, bound, (3 * GRU_UNITS, GRU_UNITS))
        self.recurrent_bias = mx.zeros((3 * GRU_UNITS,))
        self.temporal_glu = SoftsignGLU()
        self.mixer_out = Mixer(2, config.recurrent)
        self.hidden = nn.Linear(2, 2)
        self.head = nn.Linear(2, 1)

    @property
    def scan_sizes(self) -> tuple[int, int]:
        """Channels and states of its selective scans."""
        return CHANNELS, STATES

    def initial_state(self, controls: mx.array, channels: int = 1) -> State:
        """At rest, as after silence, for each batch item of controls (batch, knobs)."""
        batch = len(controls)
        return {
            "window": mx.zeros((batch, WINDOW - 1)),
            "in": self.mixer_in.initial_state(batch),
            "gru": mx.zeros((batch, self.stride, GRU_UNITS)),  # the slot of the next sample first
            "out": self.mixer_out.initial_state(batch),
        }

    def gain(self, key: mx.array, controls: mx.array, state: State | None = None) -> tuple[mx.array, State]:
        """The gain (linear, of either sign) for each sample of the key.

        Args:
            key: (batch, samples), any number of samples. controls: (batch, knobs), each -1 to 1.
        """
        state = state or self.initial_state(controls)
        samples = key.shape[1]
        heard = mx.concatenate([state["window"], key], axis=1)
        rows, width = heard.shape
        windows = mx.as_strided(heard, (rows, samples, WINDOW), (width, 1, 1))
        x, mixer_in = self.mixer_in(_linear(self.lift, windows), state["in"])
        x = nn.gelu(_linear(self.join, x))
        phi = _linear(self.spectrum, mx.stop_gradient(_magnitudes(windows)))
        static, timed = self._conditions(controls, samples)
        scale, shift = mx.split(_linear(self.film, mx.concatenate([static, phi], axis=-1)), 2, axis=-1)
        x = self.film_glu(x * scale + shift)
        slow, gru = self._slow(mx.concatenate([timed, phi], axis=-1), state["gru"])
        scale, shift = mx.split(slow, 2, axis=-1)
        x = self.temporal_glu(x * scale + shift)
        x, mixer_out = self.mixer_out(x, state["out"])
        gain = _linear(self.head, nn.gelu(_linear(self.hidden, x)))[..., 0]
        return gain, {"window": heard[:, width - (WINDOW - 1) :], "in": mixer_in, "gru": gru, "out": mixer_out}

    def _conditions(self, controls: mx.array, samples: int) -> tuple[mx.array, mx.array]:
        """The network's own numbers for the static and for the timed knobs, (batch, samples, knobs) each."""
        values = controls * mx.array(self.config.scale) + mx.array(self.config.offset)

        def over_time(knobs: tuple[int, ...]) -> mx.array:
            chosen = [values[:, i : i + 1] for i in knobs] or [mx.zeros((len(controls), 0))]
            return mx.broadcast_to(mx.concatenate(chosen, axis=1)[:, None], (len(controls), samples, len(knobs)))

        return over_time(self._static), over_time(self.config.timed)

    def _slow(self, x: mx.array, slots: mx.array) -> tuple[mx.array, mx.array]:
        """The GRU: sample n moves slot n modulo the stride. x: (batch, samples, inputs), slots: (batch, stride, GRU_UNITS)."""
        batch, samples, _ = x.shape
        stride = self.stride
        moves = -(-samples // stride)
        inner = mx.concatenate([self.recurrent_bias[: 2 * GRU_UNITS], mx.zeros((GRU_UNITS,))])
        gates = mx.pad(_linear(self.gates, x) + inner, [(0, 0), (0, moves * stride - samples), (0, 0)])
        rows = gates.reshape(batch, moves, stride, -1).swapaxes(1, 2).reshape(batch * stride, moves, -1)
        start = slots.reshape(batch * stride, GRU_UNITS)
        h, _ = gru_scan(rows, self.recurrent, self.recurrent_bias[2 * GRU_UNITS :], start)
        h = h.reshape(batch, stride, moves, GRU_UNITS).swapaxes(1, 2).reshape(batch, moves * stride, GRU_UNITS)
        latest = mx.concatenate([slots, h[:, :samples]], axis=1)[:, samples:]
        return h[:, :samples], latest


def _linear(layer: nn.Linear, x: mx.array) -> mx.array:
    bias = layer.bias if "bias" in layer else mx.zeros((layer.weight.shape[0],))
    return functional.dense(x, layer.weight, bias)


def _dft() -> np.ndarray:
    """(2 BINS, WINDOW): real and imaginary parts of the transform of a window filled up with zeros."""
    angles = 2 * math.pi / FFT * np.outer(np.arange(BINS), np.arange(WINDOW))
    return np.concatenate([np.cos(angles), -np.sin(angles)]).astype(np.float32)


_DFT = _dft()


def _magnitudes(windows: mx.array) -> mx.array:
    """(..., WINDOW) to (..., BINS), neither windowed nor scaled."""
    parts = functional.dense(windows, mx.array(_DFT), mx.zeros((2 * BINS,)))
    real, imaginary = mx.split(parts, 2, axis=-1)
    return mx.sqrt(mx.square(real) + mx.square(imaginary))
