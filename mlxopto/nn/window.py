"""What the published network hears at every sample: a dense layer over the last samples, and one over their spectrum's
magnitudes.

`heard` is the samples before the first, then one for each output. Native on the CPU in float32, where the spectrum slides from
sample to sample instead of being computed anew.
"""

from __future__ import annotations

import math

import mlx.core as mx
import numpy as np

from mlxopto.native.compiler import kernel
from mlxopto.native.memory import load, store
from mlxopto.native.threads import over_ranges, to_numpy
from mlxopto.native.vector import LANES, fma, splat, sum_lanes
from mlxopto.nn import functional

WINDOW = 64  # samples
FFT = 255  # the window is filled up with zeros to this length
BINS = FFT // 2 + 1


def window_dense(heard: mx.array, weight: mx.array, bias: mx.array) -> mx.array:
    """A dense layer over the last samples, oldest first: a few FIR filters.

    Args:
        heard: (batch, width - 1 + time). weight: (out, width). bias: (out,).
    Returns:
        (batch, time, out).
    """
    return (
        _filter(heard, weight, bias)
        if functional.runs_native(heard)
        else functional.dense(_windows(heard, weight.shape[1]), weight, bias)
    )


def spectrum_dense(heard: mx.array, weight: mx.array, bias: mx.array) -> mx.array:
    """A dense layer over the magnitudes of the spectrum of the last WINDOW samples. Audio gets no gradient from here.

    Args:
        heard: (batch, WINDOW - 1 + time). weight: (2, BINS). bias: (2,).
    Returns:
        (batch, time, 2).
    """
    heard = mx.stop_gradient(heard)
    return _slide(heard, weight, bias) if functional.runs_native(heard) else functional.dense(magnitudes(heard), weight, bias)


def magnitudes(heard: mx.array) -> mx.array:
    """(batch, WINDOW - 1 + time) to (batch, time, BINS), neither windowed nor scaled: by definition."""
    real, imaginary = mx.split(_windows(heard, WINDOW) @ mx.array(_DFT.T, dtype=heard.dtype), 2, axis=-1)
    return mx.sqrt(mx.square(real) + mx.square(imaginary))


def _windows(heard: mx.array, width: int) -> mx.array:
    rows, samples = heard.shape
    return mx.as_strided(heard, (rows, samples - width + 1, width), (samples, 1, 1))


def _dft() -> np.ndarray:
    """(2 BINS, WINDOW): real and imaginary parts of the transform of a window filled up with zeros."""
    angles = 2 * math.pi / FFT * np.outer(np.arange(BINS), np.arange(WINDOW))
    return np.concatenate([np.cos(angles), -np.sin(angles)])


_DFT = _dft()
_TURN = np.exp(2j * math.pi / FFT * np.arange(BINS))  # by which a bin turns when the window moves on by a sample
_LAST = np.exp(-2j * math.pi / FFT * np.arange(BINS) * (WINDOW - 1))  # what the newest sample is multiplied by
_TURN_RE, _TURN_IM, _LAST_RE, _LAST_IM = (np.ascontiguousarray(a) for a in (_TURN.real, _TURN.imag, _LAST.real, _LAST.imag))


@kernel
def _first_spectrum(heard, real, imaginary):
    """The transform of the samples before the first, as the window that ends with the last of them: one sample is missing at
    its start.
    """
    for k in range(BINS):
        real[k] = imaginary[k] = 0.0
        for j in range(1, WINDOW):
            angle = 2 * math.pi * k * j / FFT
            real[k] += heard[j - 1] * math.cos(angle)
            imaginary[k] -= heard[j - 1] * math.sin(angle)


@kernel
def _next_spectrum(leaving, entering, turn_re, turn_im, last_re, last_im, real, imaginary, size):
    """Moves the window on by a sample; float64 inside, so that an hour of steps stays exact in float32."""
    for k in range(BINS):
        a, b = real[k] - leaving, imaginary[k]
        re = a * turn_re[k] - b * turn_im[k] + entering * last_re[k]
        im = a * turn_im[k] + b * turn_re[k] + entering * last_im[k]
        real[k], imaginary[k] = re, im
        size[k] = math.sqrt(np.float32(re * re + im * im))


@kernel
def _slide_forward(heard, weight, bias, turn_re, turn_im, last_re, last_im, y, start, end):
    real, imaginary = np.empty((2, BINS))
    size = np.empty(BINS, np.float32)
    for b in range(start, end):
        _first_spectrum(heard[b], real, imaginary)
        for t in range(y.shape[1]):
            leaving = heard[b, t - 1] if t else np.float32(0.0)
            _next_spectrum(leaving, heard[b, t + WINDOW - 1], turn_re, turn_im, last_re, last_im, real, imaginary, size)
            for o in range(2):
                part = splat(np.float32(0.0))
                for at in range(0, BINS, LANES):
                    part = fma(load(weight[o], at), load(size, at), part)
                y[b, t, o] = bias[o] + sum_lanes(part)


@kernel
def _slide_backward(heard, grad, turn_re, turn_im, last_re, last_im, grad_weight, start, end):
    real, imaginary = np.empty((2, BINS))
    size = np.empty(BINS, np.float32)
    for b in range(start, end):
        _first_spectrum(heard[b], real, imaginary)
        for t in range(grad.shape[1]):
            leaving = heard[b, t - 1] if t else np.float32(0.0)
            _next_spectrum(leaving, heard[b, t + WINDOW - 1], turn_re, turn_im, last_re, last_im, real, imaginary, size)
            for o in range(2):
                g, sums = splat(grad[b, t, o]), grad_weight[b, o]
                for at in range(0, BINS, LANES):
                    store(sums, at, fma(g, load(size, at), load(sums, at)))


@mx.custom_function
def _slide(heard, weight, bias):
    mx.eval(heard, weight, bias)
    heard_, weight_, bias_ = map(to_numpy, (heard, weight, bias))
    y = np.empty((len(heard_), heard_.shape[1] - WINDOW + 1, 2), np.float32)
    over_ranges(len(heard_), _slide_forward, heard_, weight_, bias_, _TURN_RE, _TURN_IM, _LAST_RE, _LAST_IM, y)
    return mx.array(y)


@_slide.vjp
def _slide_vjp(primals, grad, _output):
    mx.eval(grad)
    heard, grad_ = map(to_numpy, (primals[0], grad))
    grad_weight = np.zeros((len(heard), 2, BINS), np.float32)
    over_ranges(len(heard), _slide_backward, heard, grad_, _TURN_RE, _TURN_IM, _LAST_RE, _LAST_IM, grad_weight)
    return mx.zeros_like(primals[0]), mx.array(grad_weight.sum(0)), mx.array(grad_.sum((0, 1)))


_TILE = 1024  # outputs at a time, so that they stay in the nearest cache


@kernel
def _filter_forward(heard, weight, bias, y, start, end):
    width, sums = weight.shape[1], np.empty(_TILE, np.float32)
    for b in range(start, end):
        for at in range(0, y.shape[1], _TILE):
            count = min(_TILE, y.shape[1] - at)
            for o in range(bias.size):
                sums[:count] = bias[o]
                for j in range(width):
                    w, moved = weight[o, j], heard[b, at + j : at + j + count]
                    for t in range(count):
                        sums[t] += w * moved[t]
                y[b, at : at + count, o] = sums[:count]


@kernel
def _filter_backward(heard, weight, grad, grad_heard, grad_weight, start, end):
    width, row = weight.shape[1], np.empty(_TILE, np.float32)
    for b in range(start, end):
        for at in range(0, grad.shape[1], _TILE):
            count = min(_TILE, grad.shape[1] - at)
            for o in range(len(weight)):
                row[:count] = grad[b, at : at + count, o]
                for j in range(width):
                    w, moved = weight[o, j], grad_heard[b, at + j : at + j + count]
                    for t in range(count):
                        moved[t] += w * row[t]
                sums = grad_weight[b, o]
                for t in range(count):
                    g, window = row[t], heard[b, at + t : at + t + width]
                    for j in range(width):
                        sums[j] += g * window[j]


@mx.custom_function
def _filter(heard, weight, bias):
    mx.eval(heard, weight, bias)
    heard_, weight_, bias_ = map(to_numpy, (heard, weight, bias))
    y = np.empty((len(heard_), heard_.shape[1] - weight_.shape[1] + 1, bias_.size), np.float32)
    over_ranges(len(heard_), _filter_forward, heard_, weight_, bias_, y)
    return mx.array(y)


@_filter.vjp
def _filter_vjp(primals, grad, _output):
    mx.eval(grad)
    heard, weight, grad_ = map(to_numpy, (primals[0], primals[1], grad))
    grad_heard = np.zeros_like(heard)
    grad_weight = np.zeros((len(heard), *weight.shape), np.float32)
    over_ranges(len(heard), _filter_backward, heard, weight, grad_, grad_heard, grad_weight)
    return mx.array(grad_heard), mx.array(grad_weight.sum(0)), mx.array(grad_.sum((0, 1)))
