"""How far an output is from its target. Every function takes float arrays (samples,) of one length, full scale +-1."""

from __future__ import annotations

import numpy as np

from mlxopto.metrics import spectra
from mlxopto.metrics.loudness import LoudnessMeter

FRAME_S = 0.01
AUDIBLE_DBFS = -45.0
EMPHASIS = 0.85  # first-order high-pass 1 - 0.85 / z (Wright and Valimaki 2020, "Perceptual loss function")
PAPER_WINDOWS = (32, 64, 128)
_RESOLUTIONS = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))  # size, hop, window (Yamamoto et al. 2020; auraloss)
_FLUX_WINDOW, _FLUX_HOP = 480_000, 120_000  # samples


def mse(target: np.ndarray, estimate: np.ndarray) -> float:
    """Mean squared error."""
    return float(np.mean(_error(target, estimate) ** 2))


def rmse(target: np.ndarray, estimate: np.ndarray) -> float:
    """Root of the mean squared error."""
    return float(np.sqrt(mse(target, estimate)))


def mae(target: np.ndarray, estimate: np.ndarray) -> float:
    """Mean absolute error."""
    return float(np.mean(np.abs(_error(target, estimate))))


def mae_rectified(target: np.ndarray, estimate: np.ndarray) -> float:
    """Mean absolute difference of the magnitudes, which the paper calls RMSE."""
    return float(np.mean(np.abs(_error(np.abs(target), np.abs(estimate)))))


def esr(target: np.ndarray, estimate: np.ndarray) -> float:
    """Error-to-signal ratio sum(e^2) / sum(target^2): 1 for silence in the target's place, inf where only the
    target is silent.
    """
    target, estimate = target.astype(np.float64), estimate.astype(np.float64)
    error, signal = np.sum((target - estimate) ** 2), np.sum(target**2)
    if signal == 0:
        return 0.0 if error == 0 else float("inf")
    return float(error / signal)


def esr_emphasised(target: np.ndarray, estimate: np.ndarray) -> float:
    """The error-to-signal ratio after a first-order pre-emphasis, which weighs what is heard."""
    return esr(_emphasise(target), _emphasise(estimate))


def multi_resolution_stft(target: np.ndarray, estimate: np.ndarray) -> float:
    """The field's loss, as auraloss has it: spectral convergence plus mean absolute log magnitude, mean of three resolutions.

    0 for equal signals; short signals are taken as they are, but at least 1,025 samples are needed.
    """
    total = 0.0
    for size, hop, window in _RESOLUTIONS:
        ours, theirs = (np.maximum(spectra.magnitudes(a, window, hop, size, "reflect"), 1e-4) for a in (estimate, target))
        convergence = np.linalg.norm(theirs - ours) / np.linalg.norm(theirs)
        total += convergence + np.mean(np.abs(np.log(theirs) - np.log(ours)))
    return float(total / len(_RESOLUTIONS))


def multi_resolution_stft_paper(target: np.ndarray, estimate: np.ndarray) -> float:
    """The paper's: relative absolute difference of power spectra in windows of 32, 64 and 128 samples, hop a quarter."""
    errors = []
    for window in PAPER_WINDOWS:
        ours, theirs = (spectra.magnitudes(a, window, window // 4) ** 2 for a in (estimate, target))
        errors.append(np.abs(theirs - ours).sum() / (theirs.sum() + 1e-5))
    return float(np.mean(errors))


def mfcc_error(target: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    """Relative absolute difference of the mel-frequency cepstral coefficients, all of them, as in the paper."""
    ours, theirs = (spectra.cepstra(a, sample_rate) for a in (estimate, target))
    return float(np.abs(theirs - ours).sum() / (np.abs(theirs).sum() + 1e-12))


def spectral_flux(target: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    """Mean absolute difference of the onset strength in dB, over windows of 480,000 samples every 120,000, as in the paper."""
    starts = range(0, max(1, len(target) - _FLUX_WINDOW + 1), _FLUX_HOP)
    differences = []
    for start in starts:
        part = slice(start, start + _FLUX_WINDOW)
        ours, theirs = (spectra.onset_strength(a[part], sample_rate) for a in (estimate, target))
        differences.append(np.mean(np.abs(theirs - ours)))
    return float(np.mean(differences))


def loudness_difference(target: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    """Integrated loudness (ITU-R BS.1770-4) of the estimate less the target's, in LU; NaN where either is silent."""
    ours, theirs = (_lufs(a, sample_rate) for a in (estimate, target))
    return ours - theirs


def gain_db(x: np.ndarray, y: np.ndarray, sample_rate: int) -> np.ndarray:
    """Level of y over x in dB for each 10 ms frame, NaN where x is below -45 dBFS (RMS)."""
    frame = round(FRAME_S * sample_rate)
    frames = len(x) // frame
    level_x, level_y = (_level_db(a[: frames * frame].reshape(frames, frame)) for a in (x, y))
    return np.where(level_x > AUDIBLE_DBFS, level_y - level_x, np.nan)


def gain_error_db(x: np.ndarray, target: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    """RMS over 10 ms frames of the difference in gain between estimate and target, in dB; 0 where the input x is
    never audible.
    """
    audible = _gain_difference(x, target, estimate, sample_rate)
    return float(np.sqrt(np.mean(audible**2))) if len(audible) else 0.0


def gain_error_db_p95(x: np.ndarray, target: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    """95th percentile over 10 ms frames of the absolute difference in gain, in dB; 0 where the input x is never audible."""
    audible = _gain_difference(x, target, estimate, sample_rate)
    return float(np.percentile(np.abs(audible), 95)) if len(audible) else 0.0


def _gain_difference(x: np.ndarray, target: np.ndarray, estimate: np.ndarray, sample_rate: int) -> np.ndarray:
    difference = gain_db(x, estimate, sample_rate) - gain_db(x, target, sample_rate)
    return difference[~np.isnan(difference)]


def _error(target: np.ndarray, estimate: np.ndarray) -> np.ndarray:
    return np.asarray(target, np.float64) - np.asarray(estimate, np.float64)


def _emphasise(x: np.ndarray) -> np.ndarray:
    x = np.asarray(x, np.float64)
    return np.concatenate([x[:1], x[1:] - EMPHASIS * x[:-1]])


def _level_db(frames: np.ndarray) -> np.ndarray:
    return 10 * np.log10(np.mean(frames.astype(np.float64) ** 2, axis=1) + 1e-12)


def _lufs(x: np.ndarray, sample_rate: int) -> float:
    meter = LoudnessMeter(sample_rate, 1)
    meter.add(np.asarray(x, np.float32)[:, None])
    integrated = meter.integrated()
    return float("nan") if integrated is None else integrated
