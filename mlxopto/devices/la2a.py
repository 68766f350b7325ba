"""A virtual Teletronix LA-2A: T4 cell, feedback side-chain, tube stage.

In Compress the side-chain hears the signal after the cell; in Limit a part comes from before it. The light rises with the drive
voltage to the power 2.5 above a threshold and both half waves light the panel, so that the closed loop's slope is
1 + 2.5 gamma = 3:1 (the unit: about 3:1).
"""

from __future__ import annotations

import numpy as np

from mlxopto.controls import Control, Panel, Setting
from mlxopto.devices import optical_cell, tube_stage
from mlxopto.native.compiler import kernel

DBU_AT_FULL_SCALE = 20.0
PANEL = Panel(
    (
        Control("peak_reduction", "", 0, 100, default=70, positions={"light": 55.0, "medium": 70.0, "heavy": 90.0}),
        Control("mode", "", 0, 1, taper="steps", default=0, positions={"compress": 0.0, "limit": 1.0}),
    )
)

# Thresholds at peak reduction 40, 60, 80, 100: fits to the SignalTrain LA-2A recordings, in Compress, published with 4A-2A.
# 0 to 30 continue the same potentiometer towards its closed end.
_KNOB = (0.0, 10.0, 20.0, 30.0, 40.0, 60.0, 80.0, 100.0)
_THRESHOLD_DBFS = (24.0, 6.0, -3.0, -8.8, -13.1, -16.9, -24.0, -35.3)
_LIGHT_POWER = 2.5  # electroluminescent panels: 1.5 to 2.5
_LIGHT_THRESHOLD = 0.1  # drive below which the panel stays dark
_GAMMA = 0.8  # cadmium-sulphide photoresistors: 0.7 to 0.9
_LIMIT_SHARE = 0.08  # how much of the drive comes from before the cell in Limit
_DRIVE_AT_THRESHOLD = 0.45  # drive at which a steady sine is reduced by about 1 dB


def process(x: np.ndarray, sample_rate: int, setting: Setting) -> np.ndarray:
    """Audio (samples,) through the unit, at rest at the start, unity make-up; float32 in and out."""
    threshold = np.interp(setting["peak_reduction"], _KNOB, _THRESHOLD_DBFS)
    drive = _DRIVE_AT_THRESHOLD / 10 ** (threshold / 20)
    cell = optical_cell.cell(
        sample_rate,
        fast_on_s=0.02,
        fast_off_s=0.032,
        slow_on_s=0.5,
        slow_off_s=(0.6, 6.0),
        memory_s=(2.0, 8.0),
        slow_share=0.16,
        gamma=_GAMMA,
    )
    # THD 0.25 % at +10 dBu, second harmonic dominant; -1 dB at 30 Hz and about -1 dB at 15 kHz
    tube = tube_stage.stage(sample_rate, drive=0.2, bias=0.08, low_hz=15.0, high_hz=20000.0)
    y = np.empty(len(x), np.float32)
    _run(np.ascontiguousarray(x, np.float32), drive, _LIMIT_SHARE * setting["mode"], cell, tube, y)
    return y


@kernel
def _run(x, drive, limit_share, cell, tube, y):
    state = np.zeros(3)
    tube_state = np.zeros(2)
    for i in range(len(x)):
        after = x[i] * optical_cell.gain_of(state, cell)
        voltage = drive * abs(limit_share * x[i] + (1 - limit_share) * after)
        light = max(voltage - _LIGHT_THRESHOLD, 0.0) ** _LIGHT_POWER
        optical_cell.expose(state, light, cell)
        y[i] = tube_stage.amplify(after, tube_state, tube)
