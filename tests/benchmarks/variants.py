"""Variants of opto, trained on the same data with the same seed for as many steps, and tested on settings that training did not
have.
"""

from __future__ import annotations

from collections.abc import Callable

from mlxopto.models import ARCHITECTURES, Opto
from mlxopto.models.opto import OptoConfig
from mlxopto.training import run
from mlxopto.training.config import TrainConfig
from mlxopto.training.scores import Scores, errors
from mlxopto.training.trainer import Trainer


def trained(config: TrainConfig, make: Callable[..., Opto], kind: type[OptoConfig] = OptoConfig) -> tuple[Opto, Scores]:
    """The trained variant and its scores on unseen settings."""
    ARCHITECTURES[config.arch] = (make, kind)
    trainer = Trainer(config, run.open_source(config))
    for _ in range(config.steps):
        trainer.advance()
    trainer.close()
    source = trainer.source
    scores = errors(trainer.model, source.panel, source.sample_rate, source.test["unseen"]).scores()
    return trainer.model, scores
