"""The training step on the GPU: the whole batch in one compiled graph that the host queues and does not wait for."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
from mlx.utils import tree_map

from mlxopto.errors import RequestError
from mlxopto.models import Network, State
from mlxopto.scan import gpu
from mlxopto.training.chunks import Chunk
from mlxopto.training.config import TrainConfig
from mlxopto.training.ranks import ALONE, Ranks
from mlxopto.training.step import StepResult, completed, objective


class GpuStep:
    """See `Step`. Gives scalars that are still to be computed, so that the next chunk is prepared meanwhile."""

    def __init__(self, config: TrainConfig, model: Network, optimizer: optim.Optimizer, ranks: Ranks = ALONE):
        if unfit := gpu.unfit("selective_scan", config.batch, config.frames * model.frame, *model.scan_sizes):
            raise RequestError(f"{unfit}; take --engine cpu")
        self._config, self._model, self._optimizer, self._ranks = config, model, optimizer, ranks
        self._state = model.initial_state(mx.zeros((config.batch, model.config.controls)))
        self._not_finite = mx.array(0)
        self._value_and_gradient = nn.value_and_grad(model, objective)
        self._compile()

    def __call__(self, chunk: Chunk, learning_rate: float) -> StepResult:
        """One step."""
        self._optimizer.learning_rate = learning_rate
        arrays = vars(chunk.map(mx.array))
        self._state, self._not_finite, figures = self._compiled(arrays, self._state, self._not_finite)
        mx.async_eval(self._model.state, self._optimizer.state, self._state, self._not_finite, figures)  # type: ignore[no-untyped-call]
        loss, waveform, gain, norm = figures
        return StepResult(loss, waveform, gain, norm, learning_rate)

    @property
    def not_finite(self) -> int:
        """See `Step`."""
        return int(self._not_finite)

    def states(self) -> list[Any]:
        """One, of the whole batch."""
        return [self._state]

    def restore(self, states: list[Any], not_finite: int) -> None:
        """See `Step`."""
        self._state = completed(self._state, states[0])
        self._not_finite = mx.array(not_finite)
        self._compile()

    def close(self) -> None:
        """Nothing runs beside."""

    def _compile(self) -> None:
        """Takes hold of the dictionaries that the model and the optimizer have now."""
        learnt = [self._model.state, self._optimizer.state]
        self._compiled: Any = mx.compile(self._step, inputs=learnt, outputs=learnt)

    def _step(self, arrays: dict[str, mx.array], state: State, not_finite: mx.array) -> tuple[State, mx.array, list[mx.array]]:
        chunk = Chunk(**{**arrays, "starts": arrays["starts"] | (not_finite > 0)})
        (loss, (waveform, gain, state)), gradient = self._value_and_gradient(self._model, self._config, chunk, state)
        gradient, loss, waveform, gain = self._ranks.mean((gradient, loss, waveform, gain))
        gradient, norm = optim.clip_grad_norm(gradient, self._config.clip_norm)
        finite = mx.isfinite(norm) & mx.isfinite(loss)
        before = tree_map(lambda array: array, [self._model.trainable_parameters(), self._optimizer.state])
        self._optimizer.update(self._model, gradient)
        self._model.update(_choose(finite, self._model.trainable_parameters(), before[0]))
        _put(self._optimizer.state, _choose(finite, self._optimizer.state, before[1]))
        return state, mx.where(finite, 0, not_finite + 1), [loss, waveform, gain, norm]


def _choose(condition: mx.array, yes: Any, no: Any) -> Any:
    return tree_map(lambda a, b: mx.where(condition, a, b) if a.size else a, yes, no)


def _put(tree: dict[str, Any], values: dict[str, Any]) -> None:
    """Replaces the arrays of a tree where it stands, because the compiled step keeps hold of its dictionaries."""
    for name, value in values.items():
        if isinstance(value, dict):
            _put(tree[name], value)
        elif isinstance(value, list):
            for item, new in zip(tree[name], value, strict=True):
                _put(item, new)
        else:
            tree[name] = value
