"""The pictures of a comparison. Imports matplotlib, so import it only to draw."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from mlxopto.data.takes import Take
from mlxopto.metrics import gain_db
from mlxopto.plots import ACCENTS, DEVICE, STYLE, save


def gain_picture(path: Path, take: Take, outputs: Mapping[str, np.ndarray], sample_rate: int) -> None:
    """What the target did to the level over time, and what each model did."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10, 2.6), layout="constrained")
        axes = figure.subplots()
        for (name, signal), colour in zip({"target": take.y, **outputs}.items(), cycle((DEVICE, *ACCENTS)), strict=False):
            gain = gain_db(take.x, signal, sample_rate)
            axes.plot(np.arange(len(gain)) * 0.01, gain, color=colour, linewidth=2.0 if name == "target" else 0.9, label=name)
        axes.set(xlabel="time (s)", ylabel="gain (dB)")
        axes.legend(loc="lower right")
        save(figure, path)


def eval_picture(path: Path, document: Mapping[str, Any]) -> None:
    """ESR and gain error of every model on seen and unseen settings: means with their 95 % intervals, and every take."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10, 1.2 + 0.9 * len(document["models"])), layout="constrained")
        for axes, metric, label in zip(
            figure.subplots(1, 2), ("esr", "gain_error_db"), ("ESR", "gain error (dB)"), strict=True
        ):
            for place, model in enumerate(document["models"]):
                for split, colour, shift in (("seen", DEVICE, 0.15), ("unseen", ACCENTS[0], -0.15)):
                    if metric not in model[split]:
                        continue
                    summary = model[split][metric]
                    takes = [pair[model["name"]][metric] for pair in document["pairs"] if pair["split"] == split]
                    axes.plot(takes, [place + shift] * len(takes), ".", color=colour, alpha=0.4, markersize=4)
                    axes.plot(summary["ci95"], [place + shift] * 2, color=colour, linewidth=2)
                    axes.plot(summary["mean"], place + shift, "o", color=colour, label=split if not place else None)
            axes.set(xlabel=label, yticks=range(len(document["models"])), yticklabels=[m["name"] for m in document["models"]])
            axes.set_ylim(-0.5, len(document["models"]) - 0.5)
        figure.axes[0].set_xscale("log")
        figure.axes[0].xaxis.set_major_formatter(lambda value, _: f"{value:.0e}")
        figure.axes[0].legend()
        save(figure, path)
