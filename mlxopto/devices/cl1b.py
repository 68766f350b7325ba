"""A virtual Tube-Tech CL 1B: side-chain with threshold, ratio, attack and release in front of an optical gain element, tube
stage.

The manual defines the threshold as the level where the gain is reduced by 1 dB, and the ratio by the slope above it. A
quadratic knee of 8 dB / (1 - 1 / ratio) meets both. The side-chain shapes the element's light so that its static curve is the
knob's; the element's own lag and memory add to the knobs' times.
"""

from __future__ import annotations

import numpy as np

from mlxopto.controls import Control, Panel, Setting
from mlxopto.devices import gain_computer, optical_cell, tube_stage
from mlxopto.native.compiler import kernel

DBU_AT_FULL_SCALE = 20.0
PANEL = Panel(
    (
        Control("threshold", "dBu", -40, 20, default=0),
        Control("ratio", ":1", 2, 10, taper="log", default=4),
        Control("attack", "ms", 0.5, 300, taper="log", default=20, positions={"fast": 1.0, "medium": 20.0, "slow": 150.0}),
        Control(
            "release", "ms", 50, 10000, taper="log", default=500, positions={"fast": 80.0, "medium": 500.0, "slow": 4000.0}
        ),
    )
)
_DETECTOR_HOLD_S = 0.012  # the rectifier's capacitor: bridges the gaps between half waves down to about 40 Hz
_GAMMA = 0.8  # cadmium-sulphide photoresistors: 0.7 to 0.9
_KNEE_DB = 8.0  # times 1 / (1 - 1 / ratio): 1 dB of reduction at the threshold (manual)


def process(x: np.ndarray, sample_rate: int, setting: Setting) -> np.ndarray:
    """Audio (samples,) through the unit, at rest at the start, unity make-up; float32 in and out."""

    def rate(seconds: float) -> float:
        return float(-np.expm1(-1 / (seconds * sample_rate)))

    cell = optical_cell.cell(
        sample_rate,
        fast_on_s=0.0006,
        fast_off_s=0.02,
        slow_on_s=0.6,
        slow_off_s=(0.8, 4.0),
        memory_s=(2.0, 8.0),
        slow_share=0.01,
        gamma=_GAMMA,
    )
    # push-pull: even harmonics mostly cancel; 5 Hz to beyond 20 kHz within 3 dB
    tube = tube_stage.stage(sample_rate, drive=0.2, bias=0.03, low_hz=5.0, high_hz=21000.0)
    slope = 1 - 1 / setting["ratio"]
    y = np.empty(len(x), np.float32)
    _run(
        np.ascontiguousarray(x, np.float32),
        setting["threshold"] - DBU_AT_FULL_SCALE,
        slope,
        _KNEE_DB / slope,
        rate(setting["attack"] * 1e-3),
        rate(setting["release"] * 1e-3),
        1 - rate(_DETECTOR_HOLD_S),
        cell,
        tube,
        y,
    )
    return y


@kernel
def _run(x, threshold_db, slope, knee_db, attack, release, hold, cell, tube, y):
    level, control_db = 0.0, 0.0
    state = np.zeros(3)
    tube_state = np.zeros(2)
    for i in range(len(x)):
        level = max(abs(x[i]), level * hold)
        target_db = gain_computer.reduction_db(20 * np.log10(level + 1e-6) - threshold_db, slope, knee_db)
        control_db += (attack if target_db > control_db else release) * (target_db - control_db)
        light = max(10 ** (control_db / 20) - 1, 0.0) ** (1 / _GAMMA)
        optical_cell.expose(state, light, cell)
        y[i] = tube_stage.amplify(x[i] * optical_cell.gain_of(state, cell), tube_state, tube)
