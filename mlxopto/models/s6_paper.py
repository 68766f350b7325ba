"""s6_paper: the published network (Simionato and Fasciani, J. Audio Eng. Soc. 73(3), 2025), layer for layer, per sample.

Two modes. The published one steps nothing but a GRU, which moves once in 2,400 samples for each of as many interleaved slots,
because in the authors' code every sample was a batch item of length 1: its state space recurrence was never trained. The
recurrent one is what the paper describes: the convolutions, the scans and the GRU move with every sample.
"""

from __future__ import annotations

from dataclasses import dataclass

import mlx.core as mx
import mlx.nn as nn

from mlxopto.models.conditioned import WIDTH, Conditioned, ConditionedConfig, Window, gain_head
from mlxopto.models.network import State
from mlxopto.nn import Dense, functional
from mlxopto.nn.times import step_rates
from mlxopto.scan import selective_scan

CHANNELS, STATES, DT_RANK, TAPS = 6, 6, 2, 4
PUBLISHED_STRIDE = 2400  # samples between two moves of a slot of the GRU


@dataclass(frozen=True)
class S6PaperConfig(ConditionedConfig):
    """The hyperparameters kept in a weights file."""

    recurrent: bool = True  # false: the published mode


@dataclass(frozen=True)
class MemorylessConfig(S6PaperConfig):
    """The published mode, to be trained."""

    recurrent: bool = False


class Mixer(nn.Module):
    """The S6 block of Gu and Dao (2023): gate, causal depthwise convolution, selective scan in its usual simplified form.

    Args:
        outputs: features out; two come in.
        sample_rate: steps a second, for the initial time constants.
        recurrent: false forgets everything before each sample.
    """

    def __init__(self, outputs: int, sample_rate: float, recurrent: bool):
        super().__init__()
        self._recurrent = recurrent
        self.input = nn.Linear(WIDTH, 2 * CHANNELS, bias=False)
        self.taps = mx.random.uniform(-0.5, 0.5, (TAPS, CHANNELS))  # oldest first
        self.tap_bias = mx.zeros((CHANNELS,))
        self.select = nn.Linear(CHANNELS, DT_RANK + 2 * STATES, bias=False)
        self.dt = Dense(DT_RANK, CHANNELS, scale=0.1)
        if recurrent:
            self.dt.bias = mx.log(mx.expm1(step_rates(CHANNELS, sample_rate)))
        self.a_log = mx.broadcast_to(mx.log(mx.arange(1, STATES + 1, dtype=mx.float32)), (CHANNELS, STATES)) + 0.0
        self.skip = mx.ones((CHANNELS,))
        self.output = Dense(CHANNELS, outputs)

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
        u = functional.silu(mixed)
        selected = _linear(self.select, u)
        dt = functional.softplus(self.dt(selected[..., :DT_RANK]))
        b, c = mx.split(selected[..., DT_RANK:], 2, axis=-1)
        scan = state["scan"]
        if self._recurrent:
            y, scan = selective_scan(u, dt, -mx.exp(self.a_log), b, c, self.skip, scan, "euler")
        else:  # one step from rest
            y = dt * u * (b * c).sum(-1, keepdims=True) + self.skip * u
        output = self.output(functional.silu_gate(y, gate))
        return output, {"inputs": heard[:, heard.shape[1] - (TAPS - 1) :], "scan": scan}


class S6Paper(Conditioned):
    """A selective state space block before the knobs, another after them."""

    def __init__(self, config: S6PaperConfig):
        super().__init__(config, stride=1 if config.recurrent else PUBLISHED_STRIDE)
        self.lift = Window(WIDTH)
        self.mixer_in = Mixer(3, config.sample_rate, config.recurrent)
        self.join = Dense(3, WIDTH)
        self.mixer_out = Mixer(WIDTH, config.sample_rate, config.recurrent)
        self.hidden = Dense(WIDTH, WIDTH)
        self.head = gain_head(WIDTH)

    @property
    def scan_sizes(self) -> tuple[int, int]:
        """Channels and states of its selective scans."""
        return CHANNELS, STATES

    def core_state(self, batch: int) -> State:
        """The convolutions and scans at rest."""
        return {"in": self.mixer_in.initial_state(batch), "out": self.mixer_out.initial_state(batch)}

    def listen(self, heard: mx.array, state: State) -> tuple[mx.array, State]:
        """See `Conditioned`."""
        x, mixer_in = self.mixer_in(self.lift(heard), state["in"])
        return functional.gelu(self.join(x)), {"in": mixer_in}

    def answer(self, x: mx.array, state: State) -> tuple[mx.array, State]:
        """See `Conditioned`."""
        x, mixer_out = self.mixer_out(x, state["out"])
        return self.head(functional.gelu(self.hidden(x))), {"out": mixer_out}


def _linear(layer: nn.Linear, x: mx.array) -> mx.array:
    """A dense layer without bias."""
    return functional.dense(x, layer.weight, mx.zeros((layer.weight.shape[0],), dtype=x.dtype))
