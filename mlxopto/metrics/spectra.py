"""Spectra and what is made of them: correlation, and in short times mel bands, cepstra, onsets. Audio is float (samples,)."""

from __future__ import annotations

from functools import cache

import numpy as np

_SLANEY_STEP, _SLANEY_KNEE = 200 / 3, 1000.0  # Hz a mel below the knee; logarithmic above (Slaney's Auditory Toolbox, 1998)


def magnitudes(x: np.ndarray, window: int, hop: int, size: int | None = None, padding: str | None = None) -> np.ndarray:
    """Magnitude spectra under a periodic Hann window, (frames, size // 2 + 1), float64.

    Args:
        window, hop: samples. size: of the transform, the window in its middle; the window's length when not given.
        padding: None for frames that lie wholly inside; "reflect" or "constant" (zeros) for frames centred on multiples of the
        hop.
    """
    size = size or window
    x = np.asarray(x, np.float64)
    if padding is not None:
        x = np.pad(x, size // 2, mode=padding)  # type: ignore[call-overload]
    if len(x) < size:
        return np.zeros((0, size // 2 + 1))
    left = (size - window) // 2
    shape = np.pad(np.hanning(window + 1)[:-1], (left, size - window - left))
    frames = np.lib.stride_tricks.sliding_window_view(x, size)[::hop]
    return np.abs(np.fft.rfft(frames * shape, axis=1))


def correlation(long: np.ndarray, short: np.ndarray) -> np.ndarray:
    """Sums of products of the short signal with every stretch of the long one as long as it, (len(long) - len(short) + 1,)."""
    size = 1 << (len(long) + len(short)).bit_length()
    return np.fft.irfft(np.fft.rfft(long, size) * np.conj(np.fft.rfft(short, size)), size)[: len(long) - len(short) + 1]


@cache
def mel_bands(sample_rate: int, size: int, bands: int, low: float, high: float, slaney: bool) -> np.ndarray:
    """Triangular weights (bands, size // 2 + 1), linear in Hz between edges that are even in mel.

    Args:
        slaney: the Auditory Toolbox's mel and triangles of unit area; otherwise HTK's mel and triangles of unit height.
    """
    to_mel, to_hz = (_slaney_mel, _slaney_hz) if slaney else (_htk_mel, _htk_hz)
    edges = to_hz(np.linspace(to_mel(np.array(low)), to_mel(np.array(high)), bands + 2))
    frequencies = np.fft.rfftfreq(size, 1 / sample_rate)
    rising = (frequencies - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - frequencies) / np.diff(edges)[1:, None]
    weights = np.maximum(0, np.minimum(rising, falling))
    return weights * (2 / (edges[2:] - edges[:-2]))[:, None] if slaney else weights


def cepstra(x: np.ndarray, sample_rate: int) -> np.ndarray:
    """The paper's mel-frequency cepstral coefficients, (frames, 80): windows of 1,024, hop 256, 80 bands from 80 Hz
    to 20 kHz.
    """
    bands = mel_bands(sample_rate, 1024, 80, 80.0, min(20000.0, sample_rate / 2), slaney=False)
    log_mel = np.log(magnitudes(x, 1024, 256) @ bands.T + 1e-6)
    count = len(bands)
    angles = np.pi / count * np.outer(np.arange(count), np.arange(count) + 0.5)
    basis = np.sqrt(2 / count) * np.cos(angles)  # the orthonormal DCT-II
    basis[0] /= np.sqrt(2)
    return log_mel @ basis.T


def onset_strength(x: np.ndarray, sample_rate: int) -> np.ndarray:
    """How much louder the mel bands have become, in dB, at every 512th sample: librosa's onset strength (McFee et al. 2015)."""
    size, hop = 2048, 512
    power = magnitudes(x, size, hop, padding="constant") ** 2 @ mel_bands(sample_rate, size, 128, 0.0, sample_rate / 2, True).T
    level = 10 * np.log10(np.maximum(power, 1e-10))
    level = np.maximum(level, level.max() - 80)
    rise = np.maximum(0, np.diff(level, axis=0)).mean(axis=1)
    return np.pad(rise, (1 + size // (2 * hop), 0))[: len(level)]


def _htk_mel(hz: np.ndarray) -> np.ndarray:
    return 2595 * np.log10(1 + hz / 700)


def _htk_hz(mel: np.ndarray) -> np.ndarray:
    return 700 * (10 ** (mel / 2595) - 1)


def _slaney_mel(hz: np.ndarray) -> np.ndarray:
    knee, step = _SLANEY_KNEE / _SLANEY_STEP, np.log(6.4) / 27
    return np.where(hz < _SLANEY_KNEE, hz / _SLANEY_STEP, knee + np.log(np.maximum(hz, 1e-9) / _SLANEY_KNEE) / step)


def _slaney_hz(mel: np.ndarray) -> np.ndarray:
    knee, step = _SLANEY_KNEE / _SLANEY_STEP, np.log(6.4) / 27
    return np.where(mel < knee, mel * _SLANEY_STEP, _SLANEY_KNEE * np.exp(step * (mel - knee)))
