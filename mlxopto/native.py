"""What the native CPU kernels share: vectorisable exponentials, worker threads, and the bridge between MLX and numpy.

MLX's own CPU back end spends 10 to 40 ns an element on exponentials and multiplies matrices with a reference BLAS; a numba
loop around the polynomial below spends about 0.5 ns. A threaded BLAS would do for the products, but its spinning threads cost
ten times the speed as soon as another process wants the cores (measured: 57 to 6 times real time in training).
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
import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

# How kernels are compiled. No fast-math: LLVM compiles a loop twice, with vectors and without, and chooses by where the arrays happen
# to lie in memory. Only strict arithmetic gives the same bits on both ways, and so from one process to the next.
KERNEL = {"nogil": True, "cache": True, "error_model": "numpy"}

_LOG2E = np.float32(1.4426950408889634)
_LN2_HIGH = np.float32(0.693145751953125)
_LN2_LOW = np.float32(1.42860682030941723212e-6)
_ONE = np.float32(1.0)


@intrinsic
def _float_from_bits(_context, bits):
    def codegen(_context, builder, _signature, arguments):
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), codegen


@intrinsic
def fma(_context, a, _b, _c):
    """a b + c, rounded once."""

    def codegen(_context, builder, _signature, arguments):
        return builder.fma(*arguments)

    return types.float32(types.float32, types.float32, types.float32), codegen


@numba.njit(inline="always")
def _reduce_exp(x: np.float32) -> tuple[np.float32, np.float32]:
    """(2^k, exp(r) - 1) with x = k ln 2 + r: Cody-Waite reduction and the Cephes polynomial, without branches or calls."""
    x = min(max(x, np.float32(-87.0)), np.float32(88.0))
    k = np.floor(x * _LOG2E + np.float32(0.5))
    r = (x - k * _LN2_HIGH) - k * _LN2_LOW
    q = np.float32(1.9875691500e-4)
    q = q * r + np.float32(1.3981999507e-3)
    q = q * r + np.float32(8.3334519073e-3)
    q = q * r + np.float32(4.1665795894e-2)
    q = q * r + np.float32(1.6666665459e-1)
    q = q * r + np.float32(5.0000001201e-1)
    return _float_from_bits((np.int32(k) + np.int32(127)) << np.int32(23)), q * r * r + r


@numba.njit(inline="always")
def exp(x: np.float32) -> np.float32:
    """exp(x) in float32 within 2 units in the last place for x in [-87, 88], clamped outside."""
    power, q = _reduce_exp(x)
    return power * q + power


@numba.njit(inline="always")
def expm1(x: np.float32) -> np.float32:
    """exp(x) - 1 in float32 within 2 units in the last place for x in [-87, 88], clamped outside."""
    power, q = _reduce_exp(x)
    return power * q + (power - _ONE)


@numba.njit(inline="always")
def softplus(x: np.float32) -> np.float32:
    """log(1 + exp(x)) in float32: max(x, 0) + 2 artanh(e / (2 + e)) with e = exp(-|x|), by seven terms of the series."""
    e = exp(-abs(x))
    s = e / (np.float32(2.0) + e)
    s2 = s * s
    p = np.float32(1 / 13)
    p = p * s2 + np.float32(1 / 11)
    p = p * s2 + np.float32(1 / 9)
    p = p * s2 + np.float32(1 / 7)
    p = p * s2 + np.float32(1 / 5)
    p = p * s2 + np.float32(1 / 3)
    p = p * s2 + _ONE
    return max(x, np.float32(0.0)) + np.float32(2.0) * s * p


@numba.njit(inline="always")
def sigmoid(x: np.float32) -> np.float32:
    """Logistic function in float32."""
    return _ONE / (np.float32(2.0) + expm1(-x))


@numba.njit(inline="always")
def tanh(x: np.float32) -> np.float32:
    """Hyperbolic tangent in float32, accurate near zero."""
    x = min(max(x, np.float32(-20.0)), np.float32(20.0))
    e = expm1(np.float32(2.0) * x)
    return e / (e + np.float32(2.0))


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
