"""By how many samples a recording comes after what was played, at its start, middle and end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MAX_LAG = 2400  # samples searched either way, 50 ms at 48 kHz
STEADY = 2  # samples by which the lags of one take may differ: as much do filters shift a peak
_FURTHER = 48000  # samples either way in which a lag beyond the search is looked for, only to name it
_WINDOW = 1 << 17  # samples of a part that are listened to, 2.7 s at 48 kHz
_SHORTEST = 3 * MAX_LAG  # samples of a part that can tell
_ABOVE_NOISE = 10.0  # times the root mean square of all lags that a peak must have
_ALONE, _LOBE = 1.5, 32  # times the next peak, further away than so many samples: what repeats itself tells no lag
_AS_GOOD = 0.9  # of a peak: where no lag at all fits so well, there is none
_NOT_AGAINST = 0.5  # of a part's own peak: it does not speak against a lag that fits so well
_ALIKE = 0.25  # correlation, as they stand, that two recordings of one thing have
_INAUDIBLE = 1e-9  # of a spectrum's strongest part, in power: there is only noise


@dataclass(frozen=True)
class Alignment:
    """lag: samples by which the target is late, None where nothing alike is within `MAX_LAG`. polarity: 1 or -1, 0 where the
    lag is None.

    lags: (sample at which a part begins, its lag), for the parts that tell. beyond: a lag outside `MAX_LAG`, where there is
    one.
    """

    lag: int | None
    polarity: int
    lags: tuple[tuple[int, int], ...] = ()
    beyond: int | None = None

    @property
    def steady(self) -> bool:
        """Whether no samples were lost or put in on the way."""
        found = [lag for _, lag in self.lags]
        return not found or max(found) - min(found) <= STEADY


def align(x: np.ndarray, y: np.ndarray) -> Alignment:
    """The lag of y after x, float (samples,) each.

    Correlates spectra that are whitened first, so that the phase of a unit's bass counts no more than a few of a thousand
    frequencies.
    """
    count = min(len(x), len(y))
    if not count:
        return Alignment(None, 0)
    parts = [_Part(x, y, start, length) for start, length in _parts(x[:count])]
    together = np.sum([part.whitened for part in parts], axis=0)
    lag = _peak(together, MAX_LAG)
    if lag is not None and max(part.likeness(lag) for part in parts) < _ALIKE:
        lag = None
    found = [(part, _peak(part.whitened, MAX_LAG)) for part in parts]
    telling = [(part, peak) for part, peak in found if peak is not None and part.likeness(peak) >= _ALIKE]
    if lag is None and not telling:
        if beyond := _peak(together, len(together) // 2):
            return Alignment(None, 0, beyond=beyond)
        alike, polarity = max((part.likeness(), part.polarity) for part in parts)
        return Alignment(0, polarity) if alike >= _ALIKE else Alignment(None, 0)
    lag = telling[0][1] if lag is None else lag
    polarity = 1 if sum(part.at(lag) for part in parts) > 0 else -1
    return Alignment(lag, polarity, tuple((part.start, peak if part.speaks_for(peak, lag) else lag) for part, peak in telling))


def _parts(x: np.ndarray) -> list[tuple[int, int]]:
    """Start and length of what is listened to: the loudest stretch of each third, or all of a short take."""
    third = len(x) // 3
    if third < _SHORTEST:
        return [(0, len(x))]
    length = min(third, _WINDOW)
    parts = []
    for begin in (0, third, len(x) - third):
        starts = np.arange(begin, begin + third - length + 1, max(1, length // 4))
        loudness = [float(np.square(x[start : start + length : 7], dtype=np.float64).sum()) for start in starts]
        parts.append((int(starts[int(np.argmax(loudness))]), length))
    return parts


class _Part:
    """A part of both recordings. whitened: how well each lag from -reach to reach fits, in units of the root mean square of
    all;
    polarity: of the signals as they stand."""

    def __init__(self, x: np.ndarray, y: np.ndarray, start: int, length: int):
        self.start, self._reach = start, min(_FURTHER, max(MAX_LAG, length // 2))
        heard = np.zeros(length + 2 * self._reach)
        first, last = max(0, start - self._reach), min(len(y), start + length + self._reach)
        heard[first - start + self._reach : last - start + self._reach] = y[first:last] - np.mean(
            y[first:last], dtype=np.float64
        )
        played = x[start : start + length] - np.mean(x[start : start + length], dtype=np.float64)
        size = 1 << (len(heard) + length).bit_length()
        there, here = np.fft.rfft(heard * _taper(len(heard)), size), np.fft.rfft(played * _taper(length), size)
        cross = there * np.conj(here)
        phases = np.where(_audible(there) & _audible(here), cross / np.maximum(np.abs(cross), 1e-300), 0)
        whitened = np.fft.irfft(phases, size)[: 2 * self._reach + 1]
        self.whitened = whitened / (float(np.sqrt(np.mean(np.square(whitened)))) + 1e-300)
        power = np.square(played).sum() * np.square(heard[self._reach : self._reach + length]).sum()
        plain = np.fft.irfft(cross, size)[self._reach - MAX_LAG : self._reach + MAX_LAG + 1]
        self._correlation = plain / (float(np.sqrt(power)) + 1e-300)
        best = float(plain[int(np.argmax(np.abs(plain)))])
        at_rest = float(plain[MAX_LAG])
        self.polarity = 1 if (at_rest if abs(at_rest) > _NOT_AGAINST * abs(best) else best) >= 0 else -1

    def likeness(self, lag: int | None = None) -> float:
        """Correlation of the signals as they stand, at a lag or at the best one, 0 to about 1."""
        return float(np.abs(self._correlation if lag is None else self._correlation[MAX_LAG + lag]).max())

    def speaks_for(self, own: int, other: int) -> bool:
        """Whether its own lag fits so much better than another that the other cannot be right."""
        worse = abs(self.at(other)) < _NOT_AGAINST * abs(self.at(own))
        return worse and self.likeness(own) > self.likeness(other)

    def at(self, lag: int) -> float:
        """How well a lag fits; 0 where it is not looked for."""
        return float(self.whitened[self._reach + lag]) if abs(lag) <= self._reach else 0.0


def _peak(fits: np.ndarray, most: int) -> int | None:
    """The lag up to `most` that fits best, if it is above the noise and no other fits nearly as well."""
    fits = fits[len(fits) // 2 - most : len(fits) // 2 + most + 1]
    middle, heights = most, np.abs(fits)
    best = int(np.argmax(heights))
    others = heights.copy()
    others[max(0, best - _LOBE) : best + _LOBE + 1] = 0
    noise = float(np.sqrt(np.mean(np.square(others))))
    if heights[best] < max(_ABOVE_NOISE * noise, _ALONE * others.max()):
        return None
    return 0 if fits[middle] * fits[best] >= _AS_GOOD * heights[best] ** 2 else best - middle


def _taper(samples: int) -> np.ndarray:
    """Fades the tenths at both ends, whose edges would be the loudest thing in a whitened signal."""
    edge = max(1, samples // 10)
    window = np.ones(samples)
    window[:edge] = 0.5 - 0.5 * np.cos(np.pi * (np.arange(edge) + 0.5) / edge)
    window[-edge:] = window[:edge][::-1]
    return window


def _audible(spectrum: np.ndarray) -> np.ndarray:
    """Where a spectrum is more than the noise of numbers."""
    power = np.square(np.abs(spectrum))
    return power > _INAUDIBLE * power.max(initial=0.0)
