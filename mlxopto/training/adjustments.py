"""What calibration may move of a trained opto, and how far units of a kind differ in it.

Everything is a number with a width, about as far as units, panels and recording levels differ. A move of one width is
charged as the logarithm of 2, a far one little more than a near one (Cauchy's distribution): few things of a unit are far from
what was learnt, and those may be.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten, tree_unflatten

from mlxopto.models import Opto
from mlxopto.nn.side_chain import REACH

KNOBS = 0.2  # half travels by which a knob may be mounted elsewhere, or its marks mean something else


@dataclass(frozen=True)
class _Part:
    """A parameter: the width by which all of its numbers move together, and by which each moves by itself; 0 for not at all.

    Widths times `unit` are in units in which the parameter is kept.
    """

    path: str
    together: float
    each: float = 0.0
    unit: float = 1.0


def _logarithm(path: str, together: float, each: float = 0.0) -> _Part:
    return _Part(path, together, each, 1 / REACH)


MAKEUP = _logarithm("side_chain.makeup.start", 10.0)  # widths in nepers or e-folds
THRESHOLD = _logarithm("side_chain.threshold.start", 1.5, 0.3)  # nobody knows at which level a recording was made
RATIO = _logarithm("side_chain.ratio.start", 0.15, 0.1)
FIR = _Part("colour.fir", 0.0, 0.05)
FIRST = (MAKEUP, THRESHOLD, RATIO)  # moved together, before anything else
LEVELS = (MAKEUP, THRESHOLD, FIR)  # all that a recording tells which hardly compresses
PARTS = (
    *FIRST,
    _logarithm("side_chain.knee.start", 0.3),
    _logarithm("side_chain.range.start", 0.5, 0.3),
    _logarithm("side_chain.average.start", 0.3),
    _logarithm("side_chain.attack.start", 1.0, 0.3),
    _logarithm("side_chain.release.start", 2.0, 0.3),
    _logarithm("side_chain.reduction_attack.start", 1.0, 0.3),
    _logarithm("side_chain.reduction_release.start", 2.0, 0.3),
    _logarithm("side_chain.rise.start", 0.5),
    _logarithm("side_chain.fall.start", 0.5),
    _Part("side_chain.mix.start", 0.0, 0.3),
    _Part("side_chain.share", 0.0, 0.2),
    _logarithm("cell.emptying", 0.3, 0.2),
    _logarithm("cell.filling", 0.3, 0.2),
    _logarithm("cell.weight", 0.3, 0.2),
    _logarithm("cell.power", 0.2),
    _logarithm("cell.loop", 0.3),
    _Part("colour.harmonics", 0.0, 0.3),
    _Part("colour.pole_mix", 0.0, 0.1),
    FIR,
)


class Adjustments:
    """Moves of a model as one vector (moves,), each in its width.

    Args:
        turnable: (knobs,), which knobs can be moved.
    Attributes:
        first: which of the moves are made before the others. levels: which a recording tells that hardly compresses.
    """

    def __init__(self, model: Opto, turnable: np.ndarray):
        self._model = model
        kept = dict(tree_flatten(model.parameters()))
        self._base = {part.path: np.array(kept[part.path], np.float64) for part in PARTS}
        self._turnable, self._controls = np.flatnonzero(turnable), len(turnable)
        self._columns = [column for part in PARTS for column in _columns(part, self._base[part.path].size)]
        self.size = len(self._turnable) + len(self._columns)
        turned = [True] * len(self._turnable)
        self.first = np.flatnonzero([*turned, *(part in FIRST and together for part, together, _ in self._columns)])
        self.levels = np.flatnonzero(
            [*turned, *(part in LEVELS and (together or part is FIR) for part, together, _ in self._columns)]
        )

    def charge(self, moves: np.ndarray) -> float:
        """What the moves cost."""
        return float(np.log1p(np.square(moves)).sum())

    def charge_weights(self, moves: np.ndarray) -> np.ndarray:
        """Those of squares of moves that have the charge's slope, (moves,)."""
        weights: np.ndarray = 1 / (1 + np.square(moves))
        return weights

    def knobs(self, moves: np.ndarray) -> np.ndarray:
        """How far the knobs are turned, (controls,), half travels."""
        turned = np.zeros(self._controls)
        turned[self._turnable] = KNOBS * moves[: len(self._turnable)]
        return turned

    def moves(self, knobs: np.ndarray, log_gain: float) -> np.ndarray:
        """The vector that turns the knobs so far, (controls,), and raises the output by a log gain."""
        found = np.zeros(self.size)
        found[: len(self._turnable)] = knobs[self._turnable] / KNOBS
        makeup = next(place for place, (part, *_) in enumerate(self._columns) if part is MAKEUP)
        found[len(self._turnable) + makeup] = log_gain / MAKEUP.together
        return found

    def apply(self, moves: np.ndarray) -> None:
        """Gives the model these moves; turned knobs are not among them."""
        arrays = {path: base.copy() for path, base in self._base.items()}
        for move, (part, together, places) in zip(moves[len(self._turnable) :], self._columns, strict=True):
            if move:
                arrays[part.path].reshape(-1)[places] += move * part.unit * (part.together if together else part.each)
        self._model.update(tree_unflatten([(path, mx.array(array.astype(np.float32))) for path, array in arrays.items()]))

    def settle(self, moves: np.ndarray) -> None:
        """Leaves the model as moved, its knobs turned too."""
        self.apply(moves)
        self._model.turn(mx.array(self.knobs(moves).astype(np.float32)))
        mx.eval(self._model.parameters())


def _columns(part: _Part, size: int) -> Iterator[tuple[_Part, bool, Any]]:
    """Part, whether all of it moves, and where: a move each."""
    if part.together:
        yield part, True, slice(None)
    if part.each and size > 1:
        for place in range(size):
            yield part, False, place
