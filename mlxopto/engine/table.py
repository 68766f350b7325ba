"""Ordered tables of the parts that an array has, one after the other.

A part is named once, in its table. Packing fills the parts in that order, kernels find them by their offsets, and a state is
put to rest by what its table says: nothing depends on a position that is written down somewhere else.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

import mlx.core as mx
import numpy as np

from mlxopto.engine.rate import Filters, Frames
from mlxopto.models import Opto
from mlxopto.native.vector import LANES

FRAMES = 16  # worked on at once, one a lane where a layer has few outputs

Affine = tuple[np.ndarray, np.ndarray]  # weights (n, conditions) and biases (n,): what the knobs set


@dataclass(frozen=True)
class Source:
    """What is packed: a network, and its frames and filters at the sample rate that it is to run at."""

    model: Opto
    frames: Frames
    filters: Filters

    @property
    def lanes(self) -> int:
        """The width rounded up to whole vectors."""
        return whole(self.model.config.width)

    @property
    def hidden_lanes(self) -> int:
        """Units of the knobs' hidden layer, likewise."""
        return whole(self.model.config.knob_hidden)

    @property
    def conditions(self) -> int:
        """What the modulations are linear in: knobs, then hidden units."""
        return self.model.config.controls + self.hidden_lanes


class Part(NamedTuple):
    """A part of the weights or of the modulations, and what it is made of."""

    name: str
    make: Callable[..., Any]


class Row(NamedTuple):
    """A part of the state: its size in numbers, given the plan, a vector unless it says so, and what it holds at rest: None for
    what stays as it is."""

    name: str
    size: Callable[[Any], int] = lambda _: LANES
    rest: float | None = 0.0


def made(parts: Iterable[Part], *of: Any) -> list[np.ndarray]:
    """All parts in order, flat."""
    return [np.asarray(part.make(*of), np.float64).ravel() for part in parts]


def offsets_type(name: str, table: Iterable[Any], module: str) -> Any:
    """The named tuple by whose fields kernels find the parts of a table, and where the last one ends."""
    return namedtuple(name, [*(row.name for row in table), "end"], module=module)


def offsets(sizes: Iterable[int]) -> list[int]:
    """Where parts of these sizes begin, and where the last one ends."""
    return list(accumulate(sizes, initial=0))


def stacked(affines: Sequence[Affine], conditions: int) -> Affine:
    """Several as one."""
    weights, biases = zip(*affines, strict=True) if affines else ((), ())
    return np.concatenate([np.zeros((0, conditions)), *weights]), np.concatenate([np.zeros(0), *biases])


def whole(count: int) -> int:
    """Rounded up to whole vectors."""
    return -(-count // LANES) * LANES


def padded(values: Any, size: int) -> np.ndarray:
    """(n,) to (size,), float64, zeros at the end."""
    array = np.zeros(size)
    array[: len(values)] = values
    return array


def padded_rows(weight: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """(m, n) to (rows, columns), zeros at the ends."""
    array = np.zeros((rows, columns))
    array[: weight.shape[0], : weight.shape[1]] = weight
    return array


def float64(parameter: mx.array) -> np.ndarray:
    """A parameter of a network for packing."""
    return np.array(parameter, dtype=np.float64)
