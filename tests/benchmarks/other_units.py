"""Units of a kind that are not the shipped ones: virtual devices with other constants, as calibration meets them.

What differs: how the knobs are mounted, the cell's times and exponent, its slow share, tube drive, bias and response, levels
in and out, a delay of a fraction of a sample, noise at -70 dBFS. The light's power and thresholds stand in native code and
stay; the cell's exponent moves the slope with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import numpy as np

from mlxopto.controls import Panel, Setting
from mlxopto.data import program
from mlxopto.data.delay import advanced
from mlxopto.data.takes import Take
from mlxopto.devices import device, optical_cell, tube_stage
from mlxopto.matching import starts

RATE = 48000
NOISE_DBFS, MOUNTED = -70.0, 0.1  # half travels by which a knob is off, as a standard deviation
TIMES, GAMMA, SLOW_SHARE = 0.25, 0.06, 0.2  # logarithms, standard deviations
LEVEL_IN_DB, LEVEL_OUT_DB = 3.0, 6.0
DRIVE, LOW_HZ, HIGH_HZ = 0.7, 0.4, 0.3  # logarithms


@dataclass(frozen=True)
class OtherUnit:
    """A unit of a kind, told by its seed."""

    kind: str
    seed: int

    def take(self, seconds: float) -> Take:
        """Music through the unit, set somewhere in the middle of its panel."""
        rng = np.random.default_rng([self.seed, 1])
        panel = device(self.kind).panel
        knobs = np.array([rng.uniform(-0.4, 0.6) if c.taper != "steps" else rng.choice([-1.0, 1.0]) for c in panel.controls])
        setting = _setting(panel, knobs)
        x = np.float32(10 ** (rng.uniform(-6, 0) / 20)) * program.generate(seconds, RATE, 1000 + self.seed)
        return Take(x, self.process(x, knobs), setting)

    def process(self, x: np.ndarray, knobs: np.ndarray) -> np.ndarray:
        """Audio (samples,) through the unit with its knobs at (knobs,), -1 to 1."""
        rng, kind = np.random.default_rng(self.seed), device(self.kind)
        panel = kind.panel
        turnable = starts.turnable(panel)
        setting = _setting(panel, np.clip(knobs + MOUNTED * turnable * rng.standard_normal(len(knobs)), -1, 1))

        def spread(value: Any, width: float) -> Any:
            return np.exp(width * rng.standard_normal()) * np.asarray(value)

        def cell(rate: int, **constants: Any) -> np.ndarray:
            widths = dict.fromkeys(constants, TIMES) | {"gamma": GAMMA, "slow_share": SLOW_SHARE}
            return _cell(rate, **{name: spread(value, widths[name]) for name, value in constants.items()})

        def stage(rate: int, **constants: Any) -> np.ndarray:
            widths = {"drive": DRIVE, "bias": DRIVE, "low_hz": LOW_HZ, "high_hz": HIGH_HZ}
            return _stage(rate, **{name: float(spread(value, widths[name])) for name, value in constants.items()})

        level_in, level_out = (10 ** (width * rng.standard_normal() / 20) for width in (LEVEL_IN_DB, LEVEL_OUT_DB))
        with patch.object(optical_cell, "cell", cell), patch.object(tube_stage, "stage", stage):
            y = level_out * kind.process(np.float32(level_in) * x, RATE, setting)
        noise = 10 ** (NOISE_DBFS / 20) * rng.standard_normal(len(x))
        return advanced(y, -rng.uniform(0, 1)) + noise.astype(np.float32)


_cell, _stage = optical_cell.cell, tube_stage.stage


def _setting(panel: Panel, knobs: np.ndarray) -> Setting:
    return panel.setting({c.name: c.denormalise(at) for c, at in zip(panel.controls, knobs, strict=True)})
