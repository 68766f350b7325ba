"""How far an output is from its target. Every function takes float arrays (samples,) of one length, full scale +-1."""

from __future__ import annotations

import numpy as np

FRAME_S = 0.01
AUDIBLE_DBFS = -45.0


def esr(target: np.ndarray, estimate: np.ndarray) -> float:
    """Error-to-signal ratio sum(e^2) / sum(target^2): 1 for silence in the target's place, inf where only the target is silent."""
    target, estimate = target.astype(np.float64), estimate.astype(np.float64)
    error, signal = np.sum((target - estimate) ** 2), np.sum(target**2)
    if signal == 0:
        return 0.0 if error == 0 else float("inf")
    return float(error / signal)


def gain_db(x: np.ndarray, y: np.ndarray, sample_rate: int) -> np.ndarray:
    """Level of y over x in dB for each 10 ms frame, NaN where x is below -45 dBFS (RMS)."""
    frame = round(FRAME_S * sample_rate)
    frames = len(x) // frame
    level_x, level_y = (_level_db(a[: frames * frame].reshape(frames, frame)) for a in (x, y))
    return np.where(level_x > AUDIBLE_DBFS, level_y - level_x, np.nan)


def gain_error_db(x: np.ndarray, target: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    """RMS over 10 ms frames of the difference in gain between estimate and target, in dB; 0 where the input x is never audible."""
    difference = gain_db(x, estimate, sample_rate) - gain_db(x, target, sample_rate)
    audible = difference[~np.isnan(difference)]
    return float(np.sqrt(np.mean(audible**2))) if len(audible) else 0.0


def _level_db(frames: np.ndarray) -> np.ndarray:
    return 10 * np.log10(np.mean(frames.astype(np.float64) ** 2, axis=1) + 1e-12)
