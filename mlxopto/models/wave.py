"""The frame of the plain networks: they give the output itself, not a gain."""

from __future__ import annotations

from dataclasses import dataclass

import mlx.core as mx

from mlxopto.controls import Panel
from mlxopto.models.network import Network, State

_FLOOR = 1e-4  # of the input's magnitude, in the gain that meters show


@dataclass(frozen=True)
class WaveConfig:
    """The hyperparameters kept in a weights file."""

    controls: int  # knobs on the panel
    sample_rate: int = 48000

    @staticmethod
    def for_panel(panel: Panel, sample_rate: int, settings: int) -> WaveConfig:
        """One knob a control."""
        return WaveConfig(len(panel.controls), sample_rate)


class WaveNetwork(Network):
    """y = f(x, knobs, state). Subclasses give `initial_state` and `wave`. Its gain, for meters only, is |y| over |x|."""

    frame = 4
    learning_rate = 2e-2
    takes_key = False

    def __init__(self, config: WaveConfig):
        super().__init__()
        self.config = config

    def wave(self, x: mx.array, controls: mx.array, state: State) -> tuple[mx.array, State]:
        """The output for x (batch, samples) and controls (batch, knobs)."""
        raise NotImplementedError

    def gain(self, key: mx.array, controls: mx.array, state: State | None = None) -> tuple[mx.array, State]:
        """See `Network`; the output waits in the state for `amplify`."""
        y, state = self.wave(key, controls, state or self.initial_state(controls))
        return mx.abs(y) / mx.maximum(mx.abs(key), _FLOOR), {**state, "wave": y}

    def amplify(self, x: mx.array, gain: mx.array, state: State) -> tuple[mx.array, State]:
        """See `Network`; the output that `gain` left in the state."""
        return state["wave"], {name: value for name, value in state.items() if name != "wave"}
