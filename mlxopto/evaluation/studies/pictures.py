"""The pictures of the studies. Imports matplotlib, so import it only to draw."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from mlxopto.plots import ACCENTS, DEVICE, STYLE, save

_METRICS = (("esr", "ESR"), ("gain_error_db", "gain error (dB)"))


def networks(path: Path, document: Mapping[str, Any]) -> None:
    """Errors on unseen settings, a panel a set of data: means with their intervals."""
    names = list(dict.fromkeys(row["data"] for row in document["rows"]))
    archs = list(dict.fromkeys(row["arch"] for row in document["rows"]))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10, 0.8 + 0.26 * len(archs) * len(names)), layout="constrained")
        grid = figure.subplots(len(names), 2, squeeze=False, sharex="col")
        for panels, data in zip(grid, names, strict=True):
            rows = {row["arch"]: row["unseen"] for row in document["rows"] if row["data"] == data and row["unseen"]}
            for axes, (metric, _) in zip(panels, _METRICS, strict=True):
                for place, arch in enumerate(archs):
                    if arch in rows:
                        colour = ACCENTS[0] if arch == "opto" else ACCENTS[1] if arch == "s6_paper" else DEVICE
                        axes.plot(rows[arch][f"{metric}_ci95"], [place, place], color=colour, linewidth=2)
                        axes.plot(rows[arch][metric], place, "o", color=colour)
                axes.set(yticks=range(len(archs)), yticklabels=archs, title=data)
                axes.invert_yaxis()
        for axes, (_, label) in zip(grid[-1], _METRICS, strict=True):
            axes.set(xlabel=f"{label}, unseen settings")
        for axes in grid.flat:
            _logarithmic(axes, "x")
        save(figure, path)


def density(path: Path, document: Mapping[str, Any]) -> None:
    """Errors on seen and unseen settings over the number of settings trained on, a dot a run."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10, 3.6 * len(document["data"])), layout="constrained")
        for panels, found in zip(figure.subplots(len(document["data"]), 2, squeeze=False), document["data"], strict=True):
            settings = np.array([point["settings"] for point in found["points"]])
            for axes, (metric, label) in zip(panels, _METRICS, strict=True):
                for split, colour in (("seen", DEVICE), ("unseen", ACCENTS[0])):
                    errors = np.array([point[f"{split}_{metric}"] for point in found["points"]])
                    axes.plot(settings, errors, "o", color=colour, markersize=4, alpha=0.6)
                    means = [mean[split][metric] for mean in found["means"]]
                    axes.plot([mean["settings"] for mean in found["means"]], means, color=colour, label=split)
                c = found["correlations"][f"unseen_{metric}"]
                low, high = c["ci95"]
                title = f"unseen: Spearman {c['spearman']:.2f} ({low:.2f} to {high:.2f}), p {c['p']:.1g}"
                axes.set(xlabel="settings trained on", ylabel=label, title=f"{found['device']}, {title}")
                axes.set_xscale("log", base=2)
                axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
                axes.set_xticks(np.unique(settings))
                _logarithmic(axes, "y")
                axes.legend()
        save(figure, path)


def error_map(path: Path, found: Mapping[str, Any]) -> None:
    """ESR and gain error over the positions of two knobs."""
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(10, 4), layout="constrained")
        for axes, (metric, label) in zip(figure.subplots(1, 2), _METRICS, strict=True):
            values = np.maximum(found[metric], 1e-6)  # a colour for no error at all
            image = axes.imshow(np.log10(values), origin="lower", aspect="auto", cmap="viridis")
            for (row, column), value in np.ndenumerate(values):
                text = f"{value:.0e}".replace("e-0", "e-") if metric == "esr" else f"{value:.2f}"
                share = float(image.norm(np.log10(value)))
                axes.text(column, row, text, ha="center", va="center", fontsize=6, color="black" if share > 0.6 else "white")
            first, second = (labels for labels in found["labels"])
            axes.set(title=label, xlabel=found["knobs"][1], ylabel=found["knobs"][0])
            axes.set_yticks(range(len(first)), first)
            axes.set_xticks(range(len(second)), second, rotation=30)
        save(figure, path)


def units(path: Path, document: Mapping[str, Any]) -> None:
    """Errors on unseen settings by unit: every take, and the mean with its interval."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10, 1 + 0.5 * len(document["rows"])), layout="constrained")
        for axes, (metric, label) in zip(figure.subplots(1, 2, sharey=True), _METRICS, strict=True):
            for place, row in enumerate(document["rows"]):
                axes.plot(row["takes"][metric], [place] * len(row["takes"][metric]), ".", color=DEVICE, alpha=0.4, markersize=4)
                axes.plot(row["unseen"][f"{metric}_ci95"], [place, place], color=ACCENTS[0], linewidth=2)
                axes.plot(row["unseen"][metric], place, "o", color=ACCENTS[0])
            axes.set(yticks=range(len(document["rows"])), yticklabels=[row["title"] for row in document["rows"]])
            axes.set(xlabel=f"{label}, unseen settings")
            _logarithmic(axes, "x")
        figure.axes[0].invert_yaxis()
        save(figure, path)


def latency(path: Path, document: Mapping[str, Any]) -> None:
    """Times real time over the samples handed over at once, a line a network and device."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8, 4.5), layout="constrained")
        axes = figure.subplots()
        lines = dict.fromkeys((row["name"], row["device"]) for row in document["rows"])
        for (name, where), colour in zip(lines, cycle((*ACCENTS, DEVICE)), strict=False):
            rows = [row for row in document["rows"] if (row["name"], row["device"]) == (name, where)]
            style = "o-" if "native" in name else "--" if where == "cpu" else ":"
            label = name if where == "cpu" else f"{name} on the {where}"
            axes.plot([r["samples"] for r in rows], [r["real_time_factor"] for r in rows], style, color=colour, label=label)
        axes.axhline(1, color=DEVICE, linewidth=0.8)
        axes.set(xlabel="samples handed over at once", ylabel="times real time")
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        _logarithmic(axes, "y")
        axes.legend(fontsize=7, ncols=2)
        figure.suptitle(document["machine"], fontsize=9, color=DEVICE)
        save(figure, path)


def _logarithmic(axes: Axes, which: str) -> None:
    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    low, high = axes.get_xlim() if which == "x" else axes.get_ylim()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 1000 * low else (1,)))
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_minor_locator(NullLocator())
