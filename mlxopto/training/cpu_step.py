"""The training step on the CPU: parts of the batch on threads of their own, because MLX's CPU operations use one core each."""

from __future__ import annotations

import copy
import itertools
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
from mlx.utils import tree_map

from mlxopto.models import Network, State
from mlxopto.native import threads
from mlxopto.training.chunks import Chunk
from mlxopto.training.config import TrainConfig
from mlxopto.training.ranks import ALONE, Ranks
from mlxopto.training.step import StepResult, completed, objective

SHARDS = 2


class CpuStep:
    """See `Step`. Gives numbers: every step is computed when it is asked for."""

    def __init__(
        self,
        config: TrainConfig,
        model: Network,
        optimizer: optim.Optimizer,
        ranks: Ranks = ALONE,
    ):
        self._ranks = ranks
        self._config, self._model, self._optimizer = config, model, optimizer
        edges = [config.batch * i // SHARDS for i in range(SHARDS + 1)]
        self._shards = [_Shard(config, copy.deepcopy(model), a, b) for a, b in itertools.pairwise(edges) if b > a]
        self._worker = ThreadPoolExecutor(len(self._shards), thread_name_prefix="mlxopto-shard")
        self.not_finite = 0

    def __call__(self, chunk: Chunk, learning_rate: float) -> StepResult:
        """One step."""
        parameters = self._model.trainable_parameters()
        mx.eval(parameters)  # lazy arrays cannot be evaluated on another thread
        parts = list(self._worker.map(lambda shard: shard.gradient(parameters, chunk), self._shards))
        losses = sum(part.share * mx.array([part.loss, part.waveform, part.gain]) for part in parts)
        gradient = tree_map(
            lambda *arrays: sum(p.share * a for p, a in zip(parts, arrays, strict=True)), *(p.tree for p in parts)
        )
        gradient, losses = self._ranks.mean((gradient, losses))
        loss, waveform, gain = losses.tolist()
        gradient, norm = optim.clip_grad_norm(gradient, self._config.clip_norm)
        mx.eval(norm, gradient)
        if math.isfinite(float(norm)) and math.isfinite(loss):
            self._optimizer.learning_rate = learning_rate
            self._optimizer.update(self._model, gradient)
            mx.eval(self._model.parameters(), self._optimizer.state)
            self.not_finite = 0
        else:
            for shard in self._shards:
                shard.state = None
            self.not_finite += 1
        return StepResult(loss, waveform, gain, float(norm), learning_rate)

    def states(self) -> list[Any]:
        """One a shard."""
        return [shard.state for shard in self._shards]

    def restore(self, states: list[Any], not_finite: int) -> None:
        """There are no states after a step whose gradient was not finite: then all start from rest."""
        self.not_finite = not_finite
        for shard, state in zip(self._shards, states, strict=False):
            shard.restore(state)

    def close(self) -> None:
        """Ends the threads."""
        self._worker.shutdown()


@dataclass(frozen=True)
class _Gradient:
    """One shard's mean losses and gradient; `share` of the batch."""

    share: float
    loss: float
    waveform: float
    gain: float
    tree: Any


class _Shard:
    """Some of the batch, differentiated on a thread of its own.

    The number of shards is fixed, so that sums, and with them the weights, do not depend on the number of cores.
    """

    def __init__(self, config: TrainConfig, model: Network, start: int, end: int):
        self.state: State | None = None
        self._config, self._rows, self._model = config, slice(start, end), model
        self._value_and_gradient = nn.value_and_grad(model, objective)

    def gradient(self, parameters: Any, chunk: Chunk) -> _Gradient:
        """Everything comes back evaluated: what one thread left lazy, another could not evaluate."""
        with mx.stream(mx.cpu), threads.cores_shared_by(SHARDS):
            self._model.update(parameters)
            rows = self._rows
            part = chunk.map(lambda array: mx.array(array[rows]))
            if not self.state:
                part = replace(part, starts=mx.ones_like(part.starts))
            elif not chunk.starts[rows].any():
                part = replace(part, starts=None)
            (loss, (waveform, gain, self.state)), tree = self._value_and_gradient(self._model, self._config, part, self.state)
            mx.eval(loss, waveform, gain, self.state, tree)
        share = (rows.stop - rows.start) / self._config.batch
        return _Gradient(share, float(loss), float(waveform), float(gain), tree)

    def restore(self, state: Any) -> None:
        """Takes a state from a checkpoint."""
        batch = self._rows.stop - self._rows.start
        self.state = completed(self._model.initial_state(mx.zeros((batch, self._model.config.controls))), state)
