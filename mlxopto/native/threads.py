"""Kernels over the arrays of MLX, on worker threads of our own.

A threaded BLAS would do for the products, but its spinning threads cost ten times the speed as soon as another process wants
the cores (measured: 57 to 6 times real time in training).
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache

import mlx.core as mx
import numpy as np


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=max(1, (os.cpu_count() or 1) - 1), thread_name_prefix="mlxopto")


_thread = threading.local()


@contextmanager
def cores_shared_by(threads: int) -> Iterator[None]:
    """Inside, `over_ranges` on this thread takes its part of the cores only."""
    _thread.sharing = threads
    try:
        yield
    finally:
        _thread.sharing = 1


def over_ranges(count: int, kernel: Callable[..., None], *arguments: object) -> None:
    """Calls kernel(*arguments, start, stop) for ranges that cover 0..count, one a core, in parallel.

    The kernel releases the interpreter lock and writes disjoint parts of its output arrays, so that the result does not
    depend on the number of cores.
    """
    workers = min(count, (os.cpu_count() or 1) // getattr(_thread, "sharing", 1))
    if workers <= 1:
        kernel(*arguments, 0, count)
        return
    edges = [count * i // workers for i in range(workers + 1)]
    others = [_pool().submit(kernel, *arguments, a, b) for a, b in itertools.pairwise(edges[1:])]
    kernel(*arguments, edges[0], edges[1])
    for other in others:
        other.result()


def to_numpy(array: mx.array) -> np.ndarray:
    """The evaluated array as contiguous float32 numpy, without a copy where MLX's memory allows."""
    return np.ascontiguousarray(np.array(array, copy=False), dtype=np.float32)
