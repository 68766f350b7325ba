"""One training run in memory: steps, validation, and its whole state as arrays and JSON."""

from __future__ import annotations

import itertools
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import numpy as np
from mlx.utils import tree_flatten, tree_map, tree_unflatten

from mlxopto import native, weights
from mlxopto.data.takes import Source
from mlxopto.errors import RequestError, WorkError
from mlxopto.evaluation.scores import Scores, score
from mlxopto.models import build
from mlxopto.models.opto import Opto, State
from mlxopto.training.config import TrainConfig
from mlxopto.training.loss import gain_loss, waveform_loss
from mlxopto.training.stream import Chunk, Stream

SHARDS = 2
MANY_SETTINGS, KNOB_HIDDEN = 64, 16  # with fewer training settings, a hidden layer of knobs learns them by heart
PATIENCE_WITH_NAN = 20  # steps in a row whose gradient is not finite before a run counts as diverged


@dataclass(frozen=True)
class StepResult:
    """One step's mean losses and gradient norm before clipping."""

    loss: float
    waveform: float
    gain: float
    gradient_norm: float
    learning_rate: float


class Trainer:
    """Truncated back-propagation through time with carried state, AdamW, warm-up and cosine schedule; keeps the best weights."""

    def __init__(self, config: TrainConfig, source: Source):
        self.config, self.source = config, source
        self.model = new_model(config, source)
        self.step = 0
        self.best_score = math.inf
        self.best = self.model.parameters()
        self._schedule = optim.join_schedules(
            [
                optim.linear_schedule(0.0, config.learning_rate, config.warmup),
                optim.cosine_decay(config.learning_rate, max(1, config.steps - config.warmup), config.learning_rate / 100),
            ],
            [config.warmup],
        )
        self._optimizer = optim.AdamW(config.learning_rate, betas=[0.9, 0.99], weight_decay=config.weight_decay)
        self._optimizer.init(self.model.trainable_parameters())
        self._stream = Stream(source, config.batch, config.frames * self.model.config.hop)
        edges = [config.batch * i // SHARDS for i in range(SHARDS + 1)]
        self._shards = [_Shard(config, source, a, b) for a, b in itertools.pairwise(edges) if b > a]
        self._worker = ThreadPoolExecutor(len(self._shards), thread_name_prefix="mlxopto-shard")
        self._not_finite = 0

    def close(self) -> None:
        """Ends the threads."""
        self._stream.close()
        self._worker.shutdown()

    def advance(self) -> StepResult:
        """One step.

        Raises:
            WorkError: the gradient was not finite many times in a row.
        """
        chunk = self._stream.next()
        parameters = self.model.trainable_parameters()
        mx.eval(parameters)  # lazy arrays cannot be evaluated on another thread
        parts = list(self._worker.map(lambda shard: shard.gradient(parameters, chunk), self._shards))
        loss, waveform, gain = (
            sum(part.share * getattr(part, name) for part in parts) for name in ("loss", "waveform", "gain")
        )
        gradient = tree_map(
            lambda *arrays: sum(p.share * a for p, a in zip(parts, arrays, strict=True)), *(p.tree for p in parts)
        )
        gradient, norm = optim.clip_grad_norm(gradient, self.config.clip_norm)
        rate = float(self._schedule(mx.array(self.step)))
        mx.eval(norm, gradient)
        if math.isfinite(float(norm)) and math.isfinite(loss):
            self._optimizer.learning_rate = rate
            self._optimizer.update(self.model, gradient)
            mx.eval(self.model.parameters(), self._optimizer.state)
            self._not_finite = 0
        else:
            for shard in self._shards:
                shard.state = None
            self._not_finite += 1
            if self._not_finite == PATIENCE_WITH_NAN:
                raise WorkError(f"training diverged at step {self.step}: the gradient is not finite; try another --seed")
        self.step += 1
        return StepResult(loss, waveform, gain, float(norm), rate)

    def validate(self) -> Scores:
        """Scores on the validation takes; the best weights so far are remembered."""
        scores = self._score(self.source.validation)
        total = math.sqrt(scores.esr_mean) + scores.gain_error_db_mean / 8.686  # as the loss weighs them
        if total < self.best_score:
            self.best_score = total
            self.best = tree_map(lambda array: array + 0, self.model.parameters())
            mx.eval(self.best)
        return scores

    def test(self) -> dict[str, Scores]:
        """Scores of the best weights on the test splits that the source has."""
        self.model.update(self.best)
        return {split: self._score(takes) for split, takes in self.source.test.items() if takes}

    def arrays(self) -> dict[str, Any]:
        """Everything in arrays that `restore` needs."""
        return {
            "model": self.model.parameters(),
            "best": self.best,
            "optimizer": self._optimizer.state,
            "states": [shard.state for shard in self._shards],
        }

    def progress(self) -> dict[str, Any]:
        """Everything else that `restore` needs, as JSON."""
        return {
            "step": self.step,
            "best_score": None if math.isinf(self.best_score) else self.best_score,
            "stream": self._stream.position(),
            "not_finite": self._not_finite,
        }

    def restore(self, arrays: dict[str, Any], progress: dict[str, Any]) -> None:
        """Becomes the trainer that gave these."""
        self.model.update(arrays["model"])
        self.best = arrays["best"]
        self._optimizer.state = arrays["optimizer"]
        self.step, self._not_finite = progress["step"], progress["not_finite"]
        self.best_score = math.inf if progress["best_score"] is None else progress["best_score"]
        self._stream.restore(progress["stream"])
        for shard, state in zip(self._shards, arrays.get("states", []), strict=False):
            shard.restore(state)  # there is none after a step whose gradient was not finite: then all start from rest
        mx.eval(self.model.parameters(), self._optimizer.state)

    def _score(self, takes: Any) -> Scores:
        return score(self.model, self.source.panel, self.source.sample_rate, takes)


@dataclass(frozen=True)
class _Gradient:
    """One shard's mean losses and gradient; `share` of the batch."""

    share: float
    loss: float
    waveform: float
    gain: float
    tree: Any


class _Shard:
    """Some of the batch, differentiated on a thread of its own: MLX's CPU operations use one core each.

    The number of shards is fixed, so that sums, and with them the weights, do not depend on the number of cores.
    """

    def __init__(self, config: TrainConfig, source: Source, start: int, end: int):
        self.state: State | None = None
        self._config, self._rows = config, slice(start, end)
        self._model = new_model(config, source)
        self._value_and_gradient = nn.value_and_grad(self._model, self._loss)

    def gradient(self, parameters: Any, chunk: Chunk) -> _Gradient:
        """Everything comes back evaluated: what one thread left lazy, another could not evaluate."""
        with mx.stream(mx.cpu), native.cores_shared_by(SHARDS):
            self._model.update(parameters)
            rows = self._rows
            arrays = [mx.array(a[rows]) for a in (chunk.x, chunk.y, chunk.power, chunk.controls)]
            starts = chunk.starts[rows]
            fresh = mx.array(starts if self.state else np.ones_like(starts)) if starts.any() or not self.state else None
            (loss, (waveform, gain, self.state)), tree = self._value_and_gradient(self._model, *arrays, fresh, self.state)
            mx.eval(loss, waveform, gain, self.state, tree)
        share = (rows.stop - rows.start) / self._config.batch
        return _Gradient(share, float(loss), float(waveform), float(gain), tree)

    def restore(self, state: Any) -> None:
        """Takes a state from a checkpoint, which leaves out arrays without elements."""
        batch = self._rows.stop - self._rows.start
        rest = dict(tree_flatten(self._model.initial_state(mx.zeros((batch, self._model.config.controls)))))
        self.state = tree_unflatten(list({**rest, **dict(tree_flatten(state))}.items()))
        mx.eval(self.state)

    def _loss(
        self,
        model: Opto,
        x: mx.array,
        y: mx.array,
        power: mx.array,
        controls: mx.array,
        starts: mx.array | None,
        state: State | None,
    ) -> tuple[mx.array, tuple[mx.array, mx.array, State]]:
        if starts is not None:
            state = _start_some(model.initial_state(controls), starts, state)
        estimate, state = model(x, controls, state)
        waveform, gain = waveform_loss(estimate, y, power).mean(), gain_loss(x, estimate, y).mean()
        share = self._config.gain_share
        return 2 * ((1 - share) * waveform + share * gain), (waveform, gain, state)


def new_model(config: TrainConfig, source: Source) -> Opto:
    """The network at the start of a run: fresh from the seed, or with the weights of `config.init`.

    Raises:
        RequestError: weights for other controls, another architecture or another sample rate.
    """
    if config.init is None:
        mx.random.seed(config.seed)
        hidden = KNOB_HIDDEN if source.training_settings >= MANY_SETTINGS else 0
        knobs = {"controls": len(source.panel.controls), "knob_hidden": hidden}
        model = build(config.arch, {**knobs, "sample_rate": source.sample_rate})
        model.prime(source.panel)
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


def _start_some(rest: State, starts: mx.array, state: State | None) -> State:
    """The state, at rest where `starts` (batch,) is true."""
    if state is None:
        return rest

    def choose(fresh: mx.array, carried: mx.array) -> mx.array:
        return mx.where(starts.reshape(-1, *[1] * (fresh.ndim - 1)), fresh, carried) if fresh.size else fresh

    chosen: State = tree_map(choose, rest, state)
    return chosen
