"""Draws how the virtual devices and the shipped models behave: `python -m tests.benchmarks.device_pictures .github/media`."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

import mlxopto
from mlxopto.devices import DEVICES, Device
from tests.devices.bench import burst, gain_after, harmonic, modelled, static_gain_db

Curves = dict[str, dict[str, float]]  # settings by label
LEVELS = np.arange(-60, 1, 4)


def pair(axes: Axes, x: np.ndarray, device: np.ndarray, model: np.ndarray, label: str) -> None:
    """A line for the device and a dashed one, darker, for the model."""
    (line,) = axes.plot(x, device, linewidth=3, alpha=0.45, label=label)
    axes.plot(x, model, "--", linewidth=1.2, color=line.get_color())


def draw(
    path: Path, device: Device, statics: Curves, attacks: Curves, memory: dict[str, float], clean: dict[str, float]
) -> None:
    """Static curves, attacks, release after a burst and after a held tone, harmonics against level: the device, dashed the
    model.
    """
    both = (device, modelled(device, mlxopto.load(device.name)))
    figure, ((static, attack), (release, harmonics)) = plt.subplots(2, 2, figsize=(10, 7), layout="constrained")
    for label, setting in statics.items():
        pair(static, LEVELS, *([level + static_gain_db(unit, setting, level) for level in LEVELS] for unit in both), label)
    static.set(title="Static curve, 1 kHz", xlabel="input (dBFS)", ylabel="output (dBFS)")
    for label, setting in attacks.items():
        pair(attack, np.arange(60) * 10, *(gain_after(unit, setting, burst(-8, -60, 1.0), 0.0)[:60] for unit in both), label)
    attack.set(title="Attack: a tone of -8 dBFS begins", xlabel="time (ms)", ylabel="gain (dB)")
    for label, seconds in {"after a burst of 0.1 s": 0.1, "after 1 s": 1.0, "after 6 s": 6.0}.items():
        gains = [gain_after(unit, memory, burst(-8, -36, seconds), seconds)[:400] for unit in both]
        pair(release, np.arange(400) * 0.01, *(gain / gain[0] for gain in gains), label)
    release.set(title="Release depends on history", xlabel="time (s)", ylabel="share of the reduction left", ylim=(0, 1))
    levels = np.arange(-40, 1, 5)
    for order in (2, 3):
        pair(
            harmonics,
            levels,
            *([100 * harmonic(unit, clean, level, order) for level in levels] for unit in both),
            f"harmonic {order}",
        )
    harmonics.set(yscale="log", title="Harmonics of 1 kHz, no reduction", xlabel="level (dBFS)", ylabel="% of the fundamental")
    for axes in (static, attack, release, harmonics):
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, fontsize=8)
    figure.suptitle(f"{device.title}, and the shipped model (dashed)", fontweight="bold")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main(folder: Path) -> None:
    cl1b, la2a = DEVICES["cl1b"], DEVICES["la2a"]

    def knobs(**values: float) -> dict[str, float]:
        return cl1b.panel.setting({"threshold": -10, "ratio": 4, "attack": 5, "release": 50, **values})

    draw(
        folder / "virtual-cl1b.png",
        cl1b,
        {f"{ratio}:1": knobs(ratio=ratio) for ratio in (2, 4, 10)},
        {f"attack {attack:g} ms": knobs(attack=attack) for attack in (0.5, 20, 150)},
        knobs(threshold=-5),
        knobs(threshold=20),
    )
    draw(
        folder / "virtual-la2a.png",
        la2a,
        {
            f"{mode}, {knob}": {"peak_reduction": knob, "mode": m}
            for m, mode in enumerate(("compress", "limit"))
            for knob in (60, 80, 100)
        },
        {f"peak reduction {knob}": {"peak_reduction": knob, "mode": 0} for knob in (60, 80, 100)},
        {"peak_reduction": 80, "mode": 0},
        {"peak_reduction": 0, "mode": 0},
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
