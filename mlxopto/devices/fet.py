"""A virtual FET limiter (1176 type): a field-effect transistor in a feedback loop, very fast, and the more distorted the
faster.

The detector hears the output: full-wave rectified, compared with a fixed threshold, smoothed by the attack and release knobs
without a detector's hold, so that fast times follow single half waves. The loop makes the ratio: a side-chain slope of (ratio -
1) dB of reduction for every dB that the output is over the threshold, and an attack (1 + slope) times faster than its
capacitor's. The unit's buttons 4, 8, 12, 20 are a continuous knob here; all buttons at once are not modelled.
"""

from __future__ import annotations

import math

import numpy as np

from mlxopto.controls import Control, Panel, Setting
from mlxopto.devices import tube_stage
from mlxopto.native.compiler import kernel

DBU_AT_FULL_SCALE = 20.0
PANEL = Panel(
    (
        Control("input", "dB", 0, 40, default=20),
        Control("ratio", ":1", 4, 20, taper="log", default=4),
        Control("attack", "ms", 0.02, 0.8, taper="log", default=0.2, positions={"fast": 0.02, "medium": 0.13, "slow": 0.8}),
        Control("release", "ms", 50, 1100, taper="log", default=230, positions={"fast": 50.0, "medium": 230.0, "slow": 1100.0}),
    )
)
_THRESHOLD_DBFS = (-6.0, -3.0)  # at ratios 4 and 20: higher ratios have higher thresholds
_CHANNEL = 0.04  # second harmonic of the transistor's channel at full reduction, relative to full scale
_FULL_REDUCTION_DB = 20.0


def process(x: np.ndarray, sample_rate: int, setting: Setting) -> np.ndarray:
    """Audio (samples,) through the unit, at rest at the start, the input knob's gain taken back at the output; float32 in and
    out.
    """
    slope = setting["ratio"] - 1
    along = math.log(setting["ratio"] / 4) / math.log(5)
    low, high = _THRESHOLD_DBFS

    def rate(seconds: float) -> float:
        return float(-np.expm1(-1 / (seconds * sample_rate)))

    amplifier = tube_stage.stage(sample_rate, drive=0.15, bias=0.02, low_hz=8.0, high_hz=23000.0)
    y = np.empty(len(x), np.float32)
    _run(
        np.ascontiguousarray(x, np.float32),
        10 ** (setting["input"] / 20),
        low + (high - low) * along,
        slope,
        rate(setting["attack"] * 1e-3 * (1 + slope)),
        rate(setting["release"] * 1e-3),
        amplifier,
        y,
    )
    return y


@kernel
def _run(x, drive, threshold_db, slope, attack, release, amplifier, y):
    reduction_db, out = 0.0, 0.0
    state = np.zeros(2)
    for i in range(len(x)):
        over_db = 20 * np.log10(abs(out) + 1e-6) - threshold_db
        target_db = max(slope * over_db, 0.0)
        reduction_db += (attack if target_db > reduction_db else release) * (target_db - reduction_db)
        out = drive * x[i] * 10 ** (-reduction_db / 20)
        share = min(reduction_db / _FULL_REDUCTION_DB, 1.0)
        bent = out + _CHANNEL * share * out * out
        y[i] = tube_stage.amplify(bent, state, amplifier) / drive
