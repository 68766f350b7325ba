"""A batch of sequences walked in step, chunk after chunk, for truncated back-propagation with carried state.

Each slot of the batch plays its own sequence; where one ends, the next begins and the slot's state starts from rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from mlxopto.data.takes import Source, Take
from mlxopto.training.loss import emphasised
from mlxopto.training.ranks import ALONE, Ranks


@dataclass(frozen=True)
class Chunk:
    """One step's data, as numpy's arrays or as MLX's.

    x, y: (batch, samples). controls: (batch, knobs), -1 to 1. power: (batch, 2), of each whole target, as it is and
    emphasised. starts: (batch,), true where a sequence begins; None where none does.
    """

    x: Any
    y: Any
    controls: Any
    power: Any
    starts: Any

    @staticmethod
    def stacked(rows: Sequence[Chunk]) -> Chunk:
        """Chunks without a batch side by side."""
        return Chunk(**{part.name: np.stack([getattr(row, part.name) for row in rows]) for part in fields(Chunk)})

    def map(self, change: Callable[[Any], Any]) -> Chunk:
        """Every array changed alike."""
        return Chunk(**{name: change(array) for name, array in vars(self).items()})


class ChunkStream:
    """Endless chunks from a source; `position` and `restore` make it resumable.

    Slot s of all slots, those of other ranks included, plays the sequences s, s + slots, s + 2 slots and so on, so that what a
    rank plays depends on no other. A slot's next sequence is prepared on a thread meanwhile.
    """

    def __init__(self, source: Source, batch: int, chunk: int, ranks: Ranks = ALONE):
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="mlxopto-stream")
        slots, first = ranks.size * batch, ranks.rank * batch
        self._slots = [_Slot(source, chunk, self._worker, first + place, slots) for place in range(batch)]

    def close(self) -> None:
        """Lets the preparing thread go."""
        self._worker.shutdown(wait=True, cancel_futures=True)

    def next(self) -> Chunk:
        """The next chunk of every slot."""
        return Chunk.stacked([slot.advance() for slot in self._slots])

    def position(self) -> list[list[int]]:
        """Where every slot stands: its sequence, and the sample in it."""
        return [[slot.index, slot.at] for slot in self._slots]

    def restore(self, position: list[list[int]]) -> None:
        """Goes to where `position` was taken."""
        for slot, (index, at) in zip(self._slots, position, strict=True):
            slot.go_to(index, at)


class _Slot:
    def __init__(self, source: Source, chunk: int, worker: ThreadPoolExecutor, first: int, stride: int):
        self._source, self._chunk, self._worker, self._stride = source, chunk, worker, stride
        self._panel = source.panel
        self._take: Take | None = None
        self.index, self.at = first, 0
        self._coming: Future[Take] = worker.submit(source.sequence, first)

    def go_to(self, index: int, at: int) -> None:
        self._coming.cancel()
        self.index, self.at, self._take = index, at, None
        self._coming = self._worker.submit(self._source.sequence, index)

    def advance(self) -> Chunk:
        take = self._take or self._begin()
        starts = np.bool_(self.at == 0)
        part = slice(self.at, self.at + self._chunk)
        x, y = take.x[part], take.y[part]
        if len(x) < self._chunk:  # a whole sequence shorter than a chunk
            x, y = (np.pad(a, (0, self._chunk - len(x))) for a in (x, y))
        self.at += self._chunk
        if self.at + self._chunk > len(take.x):
            self.index, self.at, self._take = self.index + self._stride, 0, None
        return Chunk(x, y, controls=self._controls, power=self._power, starts=starts)

    def _begin(self) -> Take:
        """Takes up the sequence that was being prepared, and has the next one prepared."""
        self._take = take = self._coming.result()
        self._coming = self._worker.submit(self._source.sequence, self.index + self._stride)
        self._controls = np.array(self._panel.normalise(take.setting), np.float32)
        powers = [np.mean(np.square(signal, dtype=np.float64)) for signal in (take.y, emphasised(take.y))]
        self._power = np.array(powers, np.float32) + np.float32(1e-8)
        return take
