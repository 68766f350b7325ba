"""How pictures look, and the one of a render. Imports matplotlib, so import it only to draw."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mlxopto import files
from mlxopto.compressor import Compressor, Stream
from mlxopto.controls import Panel, Setting
from mlxopto.render import Overview

Process = Callable[[np.ndarray], np.ndarray]  # a signal to a compressor's output
INK, DEVICE, ACCENTS = "#333333", "#888888", ("#0b6e99", "#d9730d", "#6940a5", "#2f7d5b")
_TONE_HZ = 1000.0
LEVELS_DBFS = np.arange(-60.0, 0.1, 3.0)
STYLE: Any = {
    "font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": INK, "axes.labelcolor": INK,
    "axes.grid": True, "grid.alpha": 0.25, "legend.frameon": False, "text.parse_math": False,
    "figure.dpi": 120, "savefig.bbox": "tight",
}  # fmt: skip


def transfer_curve(process: Process, sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Steady output level over input level in dBFS (RMS of a sine plus 3), for a 1 kHz tone that climbs in 3 dB
    steps of one second.
    """
    t = np.arange(sample_rate) / sample_rate
    tone = np.sin(2 * np.pi * _TONE_HZ * t)
    stairs = np.concatenate([10 ** (level / 20) * tone for level in LEVELS_DBFS]).astype(np.float32)
    y = process(stairs).reshape(len(LEVELS_DBFS), sample_rate)[:, sample_rate // 2 :]
    return LEVELS_DBFS, 10 * np.log10(2 * np.mean(np.square(y, dtype=np.float64), axis=1) + 1e-12)


def model_curve(compressor: Compressor, setting: Setting) -> tuple[np.ndarray, np.ndarray]:
    """The transfer curve of a model at a setting."""
    return transfer_curve(Stream(compressor, 1, setting=setting), compressor.sample_rate)


def render_picture(
    path: Path, overviews: Mapping[str, Overview], compressor: Compressor, settings: Mapping[str, Setting]
) -> None:
    """Waveform, gain reduction and transfer curve of one or more renders of one input; labels name the renders."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(11, 6), layout="constrained")
        grid = figure.add_gridspec(2, 3)
        wave, gain, curve = (figure.add_subplot(grid[0, :2]), figure.add_subplot(grid[1, :2]), figure.add_subplot(grid[:, 2]))
        first = next(iter(overviews.values()))
        time = np.linspace(0, first.seconds, len(first.peak_in))
        wave.fill_between(time, -first.peak_in, first.peak_in, color="#cccccc", label="input", linewidth=0)
        for (label, overview), colour in zip(overviews.items(), cycle(ACCENTS), strict=False):
            wave.plot(time, overview.peak_out, color=colour, linewidth=0.8, label=label)
            wave.plot(time, -overview.peak_out, color=colour, linewidth=0.8)
            gain.plot(time, overview.gain_db, color=colour, linewidth=1.0, label=label)
            curve.plot(*model_curve(compressor, settings[label]), color=colour, linewidth=1.2, label=label)
        wave.set(title="Waveform", ylabel="peak", xlim=(0, first.seconds))
        gain.set(title="Gain reduction", xlabel="time (s)", ylabel="gain (dB)", xlim=(0, first.seconds))
        transfer_axes(curve)
        for axes in (wave, gain, curve):
            axes.legend(loc="lower right", fontsize=8)
        figure.suptitle(compressor.name, fontweight="bold")
        save(figure, path)


def transfer_axes(axes: Axes) -> None:
    axes.plot([-60, 0], [-60, 0], color="#bbbbbb", linewidth=0.8, linestyle=":")
    axes.set(title="Transfer curve, 1 kHz", xlabel="input (dBFS)", ylabel="output (dBFS)", xlim=(-60, 0))


def short(panel: Panel, setting: Setting) -> str:
    """A setting in three digits, for a legend."""
    return ", ".join(f"{c.name} {c.format(float(f'{setting[c.name]:.3g}'))}" for c in panel.controls)


def save(figure: Figure, path: Path) -> None:
    """Writes a figure as its path's ending says, whole or not at all."""
    with files.replacing(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:].lower() or "png")
