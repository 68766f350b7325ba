"""A batch of sequences walked in step, chunk after chunk, for truncated back-propagation with carried state.

Each slot of the batch plays its own sequence; where one ends, the next begins and the slot's state starts from rest.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlxopto.data.takes import Source, Take


@dataclass(frozen=True)
class Chunk:
    """One step's data: x, y (batch, samples), controls (batch, knobs) from -1 to 1, power (batch,) of each whole target,
    starts (batch,) true where a sequence begins."""

    x: np.ndarray
    y: np.ndarray
    controls: np.ndarray
    power: np.ndarray
    starts: np.ndarray


class Stream:
    """Endless chunks from a source; `position` and `restore` make it resumable. Sequences are prepared on a thread ahead of need."""

    AHEAD = 4

    def __init__(self, source: Source, batch: int, chunk: int):
        self._source, self._chunk = source, chunk
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="mlxopto-stream")
        self._coming: deque[Future[Take]] = deque()
        self._next = 0  # index of the next sequence to begin
        self._slots: list[_Slot] = [_Slot(source, chunk) for _ in range(batch)]

    def close(self) -> None:
        """Lets the preparing thread go."""
        self._worker.shutdown(wait=True, cancel_futures=True)

    def next(self) -> Chunk:
        """The next chunk of every slot."""
        for slot in self._slots:
            if slot.ended:
                slot.begin(self._next, self._take())
        parts = [slot.advance() for slot in self._slots]
        return Chunk(*(np.stack(column) for column in zip(*parts, strict=True)))

    def position(self) -> dict[str, Any]:
        """Where the stream stands, as JSON."""
        return {"next": self._next, "slots": [[slot.index, slot.at] for slot in self._slots]}

    def restore(self, position: dict[str, Any]) -> None:
        """Goes to where `position` was taken."""
        for slot, (index, at) in zip(self._slots, position["slots"], strict=True):
            slot.begin(index, self._source.sequence(index), at)
        self._next = position["next"]
        self._coming.clear()

    def _take(self) -> Take:
        while len(self._coming) < self.AHEAD:
            self._coming.append(self._worker.submit(self._source.sequence, self._next + len(self._coming)))
        self._next += 1
        return self._coming.popleft().result()


class _Slot:
    def __init__(self, source: Source, chunk: int):
        self._panel, self._chunk = source.panel, chunk
        self.index, self.at, self.ended = -1, 0, True

    def begin(self, index: int, take: Take, at: int = 0) -> None:
        self.index, self.at, self._take = index, at, take
        self._controls = np.array(self._panel.normalise(take.setting), np.float32)
        self._power = np.float32(np.mean(np.square(take.y, dtype=np.float64)) + 1e-8)
        self._check_end()

    def advance(self) -> tuple[np.ndarray | np.generic, ...]:
        starts = np.bool_(self.at == 0)
        part = slice(self.at, self.at + self._chunk)
        x, y = self._take.x[part], self._take.y[part]
        if len(x) < self._chunk:  # a whole sequence shorter than a chunk
            x, y = (np.pad(a, (0, self._chunk - len(x))) for a in (x, y))
        self.at += self._chunk
        self._check_end()
        return x, y, self._controls, self._power, starts

    def _check_end(self) -> None:
        self.ended = self.at > 0 and self.at + self._chunk > len(self._take.x)
