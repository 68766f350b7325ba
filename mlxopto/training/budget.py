"""How many steps fit into the minutes that a run is given."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import mlx.core as mx

from mlxopto.data.takes import Source
from mlxopto.training.config import TrainConfig
from mlxopto.training.ranks import ALONE, Ranks
from mlxopto.training.step import DEVICES
from mlxopto.training.trainer import Trainer

VALIDATION_SHARE = 0.15  # of a run's time, at most, but for the fewest
FEWEST_VALIDATIONS = 3
MEASUREMENTS, MEASURED_STEPS = 3, 15  # each long enough to hear sequences being prepared


def measured(config: TrainConfig, source: Source, ranks: Ranks = ALONE) -> TrainConfig:
    """The configuration with as many steps and validations as fit into its minutes on this machine, with a margin for the end.

    The fastest of several short measurements counts, because other work can only slow them down.
    """
    with mx.stream(DEVICES[config.engine]):
        a_step, validation = _costs(Trainer(replace(config, steps=1000), source, ranks))
    seconds = 0.95 * config.minutes * 60
    validations = max(FEWEST_VALIDATIONS, min(config.validations, int(VALIDATION_SHARE * seconds / validation)))
    count = max(100, int((seconds - validations * validation) / a_step))
    return replace(config, steps=int(ranks.agreed(count)), validations=int(ranks.agreed(validations)))


def _seconds(work: Callable[[], object]) -> float:
    start = time.monotonic()
    work()
    return time.monotonic() - start


def _costs(trainer: Trainer) -> tuple[float, float]:
    """Seconds of a step and of a validation; ends the trainer."""

    def steps(count: int) -> None:
        for _ in range(count):
            trainer.advance()
        trainer.check()

    try:
        steps(MEASURED_STEPS)  # the first may compile
        a_step = min(_seconds(lambda: steps(MEASURED_STEPS)) for _ in range(MEASUREMENTS)) / MEASURED_STEPS
        return a_step, min(_seconds(trainer.validate) for _ in range(2))
    finally:
        trainer.close()
