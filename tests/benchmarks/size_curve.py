"""What a larger or smaller opto costs and gains: time a sample in the engine, sizes in turns of one run, and errors after equal
training.

    python -m tests.benchmarks.size_curve STEPS DATA ...

DATA are virtual devices and data folders. Prints a Markdown table of errors on test settings that were never trained on.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace

import mlx.core as mx
import numpy as np

from mlxopto.engine import NativeEngine
from mlxopto.evaluation.studies.runs import label, of_data
from mlxopto.models import Opto, parameter_count
from mlxopto.training.config import TrainConfig
from tests.benchmarks.results import tell
from tests.benchmarks.variants import trained

SIZES = [{"hop": 32, "layers": 2}, {"hop": 32}, {"layers": 1}, {"layers": 2}, {}, {"layers": 5}, {"width": 32}, {"hop": 8}]
BLOCK, BLOCKS, TURNS = 4096, 50, 15


def named(size: dict[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in size.items()) or "the default"


def nanoseconds(models: list[Opto]) -> list[float]:
    """The fastest turn of each, a sample of mono in blocks of 4,096."""
    noise = (0.1 * np.random.default_rng(0).standard_normal((BLOCK, 1))).astype(np.float32)
    engines = []
    for model in models:
        engine = NativeEngine(model, 1, "off")
        engine.aim([0.0] * model.config.controls, 1.0, 0.0)
        engine.reset()
        engines.append(engine)
    fastest = [np.inf] * len(engines)
    for _ in range(TURNS):
        for i, engine in enumerate(engines):
            began = time.perf_counter()
            for _ in range(BLOCKS):
                engine.process(noise)
            fastest[i] = min(fastest[i], (time.perf_counter() - began) / (BLOCK * BLOCKS) * 1e9)
    return fastest


def of_size(config: TrainConfig, size: dict[str, int]) -> tuple[Opto, tuple[str, ...]]:
    """The model, and its errors as cells of a table."""
    model, scores = trained(config, lambda plain: Opto(replace(plain, **size)))
    return model, (f"{scores.esr_median:.1e}", f"{scores.esr_mean:.1e}", f"{scores.gain_error_db_rms:.2f}")


def main(steps: int, data: list[str]) -> None:
    mx.set_default_device(mx.cpu)
    for name in data:
        config = TrainConfig(**of_data(name), engine="cpu", steps=steps)
        models, errors = zip(*(of_size(config, size) for size in SIZES), strict=True)
        rows = [
            (named(size), parameter_count(model), f"{cost:.1f}", *cells)
            for size, model, cost, cells in zip(SIZES, models, nanoseconds(list(models)), errors, strict=True)
        ]
        columns = ["size", "parameters", "ns a sample", "ESR, median", "mean", "gain error, median"]
        tell(f"What size costs, {label(config)}", columns, rows, "one seed")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
