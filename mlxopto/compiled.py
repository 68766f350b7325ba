"""How native code is compiled, and where it is kept so that only the first start waits for it.

numba notices that the file of a kernel has changed, but not that what the kernel calls has. A kernel compiled with an older layout of its
arrays would then be used. So the cache has a folder for each version of all native code: `~/.cache/mlxopto` (on macOS
`~/Library/Caches/mlxopto`), or wherever NUMBA_CACHE_DIR says.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numba

# native code, and what it takes constants from
_SOURCES = (
    "vector.py",
    "native.py",
    "loudness.py",
    "scan/cpu",
    "nn",
    "models",
    "devices",
    "engine",
    "live/callback.py",
    "live/lockfree.py",
    "live/stream.py",
    "live/transfer.py",
)
_KEPT_S = 14 * 86400.0  # versions not made for so long are removed when a new one is


def kernel(function: Callable[..., Any]) -> Any:
    """Compiles a function that Python calls: without the interpreter lock, cached.

    No fast-math: LLVM compiles a loop twice, with vectors and without, and chooses by where the arrays happen to lie in memory. Only
    strict arithmetic gives the same bits on both ways, and so from one process to the next.
    """
    with _our_cache():
        return numba.njit(nogil=True, cache=True, error_model="numpy")(function)


def inner(function: Callable[..., Any]) -> Any:
    """Compiles a function that only kernels call, as a part of them."""
    return numba.njit(error_model="numpy")(function)


def native_callback(signature: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compiles a function that C calls; its `address` is what C needs."""

    def decorate(function: Callable[..., Any]) -> Any:
        with _our_cache():
            return numba.cfunc(signature, nopython=True, cache=True, error_model="numpy")(function)

    return decorate


@contextmanager
def _our_cache() -> Iterator[None]:
    chosen = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = chosen or _folder()
    try:
        yield
    finally:
        numba.config.CACHE_DIR = chosen


@cache
def _folder() -> str:
    """The cache of this version of the native code."""
    home = "~/Library/Caches" if sys.platform == "darwin" else os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    versions = Path(home).expanduser() / "mlxopto"
    places = [Path(__file__).parent / source for source in _SOURCES]
    files = sorted(path for place in places for path in ([place] if place.suffix else place.rglob("*.py")))
    folder = versions / hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]
    if not folder.exists() and versions.is_dir():
        for old in versions.iterdir():
            if time.time() - old.stat().st_mtime > _KEPT_S:
                shutil.rmtree(old, ignore_errors=True)
    return str(folder)
