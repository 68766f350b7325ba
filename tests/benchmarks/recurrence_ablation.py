"""What the state space model does for opto: the same network, data, seed and steps with other recurrences in its place, with
none, and without the whole network beside the side-chain. One seed.

    python -m tests.benchmarks.recurrence_ablation STEPS DATA ...

DATA are virtual devices and data folders. Prints a Markdown table of errors on test settings that were never trained on.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from mlxopto.controls import Panel
from mlxopto.evaluation.studies.runs import label, of_data
from mlxopto.models import Opto, parameter_count
from mlxopto.models.opto import OptoConfig
from mlxopto.nn import GRU, LSTM, S4D, Dense, functional
from mlxopto.training.config import TrainConfig
from tests.benchmarks.results import tell
from tests.benchmarks.variants import trained


class Nothing(nn.Module):
    """No memory."""

    def initial_state(self, batch: int) -> mx.array:
        return mx.zeros((batch, 0))

    def __call__(self, x: mx.array, state: mx.array) -> tuple[mx.array, mx.array]:
        return x, state


class Gated(nn.Module):
    """The frame of the S6 around another recurrence.

    It has no step sizes for the knobs to move, so they shift what it hears.
    """

    def __init__(self, width: int, core: nn.Module):
        super().__init__()
        self.input, self.core, self.output = Dense(width, 2 * width), core, Dense(width, width)
        self.initial_state = core.initial_state

    def __call__(self, x: mx.array, shift: mx.array, state: Any) -> tuple[mx.array, Any]:
        v, gate = mx.split(self.input(x), 2, axis=-1)
        y, state = self.core(v + shift, state)
        return self.output(functional.silu_gate(y, gate)), state


CORES: dict[str, Callable[[OptoConfig], nn.Module]] = {
    "GRU": lambda config: GRU(config.width, config.width),
    "LSTM": lambda config: LSTM(config.width, config.width),
    "S4D": lambda config: S4D(config.width, config.states // 2, config.sample_rate / config.hop),  # pairs of states
    "none": lambda config: Nothing(),
}


class OtherCore(Opto):
    """Opto with another recurrence in the S6's place; the panel's times, which prime step sizes, say nothing to it."""

    def __init__(self, config: OptoConfig, core: str):
        super().__init__(config)
        for block in self.blocks:
            block.s6 = Gated(config.width, CORES[core](config))

    def prime(self, panel: Panel) -> None:
        super().prime(panel)
        for block in self.blocks:
            block.dt_shift.weight = mx.zeros_like(block.dt_shift.weight)


def side_chain_alone(config: OptoConfig) -> Opto:
    model = Opto(config)
    for part in (model.lift, model.gain_computer, model.head, *model.blocks):
        part.freeze()
    model.head.weight = mx.zeros_like(model.head.weight)
    return model


VARIANTS = {"S6": Opto, **{core: partial(OtherCore, core=core) for core in CORES}, "the side-chain alone": side_chain_alone}


def main(steps: int, data: list[str]) -> None:
    mx.set_default_device(mx.cpu)
    rows = []
    for name in data:
        config = TrainConfig(**of_data(name), engine="cpu", steps=steps)
        for variant, make in VARIANTS.items():
            model, scores = trained(config, make)
            gains = (f"{scores.gain_error_db_rms:.2f}", f"{scores.gain_error_db_mean:.2f}")
            errors = (f"{scores.esr_median:.1e}", f"{scores.esr_mean:.1e}")
            rows.append((label(config), variant, parameter_count(model), *errors, *gains))
    columns = ["data", "recurrence", "parameters", "ESR, median", "mean", "gain error, median", "mean"]
    tell("What the state space network adds", columns, rows, "one seed")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
