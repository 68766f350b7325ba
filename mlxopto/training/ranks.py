"""Several processes that train one model, or share out a study: what `mlx.launch` starts, one of them by itself otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_map


@dataclass(frozen=True)
class Ranks:
    """This process among `size`; every rank must call the same methods in the same order."""

    rank: int = 0
    size: int = 1
    _group: Any = None

    @staticmethod
    def launched() -> Ranks:
        """Those that mlx.launch started together with this one."""
        group = mx.distributed.init()
        return Ranks(group.rank(), group.size(), group) if group.size() > 1 else ALONE

    @property
    def first(self) -> bool:
        """Whether this one writes files and speaks."""
        return self.rank == 0

    def mean(self, tree: Any) -> Any:
        """The mean over the ranks of every array."""
        return tree if self.size == 1 else nn.average_gradients(tree, self._group)

    def agreed(self, value: float) -> float:
        """The first rank's value, for all; waits for the others."""
        if self.size == 1:
            return value
        mine = mx.array(value if self.first else 0.0)
        return float(np.array(mx.distributed.all_sum(mine, group=self._group)))

    def barrier(self) -> None:
        """Waits for the others."""
        self.agreed(0)

    def gathered(self, tree: Any) -> Any:
        """Every rank's arrays one after the other along their first axis."""
        if self.size == 1:
            return tree
        found = tree_map(lambda a: mx.distributed.all_gather(a, group=self._group) if a.size else a, tree)
        mx.eval(found)  # by every rank, also by those that do not look at it
        return found

    def share(self, tree: Any) -> Any:
        """This rank's part of what `gathered` gave."""
        if self.size == 1:
            return tree

        def part(array: mx.array) -> mx.array:
            rows = len(array) // self.size
            return array[self.rank * rows : (self.rank + 1) * rows]

        return tree_map(part, tree)


ALONE = Ranks()
