"""The loss: waveform and gain, each as a relative root mean square, so that every sequence counts whatever its error.

A gain error of g nepers costs about g in either term. The waveform term weighs loud moments and hears colour; the gain term
weighs soft passages and releases as much as peaks. The square root keeps a few settings with heavy reduction from taking over.
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx

from mlxopto.metrics import EMPHASIS

WINDOW = 256  # samples in which the gain term compares levels, 5 ms at 48 kHz
AUDIBLE = 1e-6  # power of -60 dBFS: fainter input hardly counts in the gain term
_EPSILON = 1e-5  # keeps the square root's slope finite; an ESR of 1e-5 is below any recording's noise


def waveform_loss(y: mx.array, target: mx.array, power: mx.array) -> mx.array:
    """Roots of the squared error over each sequence's mean power, as it is and with its treble raised, halves of the term.

    Args:
        y, target: (batch, samples). power: (batch, 2), of the sequences' targets and of these emphasised.
    Returns:
        (batch,).
    """
    error = y - target
    ratios = mx.stack([mx.square(part).mean(axis=1) for part in (error, emphasised(error))], axis=1) / power
    return mx.sqrt(ratios + _EPSILON).mean(axis=1)


def emphasised(signal: Any) -> Any:
    """The signal (..., samples) after (1 - 0.85 / z)^2, which makes music about white: MLX's array or numpy's."""
    for _ in range(2):
        signal = signal[..., 1:] - EMPHASIS * signal[..., :-1]
    return signal


def gain_loss(x: mx.array, y: mx.array, target: mx.array) -> mx.array:
    """RMS difference of log levels (nepers) in short windows where the input x is audible: all (batch, samples).

    Returns (batch,).
    """
    batch, samples = x.shape

    def power(signal: mx.array) -> mx.array:
        return mx.square(signal.reshape(batch, samples // WINDOW, WINDOW)).sum(-1) * (1 / WINDOW)

    heard = power(x)
    difference = 0.5 * (mx.log(power(y) + 1e-9) - mx.log(power(target) + 1e-9))
    return mx.sqrt((heard / (heard + AUDIBLE) * mx.square(difference)).mean(axis=1) + _EPSILON)
