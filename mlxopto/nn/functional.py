"""Dense products and gates as differentiable functions: native on the CPU in float32, MLX's own operations elsewhere.

The native forms exist because MLX's CPU back end is 10 to 40 times slower at exactly these (`mlxopto.native`).
"""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn
import numba
import numpy as np

from mlxopto import native
from mlxopto.native import FASTMATH, expm1, over_ranges, sigmoid, to_numpy


def dense(x: mx.array, weight: mx.array, bias: mx.array) -> mx.array:
    """x weight^T + bias. x: (..., in), weight: (out, in), bias: (out,)."""
    return _dense_native(x, weight, bias) if _native(x) else mx.addmm(bias, x, weight.T)


def softplus(x: mx.array) -> mx.array:
    """log(1 + exp(x)), any shape."""
    return _softplus_native(x) if _native(x) else nn.softplus(x)


def silu_gate(x: mx.array, gate: mx.array) -> mx.array:
    """x silu(gate), both of one shape: the gate after a selective scan."""
    return _silu_gate_native(x, gate) if _native(x) else x * nn.silu(gate)


def glu(x: mx.array) -> mx.array:
    """a sigmoid(b) for the halves a, b of the last axis (Dauphin et al. 2017)."""
    return _glu_native(x) if _native(x) else nn.glu(x)


def _native(x: mx.array) -> bool:
    return x.dtype == mx.float32 and mx.default_device() == mx.Device(mx.cpu)


@mx.custom_function
def _dense_native(x, weight, bias):  # type: ignore[no-untyped-def]
    mx.eval(x, weight, bias)
    x_, weight_, bias_ = map(to_numpy, (x, weight, bias))
    return mx.array((x_.reshape(-1, x_.shape[-1]) @ weight_.T + bias_).reshape(*x_.shape[:-1], -1))


@_dense_native.vjp
def _dense_vjp(primals, grad, _output):  # type: ignore[no-untyped-def]
    mx.eval(grad)
    x, weight, grad_ = map(to_numpy, (primals[0], primals[1], grad))
    rows, grad_rows = x.reshape(-1, x.shape[-1]), grad_.reshape(-1, grad_.shape[-1])
    grad_bias = np.ones(len(grad_rows), np.float32) @ grad_rows
    return mx.array((grad_rows @ weight).reshape(x.shape)), mx.array(grad_rows.T @ rows), mx.array(grad_bias)


@numba.njit(nogil=True, cache=True, fastmath=FASTMATH, error_model="numpy")
def _softplus_forward(x, y, start, end):  # type: ignore[no-untyped-def]
    for i in range(start, end):
        y[i] = native.softplus(x[i])


@numba.njit(nogil=True, cache=True, fastmath=FASTMATH, error_model="numpy")
def _softplus_backward(y, grad, out, start, end):  # type: ignore[no-untyped-def]
    for i in range(start, end):
        out[i] = -expm1(-y[i]) * grad[i]  # sigmoid(x) = 1 - exp(-softplus(x))


@numba.njit(nogil=True, cache=True, fastmath=FASTMATH, error_model="numpy")
def _silu_gate_forward(x, gate, y, start, end):  # type: ignore[no-untyped-def]
    for i in range(start, end):
        y[i] = x[i] * gate[i] * sigmoid(gate[i])


@numba.njit(nogil=True, cache=True, fastmath=FASTMATH, error_model="numpy")
def _silu_gate_backward(x, gate, grad, grad_x, grad_gate, start, end):  # type: ignore[no-untyped-def]
    for i in range(start, end):
        s = sigmoid(gate[i])
        silu = gate[i] * s
        grad_x[i] = grad[i] * silu
        grad_gate[i] = grad[i] * x[i] * (s + silu * (np.float32(1.0) - s))


@numba.njit(nogil=True, cache=True, fastmath=FASTMATH, error_model="numpy")
def _glu_forward(x, y, start, end):  # type: ignore[no-untyped-def]
    half = y.shape[1]
    for row in range(start, end):
        for i in range(half):
            y[row, i] = x[row, i] * sigmoid(x[row, half + i])


@numba.njit(nogil=True, cache=True, fastmath=FASTMATH, error_model="numpy")
def _glu_backward(x, grad, out, start, end):  # type: ignore[no-untyped-def]
    half = grad.shape[1]
    for row in range(start, end):
        for i in range(half):
            s = sigmoid(x[row, half + i])
            out[row, i] = grad[row, i] * s
            out[row, half + i] = grad[row, i] * x[row, i] * s * (np.float32(1.0) - s)


@mx.custom_function
def _softplus_native(x):  # type: ignore[no-untyped-def]
    mx.eval(x)
    x_ = to_numpy(x)
    y = np.empty_like(x_)
    over_ranges(x_.size, _softplus_forward, x_.reshape(-1), y.reshape(-1))
    return mx.array(y)


@_softplus_native.vjp
def _softplus_vjp(_primals, grad, output):  # type: ignore[no-untyped-def]
    mx.eval(grad, output)
    y, grad_ = map(to_numpy, (output, grad))
    out = np.empty_like(y)
    over_ranges(y.size, _softplus_backward, y.reshape(-1), grad_.reshape(-1), out.reshape(-1))
    return mx.array(out)


@mx.custom_function
def _silu_gate_native(x, gate):  # type: ignore[no-untyped-def]
    mx.eval(x, gate)
    x_, gate_ = map(to_numpy, (x, gate))
    y = np.empty_like(x_)
    over_ranges(x_.size, _silu_gate_forward, x_.reshape(-1), gate_.reshape(-1), y.reshape(-1))
    return mx.array(y)


@_silu_gate_native.vjp
def _silu_gate_vjp(primals, grad, _output):  # type: ignore[no-untyped-def]
    mx.eval(grad)
    x, gate, grad_ = map(to_numpy, (*primals, grad))
    grad_x, grad_gate = np.empty_like(x), np.empty_like(x)
    flat = (a.reshape(-1) for a in (x, gate, grad_, grad_x, grad_gate))
    over_ranges(x.size, _silu_gate_backward, *flat)
    return mx.array(grad_x), mx.array(grad_gate)


@mx.custom_function
def _glu_native(x):  # type: ignore[no-untyped-def]
    mx.eval(x)
    x_ = to_numpy(x)
    y = np.empty((*x_.shape[:-1], x_.shape[-1] // 2), np.float32)
    rows = y.size // y.shape[-1]
    over_ranges(rows, _glu_forward, x_.reshape(rows, -1), y.reshape(rows, -1))
    return mx.array(y)


@_glu_native.vjp
def _glu_vjp(primals, grad, _output):  # type: ignore[no-untyped-def]
    mx.eval(grad)
    (x,) = (primals,) if isinstance(primals, mx.array) else primals
    x_, grad_ = map(to_numpy, (x, grad))
    out = np.empty_like(x_)
    rows = grad_.size // grad_.shape[-1]
    over_ranges(rows, _glu_backward, x_.reshape(rows, -1), grad_.reshape(rows, -1), out.reshape(rows, -1))
    return mx.array(out)
