"""Levels of recordings."""

from __future__ import annotations

import numpy as np

SILENT_DBFS = -80.0  # below, a recording holds nothing


def level_dbfs(signal: np.ndarray) -> float:
    """RMS level; -120 for silence."""
    return float(10 * np.log10(np.mean(np.square(signal, dtype=np.float64)) + 1e-12)) if len(signal) else -120.0
