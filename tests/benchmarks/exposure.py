"""How well a model remembers light: its gain after short and long tones, against its virtual unit's.

    python -m tests.benchmarks.exposure la2a la2a-light cl1b cl1b-light

A tone of 1 kHz at -8 dBFS for 0.1, 1 or 6 s, then at -36 dBFS; the RMS difference of the gains in dB over the 4 s that
follow, at six settings, so 18 figures a model. No training heard these signals; its material has other exposures in it.
"""

from __future__ import annotations

import sys

import mlx.core as mx
import numpy as np

import mlxopto
from mlxopto.controls import Setting
from mlxopto.devices import Device, device
from mlxopto.models import Network
from tests.benchmarks.results import tell

RATE, TONE_HZ, LOUD_DBFS, QUIET_DBFS = 48000, 1000.0, -8.0, -36.0
SECONDS, HEARD_S, POINT_S = (0.1, 1.0, 6.0), 4.0, 0.01
SETTINGS: dict[str, list[Setting]] = {
    "la2a": [{"peak_reduction": knob, "mode": mode} for knob in (70.0, 85.0, 95.0) for mode in (0.0, 1.0)],
    "cl1b": [
        {"threshold": threshold, "ratio": 4.0, "attack": 20.0, "release": release}
        for threshold in (-20.0, -10.0, 0.0)
        for release in (80.0, 500.0)
    ],
}


def exposure(seconds: float) -> np.ndarray:
    """The tone, float32 (samples,)."""
    levels = np.repeat([LOUD_DBFS, QUIET_DBFS], [round(seconds * RATE), round((HEARD_S + 0.1) * RATE)])
    t = np.arange(len(levels)) / RATE
    return (10 ** (levels / 20) * np.sin(2 * np.pi * TONE_HZ * t)).astype(np.float32)


def gain_after(x: np.ndarray, y: np.ndarray, seconds: float) -> np.ndarray:
    """Gain in dB every 10 ms from the end of the tone on."""
    point, count = round(POINT_S * RATE), round(HEARD_S / POINT_S)

    def level(signal: np.ndarray) -> np.ndarray:
        part = signal[round(seconds * RATE) :][: count * point].astype(np.float64).reshape(count, point)
        return 10 * np.log10(np.mean(np.square(part), axis=1) + 1e-16)

    return level(y) - level(x)


def errors_db(model: Network, unit: Device) -> np.ndarray:
    """The 18 figures, (exposures, settings)."""
    found = np.zeros((len(SECONDS), len(SETTINGS[unit.name])))
    knobs = mx.array([unit.panel.normalise(setting) for setting in SETTINGS[unit.name]])
    for row, seconds in enumerate(SECONDS):
        x = exposure(seconds)
        estimate, _ = model(mx.array(np.tile(x, (len(knobs), 1))), knobs)
        for column, setting in enumerate(SETTINGS[unit.name]):
            gains = (gain_after(x, y, seconds) for y in (unit.process(x, RATE, setting), np.array(estimate[column])))
            found[row, column] = np.sqrt(np.mean(np.square(np.subtract(*gains))))
    return found


def main(names: list[str]) -> None:
    rows = []
    for name in names:
        model = mlxopto.load(name)
        errors = errors_db(model.model, device(model.card.name))
        by_tone = [f"{np.mean(row):.2f}" for row in errors]
        rows.append((name, f"{errors.mean():.2f}", f"{errors.max():.2f}", *by_tone))
    columns = ["model", "mean of 18, dB", "worst", *(f"after {seconds:g} s" for seconds in SECONDS)]
    tell("Memory of light", columns, rows, "one training each")


if __name__ == "__main__":
    mx.set_default_device(mx.cpu)
    main(sys.argv[1:] or ["la2a", "la2a-light", "cl1b", "cl1b-light"])
