"""Dense products and gates as differentiable functions: native on the CPU in float32, MLX's own operations elsewhere.

The native forms exist because MLX's CPU back end is 10 to 40 times slower at exactly these (`mlxopto.native`).
"""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from mlxopto.native import arithmetic
from mlxopto.native.arithmetic import exp, expm1, sigmoid
from mlxopto.native.compiler import inner, kernel
from mlxopto.native.threads import over_ranges, to_numpy
from mlxopto.native.vector import fma, magnitude


def dense(x: mx.array, weight: mx.array, bias: mx.array) -> mx.array:
    """x weight^T + bias. x: (..., in), weight: (out, in), bias: (out,)."""
    return _dense_native(x, weight, bias) if runs_native(x) else mx.addmm(bias, x, weight.T)


def softplus(x: mx.array) -> mx.array:
    """log(1 + exp(x)), any shape."""
    return _softplus_native(x) if runs_native(x) else nn.softplus(x)


def silu_gate(x: mx.array, gate: mx.array) -> mx.array:
    """x silu(gate), both of one shape: the gate after a selective scan."""
    return _silu_gate_native(x, gate) if runs_native(x) else x * nn.silu(gate)


def silu(x: mx.array) -> mx.array:
    """x sigmoid(x), any shape."""
    return _silu_native(x) if runs_native(x) else nn.silu(x)


def gelu(x: mx.array) -> mx.array:
    """x times the normal distribution's share below x, any shape."""
    return _gelu_native(x) if runs_native(x) else nn.gelu(x)


def glu(x: mx.array) -> mx.array:
    """a sigmoid(b) for the halves a, b of the last axis (Dauphin et al. 2017)."""
    return _glu_native(x) if runs_native(x) else nn.glu(x)


def runs_native(x: mx.array) -> bool:
    return x.dtype == mx.float32 and mx.default_device() == mx.Device(mx.cpu)


_PARTS = 8  # of the rows, each with its own partial weight gradient, so that sums do not depend on the number of cores


@kernel
def _product(x, weight_T, bias, y, start, end):
    """y = x weight_T + bias for rows start to end, four rows at a time."""
    inputs, outputs = weight_T.shape
    sums = np.empty((4, outputs), np.float32)
    for row in range(start, end, 4):
        rows = min(4, end - row)
        if rows == 4:
            for o in range(outputs):
                sums[0, o] = sums[1, o] = sums[2, o] = sums[3, o] = bias[o]
            for i in range(inputs):
                x0, x1, x2, x3 = x[row, i], x[row + 1, i], x[row + 2, i], x[row + 3, i]
                for o in range(outputs):
                    w = weight_T[i, o]
                    sums[0, o] = fma(x0, w, sums[0, o])
                    sums[1, o] = fma(x1, w, sums[1, o])
                    sums[2, o] = fma(x2, w, sums[2, o])
                    sums[3, o] = fma(x3, w, sums[3, o])
            for r in range(4):
                for o in range(outputs):
                    y[row + r, o] = sums[r, o]
        else:
            for r in range(row, end):
                for o in range(outputs):
                    y[r, o] = bias[o]
                for i in range(inputs):
                    for o in range(outputs):
                        y[r, o] += x[r, i] * weight_T[i, o]


@kernel
def _weight_gradient(x, grad, grad_weight, grad_bias, start, end):
    """Partial sums of grad^T x and of grad over the rows of parts start to end."""
    parts, outputs, inputs = grad_weight.shape
    for part in range(start, end):
        row, last = len(x) * part // parts, len(x) * (part + 1) // parts
        while row < last:
            if row + 4 <= last:
                for o in range(outputs):
                    g0, g1, g2, g3 = grad[row, o], grad[row + 1, o], grad[row + 2, o], grad[row + 3, o]
                    grad_bias[part, o] += g0 + g1 + g2 + g3
                    for i in range(inputs):
                        low = fma(g0, x[row, i], g1 * x[row + 1, i])
                        grad_weight[part, o, i] += fma(g2, x[row + 2, i], fma(g3, x[row + 3, i], low))
                row += 4
            else:
                for o in range(outputs):
                    grad_bias[part, o] += grad[row, o]
                    for i in range(inputs):
                        grad_weight[part, o, i] += grad[row, o] * x[row, i]
                row += 1


@mx.custom_function
def _dense_native(x, weight, bias):
    mx.eval(x, weight, bias)
    x_, weight_, bias_ = map(to_numpy, (x, weight, bias))
    rows = x_.reshape(-1, x_.shape[-1])
    y = np.empty((len(rows), bias_.size), np.float32)
    over_ranges(len(rows), _product, rows, np.ascontiguousarray(weight_.T), bias_, y)
    return mx.array(y.reshape(*x_.shape[:-1], -1))


@_dense_native.vjp
def _dense_vjp(primals, grad, _output):
    mx.eval(grad)
    x, weight, grad_ = map(to_numpy, (primals[0], primals[1], grad))
    rows, grad_rows = x.reshape(-1, x.shape[-1]), grad_.reshape(-1, grad_.shape[-1])
    grad_x = np.empty_like(rows)
    over_ranges(len(rows), _product, grad_rows, weight, np.zeros(x.shape[-1], np.float32), grad_x)
    grad_weight = np.zeros((_PARTS, *weight.shape), np.float32)
    grad_bias = np.zeros((_PARTS, len(weight)), np.float32)
    over_ranges(_PARTS, _weight_gradient, rows, grad_rows, grad_weight, grad_bias)
    return mx.array(grad_x.reshape(x.shape)), mx.array(grad_weight.sum(0)), mx.array(grad_bias.sum(0))


@kernel
def _softplus_forward(x, y, start, end):
    for i in range(start, end):
        y[i] = arithmetic.softplus(x[i])


@kernel
def _softplus_backward(y, grad, out, start, end):
    for i in range(start, end):
        out[i] = -expm1(-y[i]) * grad[i]  # sigmoid(x) = 1 - exp(-softplus(x))


@kernel
def _silu_forward(x, y, start, end):
    for i in range(start, end):
        y[i] = x[i] * sigmoid(x[i])


@kernel
def _silu_backward(x, grad, out, start, end):
    for i in range(start, end):
        s = sigmoid(x[i])
        out[i] = grad[i] * s * (np.float32(1.0) + x[i] * (np.float32(1.0) - s))


@inner
def _normal(x):
    """(the normal distribution's share below x, its density at x), wrong by 1e-7 (Abramowitz and Stegun 1964, 7.1.26)."""
    e = exp(np.float32(-0.5) * x * x)
    t = np.float32(1.0) / fma(magnitude(x), np.float32(0.3275911 * 0.7071067811865476), np.float32(1.0))
    p = fma(t, np.float32(0.5 * 1.061405429), np.float32(0.5 * -1.453152027))
    p = fma(t, p, np.float32(0.5 * 1.421413741))
    p = fma(t, p, np.float32(0.5 * -0.284496736))
    above = t * fma(t, p, np.float32(0.5 * 0.254829592)) * e
    return (np.float32(1.0) - above if x > np.float32(0.0) else above), np.float32(0.3989422804014327) * e


@kernel
def _gelu_forward(x, y, start, end):
    for i in range(start, end):
        y[i] = x[i] * _normal(x[i])[0]


@kernel
def _gelu_backward(x, grad, out, start, end):
    for i in range(start, end):
        share, density = _normal(x[i])
        out[i] = grad[i] * fma(x[i], density, share)


@kernel
def _silu_gate_forward(x, gate, y, start, end):
    for i in range(start, end):
        y[i] = x[i] * gate[i] * sigmoid(gate[i])


@kernel
def _silu_gate_backward(x, gate, grad, grad_x, grad_gate, start, end):
    for i in range(start, end):
        s = sigmoid(gate[i])
        silu = gate[i] * s
        grad_x[i] = grad[i] * silu
        grad_gate[i] = grad[i] * x[i] * (s + silu * (np.float32(1.0) - s))


@kernel
def _glu_forward(x, y, start, end):
    half = y.shape[1]
    for row in range(start, end):
        for i in range(half):
            y[row, i] = x[row, i] * sigmoid(x[row, half + i])


@kernel
def _glu_backward(x, grad, out, start, end):
    half = grad.shape[1]
    for row in range(start, end):
        for i in range(half):
            s = sigmoid(x[row, half + i])
            out[row, i] = grad[row, i] * s
            out[row, half + i] = grad[row, i] * x[row, i] * s * (np.float32(1.0) - s)


def _elementwise(function, *arrays):
    """An array of their shape, filled by a kernel of theirs."""
    mx.eval(*arrays)
    flat = [to_numpy(array).reshape(-1) for array in arrays]
    out = np.empty_like(flat[0])
    over_ranges(out.size, function, *flat, out)
    return mx.array(out.reshape(arrays[0].shape))


def _only(primals):
    return primals if isinstance(primals, mx.array) else primals[0]


@mx.custom_function
def _softplus_native(x):
    return _elementwise(_softplus_forward, x)


@_softplus_native.vjp
def _softplus_vjp(_primals, grad, output):
    return _elementwise(_softplus_backward, output, grad)


@mx.custom_function
def _silu_native(x):
    return _elementwise(_silu_forward, x)


@_silu_native.vjp
def _silu_vjp(primals, grad, _output):
    return _elementwise(_silu_backward, _only(primals), grad)


@mx.custom_function
def _gelu_native(x):
    return _elementwise(_gelu_forward, x)


@_gelu_native.vjp
def _gelu_vjp(primals, grad, _output):
    return _elementwise(_gelu_backward, _only(primals), grad)


@mx.custom_function
def _silu_gate_native(x, gate):
    return _elementwise(_silu_gate_forward, x, gate)


@_silu_gate_native.vjp
def _silu_gate_vjp(primals, grad, _output):
    mx.eval(grad)
    x, gate, grad_ = map(to_numpy, (*primals, grad))
    grad_x, grad_gate = np.empty_like(x), np.empty_like(x)
    flat = (a.reshape(-1) for a in (x, gate, grad_, grad_x, grad_gate))
    over_ranges(x.size, _silu_gate_backward, *flat)
    return mx.array(grad_x), mx.array(grad_gate)


@mx.custom_function
def _glu_native(x):
    mx.eval(x)
    x_ = to_numpy(x)
    y = np.empty((*x_.shape[:-1], x_.shape[-1] // 2), np.float32)
    rows = y.size // y.shape[-1]
    over_ranges(rows, _glu_forward, x_.reshape(rows, -1), y.reshape(rows, -1))
    return mx.array(y)


@_glu_native.vjp
def _glu_vjp(primals, grad, _output):
    mx.eval(grad)
    x_, grad_ = map(to_numpy, (_only(primals), grad))
    out = np.empty_like(x_)
    rows = grad_.size // grad_.shape[-1]
    over_ranges(rows, _glu_backward, x_.reshape(rows, -1), grad_.reshape(rows, -1), out.reshape(rows, -1))
    return mx.array(out)
