"""The diagonal recurrence as one long convolution by fast Fourier transforms: plain MLX operations, the fast way on a GPU.

A recurrence whose factors do not depend on its input is a convolution with its impulse response, plus what is left of the first
state.
"""

from __future__ import annotations

import math

import mlx.core as mx

_COARSE = 1024.0  # of a turn: steps times a multiple of this fraction are exact in float32 up to 2^14 steps, and wrap exactly


def diagonal_scan(u: mx.array, decay: mx.array, turns: mx.array, c: mx.array, state: mx.array) -> tuple[mx.array, mx.array]:
    """See `mlxopto.scan.diagonal_scan`. u in pieces of at most 2^14 steps, so that angles stay exact."""
    pieces = []
    for start in range(0, u.shape[1], 1 << 14):
        y, state = _piece(u[:, start : start + (1 << 14)], decay, turns, c, state)
        pieces.append(y)
    return (mx.concatenate(pieces, axis=1) if pieces else u), state


def _piece(u: mx.array, decay: mx.array, turns: mx.array, c: mx.array, state: mx.array) -> tuple[mx.array, mx.array]:
    time = u.shape[1]
    re, im = _powers(time + 1, decay, turns)  # (time + 1, D, N) each
    response = 2 * (c[..., 0] * re[:time] - c[..., 1] * im[:time]).sum(-1)
    y = _convolve(u, response)
    h_re, h_im = state[:, None, ..., 0], state[:, None, ..., 1]
    left_re, left_im = re[1:] * h_re - im[1:] * h_im, re[1:] * h_im + im[1:] * h_re  # (batch, time, D, N)
    y = y + 2 * (c[..., 0] * left_re - c[..., 1] * left_im).sum(-1)
    new = mx.stack([mx.einsum("btd,tdn->bdn", u, power[time - 1 :: -1]) for power in (re[:time], im[:time])], axis=-1)
    return y, new + mx.stack([left_re[:, -1], left_im[:, -1]], axis=-1)


def _powers(count: int, decay: mx.array, turns: mx.array) -> tuple[mx.array, mx.array]:
    """The factors to the powers 0 to count - 1, real and imaginary, (count, D, N) each."""
    steps = mx.arange(count, dtype=decay.dtype)[:, None, None]
    coarse = mx.stop_gradient(mx.round(turns * _COARSE) / _COARSE)
    whole = steps * coarse
    angle = 2 * math.pi * (whole - mx.floor(whole) + steps * (turns - coarse))
    size = mx.exp(-steps * decay)
    return size * mx.cos(angle), size * mx.sin(angle)


def _convolve(u: mx.array, response: mx.array) -> mx.array:
    """u (batch, time, D) with each channel's response (time, D), causal."""
    time = u.shape[1]
    size = 1 << (2 * time - 1).bit_length()
    spectrum = mx.fft.rfft(u, size, axis=1) * mx.fft.rfft(response, size, axis=0)
    return mx.fft.irfft(spectrum, size, axis=1)[:, :time]
