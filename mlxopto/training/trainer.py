"""One training run in memory: steps, validation, and its whole state as arrays and JSON."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import mlx.optimizers as optim
from mlx.utils import tree_flatten

from mlxopto import weights
from mlxopto.data.takes import Source
from mlxopto.errors import DivergedError, RequestError
from mlxopto.models import Network, fresh
from mlxopto.training.chunks import ChunkStream
from mlxopto.training.config import TrainConfig
from mlxopto.training.cpu_step import CpuStep
from mlxopto.training.gpu_step import GpuStep
from mlxopto.training.ranks import ALONE, Ranks
from mlxopto.training.schedule import learning_rate
from mlxopto.training.scores import Scores, errors
from mlxopto.training.step import Step, StepResult

PATIENCE_WITH_NAN = 20  # steps in a row whose gradient is not finite before a run counts as diverged


class Trainer:
    """Truncated back-propagation through time with carried state, AdamW, warm-up and cosine schedule.

    The last weights count: the schedule has come to rest by then, and a validation on a few settings would be a poor judge of
    others.
    """

    def __init__(self, config: TrainConfig, source: Source, ranks: Ranks = ALONE):
        self.model = new_model(config, source)
        self.config, self.source, self._ranks = config, source, ranks
        self._highest_rate = self.model.learning_rate if config.learning_rate is None else config.learning_rate
        self.step = 0
        # eps: a parameter that changes nothing yet must not be moved by rounding
        self._optimizer = optim.AdamW(self._highest_rate, betas=[0.9, 0.99], eps=1e-6, weight_decay=config.weight_decay)
        self._optimizer.init(self.model.trainable_parameters())
        self._stream = ChunkStream(source, config.batch, config.frames * self.model.frame, ranks)
        self._step: Step
        if config.engine == "gpu":
            self._step = GpuStep(config, self.model, self._optimizer, ranks)
        else:
            self._step = CpuStep(config, self.model, self._optimizer, ranks)

    def close(self) -> None:
        """Ends the threads."""
        self._stream.close()
        self._step.close()

    def advance(self) -> StepResult:
        """One step; on the GPU it may still be under way afterwards."""
        result = self._step(self._stream.next(), self._learning_rate())
        self.step += 1
        return result

    def check(self) -> None:
        """Waits for what is under way.

        Raises:
            DivergedError: the gradient was not finite many times in a row.
        """
        if self._step.not_finite >= PATIENCE_WITH_NAN:
            raise DivergedError(f"training diverged before step {self.step}: the gradient is not finite; try another --seed")

    def validate(self) -> Scores:
        """Scores on the validation takes."""
        return errors(self.model, self.source.panel, self.source.sample_rate, self.source.validation).scores()

    def arrays(self) -> dict[str, Any]:
        """Everything in arrays that `restore` needs."""
        states = self._step.states()
        if any(state is None for state in states):  # after a gradient that was not finite, on all ranks alike
            states = []
        return {
            "model": self.model.parameters(),
            "optimizer": self._optimizer.state,
            "states": self._ranks.gathered(states),
            "slots": self._ranks.gathered(mx.array(self._stream.position())),
        }

    def progress(self) -> dict[str, Any]:
        """Everything else that `restore` needs, as JSON."""
        return {
            "step": self.step,
            "ranks": self._ranks.size,
            "not_finite": self._step.not_finite,
        }

    def restore(self, arrays: dict[str, Any], progress: dict[str, Any]) -> None:
        """Becomes the trainer that gave these.

        Raises:
            RequestError: they are of an older version, or of another number of ranks.
        """
        if "slots" not in arrays or _shapes(arrays["model"]) != _shapes(self.model.parameters()):
            raise RequestError("the run was begun by an older mlxopto, which this one cannot go on with")
        if progress["ranks"] != self._ranks.size:
            raise RequestError(f"the run was begun by {progress['ranks']} ranks, so {self._ranks.size} cannot go on with it")
        self.model.update(arrays["model"])
        self._optimizer.state = arrays["optimizer"]
        self._optimizer.init(self.model.trainable_parameters())  # puts back what has no arrays and is in no checkpoint
        self.step = progress["step"]
        self._stream.restore(self._ranks.share(arrays["slots"]).tolist())
        self._step.restore(self._ranks.share(arrays.get("states", [])), progress["not_finite"])
        mx.eval(self.model.parameters(), self._optimizer.state)

    def _learning_rate(self) -> float:
        steps = self.config.steps
        return learning_rate(self.step, steps, self._highest_rate, min(self.config.warmup, steps // 5))


def _shapes(parameters: Any) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in tree_flatten(parameters) if array.size}  # a checkpoint has no others


def new_model(config: TrainConfig, source: Source) -> Network:
    """The network at the start of a run: fresh from the seed, or with the weights of `config.init`.

    Raises:
        RequestError: weights for other controls, another architecture or another sample rate.
    """
    if config.init is None:
        mx.random.seed(config.seed)
        model = fresh(config.arch, source.panel, source.sample_rate, source.training_settings)
        mx.eval(model.parameters())
        return model
    model, card = weights.load(weights.find(config.init))
    names = [control.name for control in source.panel.controls]
    theirs = [control.name for control in card.panel.controls]
    if (card.architecture, theirs, card.sample_rate) != (config.arch, names, source.sample_rate):
        raise RequestError(
            f"{config.init} ({card.architecture}, {', '.join(theirs)}, {card.sample_rate} Hz) cannot start a run with "
            f"{config.arch}, {', '.join(names)}, {source.sample_rate} Hz"
        )
    return model
