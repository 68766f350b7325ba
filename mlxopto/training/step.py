"""What a training step is, however it is computed: its loss and its figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import mlx.core as mx
from mlx.utils import tree_flatten, tree_map, tree_unflatten

from mlxopto.models import Network, State
from mlxopto.training.chunks import Chunk
from mlxopto.training.config import TrainConfig
from mlxopto.training.loss import gain_loss, waveform_loss

DEVICES = {"cpu": mx.cpu, "gpu": mx.gpu}  # by engine


@dataclass(frozen=True)
class StepResult:
    """One step's mean losses and gradient norm before clipping, numbers or scalars that MLX has yet to compute."""

    loss: float | mx.array
    waveform: float | mx.array
    gain: float | mx.array
    gradient_norm: float | mx.array
    learning_rate: float


class Step(Protocol):
    """Changes a model and its optimizer by a chunk of data, and carries the network's state from chunk to chunk.

    A step whose gradient is not finite changes nothing but the state, which then starts from rest.
    """

    def __call__(self, chunk: Chunk, learning_rate: float) -> StepResult:
        """One step."""

    @property
    def not_finite(self) -> int:
        """How many steps in a row had a gradient that was not finite; waits for what is under way."""

    def states(self) -> list[Any]:
        """The carried state, for a checkpoint."""

    def restore(self, states: list[Any], not_finite: int) -> None:
        """Takes what a checkpoint kept; arrays without elements are not in it."""

    def close(self) -> None:
        """Ends what runs beside."""


def objective(
    model: Network, config: TrainConfig, chunk: Chunk, state: State | None
) -> tuple[mx.array, tuple[mx.array, mx.array, State]]:
    """The loss, and its waveform and gain terms and the state after the chunk.

    Args:
        chunk: of MLX's arrays. state: None before the first chunk.
    """
    if chunk.starts is not None:
        state = start_some(model.initial_state(chunk.controls), chunk.starts, state)
    estimate, state = model(chunk.x, chunk.controls, state)
    waveform, gain = waveform_loss(estimate, chunk.y, chunk.power).mean(), gain_loss(chunk.x, estimate, chunk.y).mean()
    loss = 2 * ((1 - config.gain_share) * waveform + config.gain_share * gain)
    return loss + model.penalty(), (waveform, gain, state)


def completed(rest: State, kept: Any) -> State:
    """A state from a checkpoint, which leaves out arrays without elements: those are taken from the state of rest.

    Evaluated.
    """
    arrays = {**dict(tree_flatten(rest)), **dict(tree_flatten(kept))}
    state: State = tree_unflatten(list(arrays.items()))
    mx.eval(state)
    return state


def start_some(rest: State, starts: mx.array, state: State | None) -> State:
    """The state, at rest where `starts` (batch,) is true."""
    if state is None:
        return rest

    def choose(fresh: mx.array, carried: mx.array) -> mx.array:
        return mx.where(starts.reshape(-1, *[1] * (fresh.ndim - 1)), fresh, carried) if fresh.size else fresh

    chosen: State = tree_map(choose, rest, state)
    return chosen
