"""How well a model remembers light: its gain after short and long tones, against its virtual unit's.

    python -m tests.benchmarks.exposure la2a la2a-light cl1b cl1b-light

A tone of 1 kHz at -8 dBFS for 0.1, 1 or 6 s, then at -36 dBFS; the RMS difference of the gains in dB over the 4 s that
follow, at six settings, so 18 figures a model. No training heard these signals.
"""

from __future__ import annotations

import sys

import numpy as np

import mlxopto
from mlxopto.controls import Setting
from mlxopto.devices import Device, device
from tests.benchmarks.results import tell
from tests.devices.bench import FRAME, burst, gain_after, modelled

LOUD_DBFS, QUIET_DBFS = -8.0, -36.0
SECONDS, HEARD_S = (0.1, 1.0, 6.0), 4.0
SETTINGS: dict[str, list[Setting]] = {
    "la2a": [{"peak_reduction": knob, "mode": mode} for knob in (70.0, 85.0, 95.0) for mode in (0.0, 1.0)],
    "cl1b": [
        {"threshold": threshold, "ratio": 4.0, "attack": 20.0, "release": release}
        for threshold in (-20.0, -10.0, 0.0)
        for release in (80.0, 500.0)
    ],
}


def errors_db(model: Device, unit: Device) -> np.ndarray:
    """The 18 figures of a model in its unit's place, (tones, settings)."""
    found = np.zeros((len(SECONDS), len(SETTINGS[unit.name])))
    count, both = round(HEARD_S / FRAME), (unit, model)
    for row, seconds in enumerate(SECONDS):
        x = burst(LOUD_DBFS, QUIET_DBFS, seconds)
        for column, setting in enumerate(SETTINGS[unit.name]):
            device_db, model_db = (gain_after(device, setting, x, seconds)[:count] for device in both)
            found[row, column] = np.sqrt(np.mean((model_db - device_db) ** 2))
    return found


def main(names: list[str]) -> None:
    rows = []
    for name in names:
        model = mlxopto.load(name)
        unit = device(model.card.name)
        errors = errors_db(modelled(unit, model), unit)
        by_tone = [f"{np.mean(row):.2f}" for row in errors]
        rows.append((name, f"{errors.mean():.2f}", f"{errors.max():.2f}", *by_tone))
    columns = ["model", "mean of 18, dB", "worst", *(f"after {seconds:g} s" for seconds in SECONDS)]
    tell("Memory of light", columns, rows, "one training each")


if __name__ == "__main__":
    main(sys.argv[1:] or ["la2a", "la2a-light", "cl1b", "cl1b-light"])
