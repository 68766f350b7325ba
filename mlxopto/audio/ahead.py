"""Work that runs ahead of its consumer, on another thread."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from queue import Empty, Full, Queue
from typing import TypeVar

Item = TypeVar("Item")
_POLL_S = 0.1


def ahead(items: Iterable[Item], depth: int = 4) -> Iterator[Item]:
    """The items, in order, made on a thread of their own up to `depth` ahead.

    What their making raises is raised here. When the consumer leaves early, the making stops with it.
    """
    queue: Queue[tuple[Item | None, BaseException | None]] = Queue(depth)
    left = threading.Event()

    def put(item: Item | None, error: BaseException | None) -> None:
        while not left.is_set():
            try:
                queue.put((item, error), timeout=_POLL_S)
                return
            except Full:
                continue

    def make() -> None:
        try:
            for item in items:
                put(item, None)
                if left.is_set():
                    return
            put(None, StopIteration())
        except BaseException as error:
            put(None, error)

    thread = threading.Thread(target=make, name="mlxopto-ahead", daemon=True)
    thread.start()
    try:
        while True:
            item, error = queue.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item  # type: ignore[misc]  # an item that is None is one of theirs
    finally:
        left.set()
        try:
            while True:
                queue.get_nowait()
        except Empty:
            thread.join()
