"""By how much a recording comes after what was played, to a fraction of a sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlxopto.metrics.spectra import correlation

LIKE = 0.3  # correlation below which nothing was found


@dataclass(frozen=True)
class Delay:
    """samples: late by so many, negative if early. polarity: 1 or -1. likeness: 0 to 1, of the correlation at its peak."""

    samples: float
    polarity: int
    likeness: float


def measure(x: np.ndarray, y: np.ndarray, most: int) -> Delay:
    """Where x is in y, searched from 0 to `most` samples on, as far as y lasts.

    The cross-correlation of first differences finds the sample, the slope of the cross-spectrum's phase the fraction: the gain
    of a compressor moves neither.

    Args:
        x: float32 (samples,), a signal that does not repeat. y: (samples,) or longer.
    """
    most = min(most, len(y) - len(x))
    dx, dy = np.diff(x.astype(np.float64)), np.diff(y[: len(x) + most].astype(np.float64))
    products = correlation(dy, dx)
    power = np.concatenate([[0.0], np.cumsum(np.square(dy))])
    heard = power[len(dx) : len(dx) + most + 1] - power[: most + 1]
    least = max(1e-6 * float(heard.max()), 1e-20)  # where next to nothing is heard, nothing is like
    likeness = products / np.sqrt(np.square(dx).sum() * np.maximum(heard, least))
    peak = int(np.argmax(np.abs(products) * (np.abs(likeness) > 0.5 * np.abs(likeness).max())))
    polarity = int(np.sign(products[peak])) or 1
    found = float(min(1.0, abs(likeness[peak])))
    return Delay(peak + _fraction(x, polarity * y[peak : peak + len(x)]), polarity, found)


def _fraction(x: np.ndarray, y: np.ndarray) -> float:
    """What is left of a delay within half a sample or so, from the phase of the cross-spectrum, weighted by its magnitude."""
    size = 1 << len(x).bit_length()
    cross = np.fft.rfft(y.astype(np.float64), size) * np.conj(np.fft.rfft(x.astype(np.float64), size))
    radians = 2 * np.pi * np.arange(len(cross)) / size
    weight = np.abs(cross) * (radians < 0.7 * np.pi)
    total = float((weight * radians**2).sum())
    return -float((weight * radians * np.angle(cross)).sum()) / total if total else 0.0
