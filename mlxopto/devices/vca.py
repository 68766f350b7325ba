"""A virtual VCA bus compressor: feed-forward, a detector of the mean square, and a release that can look after itself.

The voltage-controlled amplifier itself is nearly clean. With auto release, two stores discharge side by side: a fast one for
peaks and a slow one that long passages fill. The unit's stepped knobs are continuous here.
"""

from __future__ import annotations

import numpy as np

from mlxopto.controls import Control, Panel, Setting
from mlxopto.devices import gain_computer
from mlxopto.native.compiler import kernel

DBU_AT_FULL_SCALE = 20.0
PANEL = Panel(
    (
        Control("threshold", "dBu", -15, 15, default=0),
        Control("ratio", ":1", 2, 10, taper="log", default=4),
        Control("attack", "ms", 0.1, 30, taper="log", default=3, positions={"fast": 0.1, "medium": 3.0, "slow": 30.0}),
        Control(
            "release", "ms", 100, 1200, taper="log", default=300, positions={"fast": 100.0, "medium": 300.0, "slow": 1200.0}
        ),
        Control("auto", "", 0, 1, taper="steps", default=0, positions={"off": 0.0, "on": 1.0}),
    )
)
_MEAN_S = 0.003  # of the detector's mean square
_KNEE_DB = 6.0
_AUTO_FAST_S, _AUTO_SLOW_S, _AUTO_FILL_S = 0.12, 5.0, 1.5
_CURVE = 0.01  # third harmonic of the amplifier, relative to full scale cubed


def process(x: np.ndarray, sample_rate: int, setting: Setting) -> np.ndarray:
    """Audio (samples,) through the unit, at rest at the start, unity make-up; float32 in and out."""

    def rate(seconds: float) -> float:
        return float(-np.expm1(-1 / (seconds * sample_rate)))

    y = np.empty(len(x), np.float32)
    _run(
        np.ascontiguousarray(x, np.float32),
        setting["threshold"] - DBU_AT_FULL_SCALE,
        1 - 1 / setting["ratio"],
        rate(_MEAN_S),
        rate(setting["attack"] * 1e-3),
        rate(setting["release"] * 1e-3),
        setting["auto"] > 0,
        np.array([rate(_AUTO_FAST_S), rate(_AUTO_SLOW_S), rate(_AUTO_FILL_S)]),
        y,
    )
    return y


@kernel
def _run(x, threshold_db, slope, mean, attack, release, auto, auto_rates, y):
    power, fast_db, slow_db = 0.0, 0.0, 0.0
    fast_off, slow_off, slow_on = auto_rates
    for i in range(len(x)):
        power += mean * (x[i] * x[i] - power)
        over_db = 10 * np.log10(2 * power + 1e-12) - threshold_db  # a sine's peak level
        target_db = gain_computer.reduction_db(over_db, slope, _KNEE_DB)
        if auto:
            slow_db += (slow_on if target_db > slow_db else slow_off) * (target_db - slow_db)
            rest = max(slow_db, target_db)  # the fast store falls back to what the slow one holds
            fast_db += (attack if target_db > fast_db else fast_off) * (rest - fast_db)
        else:
            fast_db += (attack if target_db > fast_db else release) * (target_db - fast_db)
        out = x[i] * 10 ** (-fast_db / 20)
        y[i] = out - _CURVE * out * out * out
