"""A virtual digital compressor: feed-forward, in decibels, with a knee and a smooth branching detector, and nothing else.

Giannoulis, Massberg and Reiss, "Digital dynamic range compressor design", J. Audio Eng. Soc. 60(6), 2012: equations 4 (gain
computer) and 16 (smooth, branching peak detector).
"""

from __future__ import annotations

import numpy as np

from mlxopto.controls import Control, Panel, Setting
from mlxopto.devices import gain_computer
from mlxopto.native.compiler import kernel

DBU_AT_FULL_SCALE = 20.0
PANEL = Panel(
    (
        Control("threshold", "dB", -60, 0, default=-24),
        Control("ratio", ":1", 1.2, 20, taper="log", default=4),
        Control("knee", "dB", 0, 24, default=6),
        Control("attack", "ms", 0.1, 200, taper="log", default=5, positions={"fast": 0.5, "medium": 5.0, "slow": 50.0}),
        Control("release", "ms", 5, 2000, taper="log", default=150, positions={"fast": 30.0, "medium": 150.0, "slow": 1000.0}),
    )
)


def process(x: np.ndarray, sample_rate: int, setting: Setting) -> np.ndarray:
    """Audio (samples,) through the unit, at rest at the start, no make-up; float32 in and out."""

    def keep(milliseconds: float) -> float:
        return float(np.exp(-1 / (milliseconds * 1e-3 * sample_rate)))

    y = np.empty(len(x), np.float32)
    _run(
        np.ascontiguousarray(x, np.float32),
        setting["threshold"],
        1 - 1 / setting["ratio"],
        setting["knee"],
        keep(setting["attack"]),
        keep(setting["release"]),
        y,
    )
    return y


@kernel
def _run(x, threshold_db, slope, knee_db, attack, release, y):
    reduction_db = 0.0
    for i in range(len(x)):
        over_db = 20 * np.log10(abs(x[i]) + 1e-6) - threshold_db
        target_db = gain_computer.reduction_db(over_db, slope, knee_db)
        kept = attack if target_db > reduction_db else release
        reduction_db = kept * reduction_db + (1 - kept) * target_db
        y[i] = x[i] * 10 ** (-reduction_db / 20)
