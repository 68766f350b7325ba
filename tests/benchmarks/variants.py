"""Variants of opto, trained on the same data with the same seed for as many steps, and tested on settings that training did not
have.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from mlxopto.models import ARCHITECTURES, Opto
from mlxopto.models.opto import OptoConfig
from mlxopto.training import run
from mlxopto.training.config import TrainConfig
from mlxopto.training.scores import Scores, errors
from mlxopto.training.trainer import Trainer


def trained(config: TrainConfig, make: Callable[[OptoConfig], Opto], hop: int = OptoConfig.hop) -> tuple[Opto, Scores]:
    """The trained variant and its scores on unseen settings; chunks last as long whatever the hop."""
    ARCHITECTURES[config.arch] = (make, OptoConfig)
    trainer = Trainer(replace(config, frames=config.frames * OptoConfig.hop // hop), run.open_source(config))
    for _ in range(config.steps):
        trainer.advance()
    trainer.close()
    source = trainer.source
    scores = errors(trainer.model, source.panel, source.sample_rate, source.test["unseen"]).scores()
    return trainer.model, scores
