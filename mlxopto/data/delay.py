"""By what fraction of a sample a recording comes after what was played: converters and their filters are seldom on the grid.

A delay has a phase that falls with frequency whatever the unit's response; what a response alone does to the phase, that of the
minimum-phase filter with its magnitudes, is taken off first (Oppenheim and Schafer, Discrete-Time Signal Processing: cepstrum).
"""

from __future__ import annotations

import numpy as np

WORTH = 0.15  # samples: so much comes from a unit's own filters
_WINDOW = 1024  # samples of a spectrum
_FRAMES = 2048  # spectra at most, 22 s at 48 kHz: of longer recordings they lie apart
_BAND = (0.006, 0.33)  # of the sample rate: where phases are listened to, 300 Hz to 16 kHz at 48 kHz
_AUDIBLE = 1e-6  # power of a frame that is heard, -60 dBFS
_NOISE = 0.02  # of incoherence, at which more coherence counts no more
_FLAT_NEPERS = 0.35  # away from the median response: further away distortion answers, and not a filter
_SMOOTH = 0.012  # of the sample rate, width in which a response is averaged
_MOST, _STEP = 2.5, 0.05  # samples looked for either way, and their steps


def fraction_late(x: np.ndarray, y: np.ndarray) -> float:
    """Samples by which y comes after x, float (samples,) each, which are aligned to two samples; 0 where that cannot be told.

    Right to about 0.1 samples of music with treble in it, on virtual units with a known delay.
    """
    coherence, cross, response = _spectra(x, y)
    f = np.arange(_WINDOW // 2 + 1) / _WINDOW
    weight = coherence / (1 - coherence + _NOISE) * ((f > _BAND[0]) & (f < _BAND[1]))
    if not weight.any():
        return 0.0
    relative = response - _weighted_median(response, weight)
    weight *= np.exp(-np.square(relative / _FLAT_NEPERS))
    phase = np.angle(cross) - _minimum_phase(relative, weight, f)
    delays = np.arange(-_MOST, _MOST + _STEP, _STEP)
    late = float(delays[np.argmax([(weight * np.cos(phase + 2 * np.pi * f * delay)).sum() for delay in delays])])
    for _ in range(4):
        left = np.angle(np.exp(1j * (phase + 2 * np.pi * f * late)))
        late -= float((weight * left * f).sum() / (2 * np.pi * (weight * f * f).sum()))
    return late


def advanced(y: np.ndarray, samples: float) -> np.ndarray:
    """The recording (samples,) earlier by a fraction of a sample, float32: a phase that falls with frequency, exact but at the
    ends.
    """
    size = 1 << (len(y) + _WINDOW).bit_length()
    turn = np.exp(2j * np.pi * np.fft.rfftfreq(size) * samples)
    return np.fft.irfft(np.fft.rfft(y, size) * turn, size)[: len(y)].astype(np.float32)


def _spectra(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coherence, cross spectrum and log response, (513,) each, of frames whose gain is taken off."""
    if min(len(x), len(y)) < _WINDOW:
        return (np.zeros(_WINDOW // 2 + 1),) * 3
    shape, hop = np.hanning(_WINDOW), max(_WINDOW // 2, len(x) // _FRAMES)
    played, heard = (np.fft.rfft(np.lib.stride_tricks.sliding_window_view(s, _WINDOW)[::hop] * shape) for s in (x, y))
    powers = np.square(np.abs(played)).sum(axis=1), np.square(np.abs(heard)).sum(axis=1)
    audible = np.minimum(*powers) > _AUDIBLE * _WINDOW**2 / 8
    gain = np.sqrt(powers[1][audible] / powers[0][audible])
    played, heard = played[audible], heard[audible] / gain[:, None]
    power = np.square(np.abs(played)).sum(axis=0) + 1e-30
    cross = (heard * np.conj(played)).sum(axis=0)
    coherence = np.square(np.abs(cross)) / (power * (np.square(np.abs(heard)).sum(axis=0) + 1e-30))
    return np.minimum(coherence, 1), cross, np.log(np.abs(cross) / power + 1e-9)


def _minimum_phase(response: np.ndarray, weight: np.ndarray, f: np.ndarray) -> np.ndarray:
    """The phase that a filter must have at least, of its smoothed log response, which is 0 where nothing is known."""
    near = np.exp(-np.square(np.subtract.outer(f, f) / _SMOOTH) / 2)
    smooth = near @ (weight * response) / (near @ weight + 0.5)
    fold = np.zeros(_WINDOW)
    fold[0], fold[1 : _WINDOW // 2], fold[_WINDOW // 2] = 1, 2, 1
    phase: np.ndarray = np.fft.rfft(np.fft.irfft(smooth) * fold).imag
    return phase


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(reached, reached[-1] / 2)])
