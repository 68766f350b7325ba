"""What every network is: a gain for each sample of a key signal, set by knobs, with a state that is handed on."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import mlx.nn as nn

from mlxopto.controls import Panel

State = dict[str, Any]


class Network(nn.Module):
    """y = gain * x, the gain from a network that listens to a key signal: x itself, unless it is told otherwise.

    A call in pieces equals a call in one. Subclasses give `initial_state` and `gain`, and more where a gain is not all.
    """

    config: Any  # a frozen dataclass with `controls` and `sample_rate`
    frame = 16  # samples by which training counts
    takes_key = True  # whether the detector may hear another signal than the audio
    linkable = False  # whether channels may be linked into one key, and share its gain
    learning_rate = 5e-3  # at its highest, unless a run says otherwise
    good_block = 1 << 14  # samples to hand over at once: what a sample costs in memory, and launches, decide

    @property
    def scan_sizes(self) -> tuple[int, int]:
        """Channels and states of its selective scans, or 1 and 1."""
        return 1, 1

    def prime(self, panel: Panel) -> None:
        """Starts fresh weights from what the panel says, where a network can."""

    def penalty(self) -> mx.array:
        """What the loss charges for the weights themselves."""
        return mx.zeros(())

    def initial_state(self, controls: mx.array, channels: int = 1) -> State:
        """At rest, as after silence: for `channels` audio channels that share the gain of each batch item (batch, knobs)."""
        raise NotImplementedError

    def gain(self, key: mx.array, controls: mx.array, state: State | None = None) -> tuple[mx.array, State]:
        """The gain (linear) for each sample of the key.

        Args:
            key: (batch, samples), what the detector hears; any number of samples. controls: (batch, knobs), each -1 to 1.
        """
        raise NotImplementedError

    def amplify(self, x: mx.array, gain: mx.array, state: State) -> tuple[mx.array, State]:
        """The audio path alone: x (batch, samples[, channels]) times gain (batch, samples)."""
        return x * (gain if x.ndim == 2 else gain[..., None]), state

    def __call__(
        self, x: mx.array, controls: mx.array, state: State | None = None, key: mx.array | None = None
    ) -> tuple[mx.array, State]:
        """Audio through the compressor.

        Args:
            x: (batch, samples), or (batch, samples, channels) with a key: the channels then share its gain.
            controls: (batch, knobs), each -1 to 1. key: (batch, samples), x itself when not given.
        """
        channels = x.shape[2] if x.ndim == 3 else 1
        state = state or self.initial_state(controls, channels)
        gain, state = self.gain(x if key is None else key, controls, state)
        return self.amplify(x, gain, state)
