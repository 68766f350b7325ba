"""What the selective state space layer in the gain path, the cell, does for opto: the same network, data and steps with another
recurrence in its place, with none, and without the layers that correct them.

    python -m tests.benchmarks.recurrence_ablation STEPS SEEDS DATA ...

DATA are virtual devices and data folders. Prints a Markdown table: errors on test settings that were never trained on, and
for the LA-2A and the CL 1B those of `exposure`, means over the seeds with the standard deviation, and the p of a paired t-test
of the logarithms of a variant's errors against the cell's.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from scipy import stats

from mlxopto.devices import DEVICES, Device
from mlxopto.engine import MlxEngine
from mlxopto.evaluation.studies.runs import label, of_data
from mlxopto.models import Opto, parameter_count
from mlxopto.models.opto import LightConfig, OptoConfig
from mlxopto.nn import GRU, LSTM, S4D, Dense, OpticalCell, functional
from mlxopto.nn.cell import MOST, TRAPS
from mlxopto.training.config import TrainConfig
from tests.benchmarks.exposure import SETTINGS, errors_db
from tests.benchmarks.results import tell
from tests.benchmarks.variants import trained

CORES: dict[str, Callable[[OptoConfig], nn.Module]] = {
    "GRU": lambda config: GRU(TRAPS, TRAPS),
    "LSTM": lambda config: LSTM(TRAPS, TRAPS),
    "S4D": lambda config: S4D(TRAPS, 4, config.sample_rate / config.hop),
}


class OtherCell(nn.Module):
    """Another recurrence in the cell's place: it hears the reduction and the carriers, and adds conductance."""

    def __init__(self, config: OptoConfig, core: str):
        super().__init__()
        self.input, self.core, self.output = Dense(2, TRAPS), CORES[core](config), Dense(TRAPS, 1)
        self.output.bias = mx.full((1,), -4.0)
        self.initial_state = self.core.initial_state

    def __call__(self, reduction: mx.array, state: Any) -> tuple[mx.array, mx.array, Any]:
        reduction = mx.minimum(reduction, MOST)
        carriers = mx.expm1(reduction)
        hidden, state = self.core(self.input(mx.stack([reduction, mx.log1p(carriers)], axis=-1)), state)
        whole = mx.log1p(carriers + functional.softplus(self.output(hidden))[..., 0])
        return whole, mx.concatenate([whole[..., None], hidden], axis=-1), state


class NoCell(nn.Module):
    """A gain that forgets at once."""

    def initial_state(self, batch: int) -> mx.array:
        return mx.zeros((batch, 0))

    def __call__(self, reduction: mx.array, state: mx.array) -> tuple[mx.array, mx.array, mx.array]:
        features = mx.pad(reduction[..., None], [(0, 0), (0, 0), (0, OpticalCell.features - 1)])
        return reduction, features, state


def other(config: OptoConfig, core: str) -> Opto:
    model = Opto(config)
    model.cell = OtherCell(config, core)
    return model


def without(config: OptoConfig) -> Opto:
    model = Opto(config)
    model.cell = NoCell()
    return model


def no_layers(config: OptoConfig) -> Opto:
    model = Opto(config)
    for part in (model.lift, model.head, *model.layers):
        part.freeze()
    model.head.weight = mx.zeros_like(model.head.weight)
    return model


VARIANTS: dict[str, Callable[[OptoConfig], Opto]] = {
    "S6 cell": Opto,
    **{core: partial(other, core=core) for core in CORES},
    "none": without,
    "S6 cell, no layers": no_layers,
}


def as_device(model: Opto, unit: Device) -> Device:
    """A network in a device's place, through MLX, which runs every variant."""

    def process(x: np.ndarray, _rate: int, setting: Mapping[str, float]) -> np.ndarray:
        engine = MlxEngine(model, 1, "off", mx.Device(mx.cpu))
        engine.aim(unit.panel.normalise(setting), 1.0, 0.0)
        return engine.process(x[:, None])[0][:, 0]

    return replace(unit, process=process)


def figures(config: TrainConfig, make: Callable[[OptoConfig], Opto]) -> tuple[int, list[float]]:
    """Parameters, and errors: ESR and gain error, medians over unseen takes, and the mean of `exposure`."""
    model, scores = trained(config, make, LightConfig)
    memory = []
    if config.device in SETTINGS:
        unit = DEVICES[config.device]
        memory = [float(errors_db(as_device(model, unit), unit).mean())]
    return parameter_count(model), [scores.esr_median, scores.gain_error_db_rms, *memory]


def cells(found: np.ndarray, against: np.ndarray) -> list[str]:
    """Means of errors (seeds, figures) in words, with what a paired test says of them."""
    words = []
    for ours, theirs in zip(found.T, against.T, strict=True):
        p = stats.ttest_rel(np.log(ours), np.log(theirs)).pvalue if found is not against and len(ours) > 1 else np.nan
        spread = f" +- {ours.std(ddof=1):.1g}" if len(ours) > 1 else ""
        words.append(f"{ours.mean():.2g}{spread}" + ("" if np.isnan(p) else f" (p = {p:.2g})"))
    return words


def main(steps: int, seeds: int, data: list[str]) -> None:
    mx.set_default_device(mx.cpu)
    rows = []
    for name in data:
        config = TrainConfig(**of_data(name), arch="opto_light", engine="cpu", steps=steps)
        against = None
        for variant, make in VARIANTS.items():
            runs = [figures(replace(config, seed=seed), make) for seed in range(seeds)]
            found = np.array([errors for _, errors in runs])
            against = found if against is None else against
            rows.append([label(config), variant, runs[0][0], *[*cells(found, against), "-"][:3]])
            print(rows[-1], flush=True)
    columns = ["data", "in the gain path", "parameters", "ESR", "gain error, dB", "memory error, dB"]
    tell("What the cell adds", columns, rows, f"{seeds} seeds, {steps} steps of opto_light")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
