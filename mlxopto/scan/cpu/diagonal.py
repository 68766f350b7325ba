"""The diagonal recurrence on the CPU, in float64 inside: a factor rounded to float32 would be off by milliradians after a
second.

The forward pass keeps a state every SPAN steps; the backward pass computes those between again.
"""

from __future__ import annotations

import mlx.core as mx
import numpy as np

from mlxopto.native.compiler import inner, kernel
from mlxopto.native.threads import over_ranges, to_numpy

SPAN = 64


@kernel
def _advance(h_re, h_im, a_re, a_im, u, repeated):
    """One step of every state, channels side by side; `repeated` becomes each state's input."""
    channels, states = len(u), len(a_re) // len(u)
    for d in range(channels):
        repeated[d * states : (d + 1) * states] = u[d]
    for i in range(len(a_re)):  # loops over few arrays, which LLVM turns into vectors
        repeated[i] += a_re[i] * h_re[i] - a_im[i] * h_im[i]
    for i in range(len(a_re)):
        h_im[i] = a_im[i] * h_re[i] + a_re[i] * h_im[i]
    for i in range(len(a_re)):
        h_re[i] = repeated[i]


@inner
def _sum_states(values, factor, out):
    """out (channels,) becomes the factor times the sum over each channel's states."""
    states = len(values) // len(out)
    for d in range(len(out)):
        total = 0.0
        for n in range(states):
            total += values[d * states + n]
        out[d] = factor * total


@kernel
def _forward(u, a_re, a_im, c_re, c_im, state, y, kept, last, first_batch, end_batch):
    time, count = u.shape[1], len(a_re)
    repeated, products = np.empty((2, count))
    for b in range(first_batch, end_batch):
        h_re, h_im = state[b, :, 0].astype(np.float64), state[b, :, 1].astype(np.float64)
        for t in range(time):
            if t % SPAN == 0:
                kept[b, t // SPAN, 0] = h_re
                kept[b, t // SPAN, 1] = h_im
            _advance(h_re, h_im, a_re, a_im, u[b, t], repeated)
            for i in range(count):
                products[i] = c_re[i] * h_re[i] - c_im[i] * h_im[i]
            _sum_states(products, 2.0, y[b, t])
        last[b, :, 0] = h_re
        last[b, :, 1] = h_im


@kernel
def _backward(u, a_re, a_im, c_re, c_im, kept, grad_y, grad_last, grad_u, grad_a, grad_c, grad_state, first_batch, end_batch):
    time, channels = u.shape[1:]
    count = len(a_re)
    states = count // channels
    before_re, before_im = np.empty((2, SPAN + 1, count))  # the states before each step of a span, and after its last
    repeated, g = np.empty((2, count))
    for b in range(first_batch, end_batch):
        back_re, back_im = grad_last[b, :, 0].astype(np.float64), grad_last[b, :, 1].astype(np.float64)
        ga_re, ga_im, gc_re, gc_im = grad_a[b, 0], grad_a[b, 1], grad_c[b, 0], grad_c[b, 1]
        for span in range((time - 1) // SPAN, -1, -1):
            start, end = span * SPAN, min(time, (span + 1) * SPAN)
            before_re[0] = kept[b, span, 0]
            before_im[0] = kept[b, span, 1]
            for k in range(end - start):
                before_re[k + 1] = before_re[k]
                before_im[k + 1] = before_im[k]
                _advance(before_re[k + 1], before_im[k + 1], a_re, a_im, u[b, start + k], repeated)
            for k in range(end - start - 1, -1, -1):
                for d in range(channels):
                    g[d * states : (d + 1) * states] = 2.0 * grad_y[b, start + k, d]
                h_re, h_im, old_re, old_im = before_re[k + 1], before_im[k + 1], before_re[k], before_im[k]
                for i in range(count):
                    gc_re[i] += g[i] * h_re[i]
                for i in range(count):
                    gc_im[i] -= g[i] * h_im[i]
                for i in range(count):
                    back_re[i] += g[i] * c_re[i]
                for i in range(count):
                    back_im[i] -= g[i] * c_im[i]
                for i in range(count):
                    ga_re[i] += back_re[i] * old_re[i] + back_im[i] * old_im[i]
                for i in range(count):
                    ga_im[i] += back_im[i] * old_re[i] - back_re[i] * old_im[i]
                for i in range(count):
                    repeated[i] = back_re[i]
                for i in range(count):
                    back_re[i] = a_re[i] * repeated[i] + a_im[i] * back_im[i]
                for i in range(count):
                    back_im[i] = a_re[i] * back_im[i] - a_im[i] * repeated[i]
                _sum_states(repeated, 1.0, grad_u[b, start + k])
        grad_state[b, :, 0] = back_re
        grad_state[b, :, 1] = back_im


def _factors(decay, turns):
    """Each state's factor of a step, real and imaginary, float64."""
    size, angle = np.exp(-np.float64(decay).reshape(-1)), 2 * np.pi * np.float64(turns).reshape(-1)
    return size * np.cos(angle), size * np.sin(angle)


def _parts(c):
    return tuple(np.ascontiguousarray(c.reshape(-1, 2)[:, i], np.float64) for i in range(2))


@mx.custom_function
def _scan(u, decay, turns, c, state):
    y, last, _ = _run(u, decay, turns, c, state)
    return mx.array(y), mx.array(last)


def _run(u, decay, turns, c, state):
    mx.eval(u, decay, turns, c, state)
    u_, decay_, turns_, c_, state_ = map(to_numpy, (u, decay, turns, c, state))
    batch, time, _ = u_.shape
    y = np.empty_like(u_)
    kept = np.empty((batch, -(-time // SPAN), 2, decay_.size))
    last = np.empty((batch, decay_.size, 2), np.float32)
    over_ranges(batch, _forward, u_, *_factors(decay_, turns_), *_parts(c_), state_.reshape(batch, -1, 2), y, kept, last)
    return y, last.reshape(state_.shape), kept


@_scan.vjp
def _scan_vjp(primals, cotangents, _outputs):
    mx.eval(cotangents)
    kept = _run(*primals)[2]
    u, decay, turns, c, state, grad_y, grad_last = map(to_numpy, (*primals, *cotangents))
    batch, count = len(u), decay.size
    a_re, a_im = _factors(decay, turns)
    grad_u, grad_state = np.empty_like(u), np.empty((batch, count, 2), np.float32)
    grad_a, grad_c = np.zeros((2, batch, 2, count))
    over_ranges(
        batch, _backward, u, a_re, a_im, *_parts(c), kept, grad_y, grad_last.reshape(batch, -1, 2),
        grad_u, grad_a, grad_c, grad_state,
    )  # fmt: skip
    (g_re, g_im), gc = grad_a.sum(0), grad_c.sum(0)
    gradients = (
        grad_u,
        (-g_re * a_re - g_im * a_im).reshape(decay.shape),
        (2 * np.pi * (g_im * a_re - g_re * a_im)).reshape(turns.shape),
        gc.T.reshape(c.shape),
        grad_state.reshape(state.shape),
    )
    return tuple(mx.array(gradient.astype(np.float32)) for gradient in gradients)


def diagonal_scan(u, decay, turns, c, state):
    """See `mlxopto.scan.diagonal_scan`; float32 only."""
    return _scan(u, decay, turns, c, state) if u.shape[1] else (u, state)
