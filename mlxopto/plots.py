"""Pictures: a render at a glance, and a training run against its device. Imports matplotlib, so import it only to draw."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from mlxopto import files
from mlxopto.compressor import Compressor, Stream
from mlxopto.controls import Panel, Setting
from mlxopto.data.takes import Take
from mlxopto.metrics import gain_db
from mlxopto.models import Network
from mlxopto.render import Overview
from mlxopto.training.scores import render_takes
from mlxopto.weights import Card

Curve = Callable[[Setting], np.ndarray]  # a setting's output levels at _LEVELS_DBFS
INK, DEVICE, ACCENTS = "#333333", "#888888", ("#0b6e99", "#d9730d", "#6940a5", "#2f7d5b")
_TONE_HZ = 1000.0
_LEVELS_DBFS = np.arange(-60.0, 0.1, 3.0)
STYLE: Any = {
    "font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": INK, "axes.labelcolor": INK,
    "axes.grid": True, "grid.alpha": 0.25, "legend.frameon": False, "text.parse_math": False, "figure.dpi": 120, "savefig.bbox": "tight",
}  # fmt: skip


def transfer_curve(compressor: Compressor, setting: Setting) -> tuple[np.ndarray, np.ndarray]:
    """Steady output level over input level in dBFS (RMS of a sine plus 3), for a 1 kHz tone that climbs in 3 dB steps of one second."""
    step = compressor.sample_rate
    t = np.arange(step) / step
    tone = np.sin(2 * np.pi * _TONE_HZ * t)
    stairs = np.concatenate([10 ** (level / 20) * tone for level in _LEVELS_DBFS])
    y = Stream(compressor, 1, setting=setting)(stairs).reshape(len(_LEVELS_DBFS), step)[:, step // 2 :]
    return _LEVELS_DBFS, 10 * np.log10(2 * np.mean(np.square(y, dtype=np.float64), axis=1) + 1e-12)


def bench_picture(path: Path, result: Mapping[str, Any]) -> None:
    """What a sample costs: the engine over the size of its blocks, MLX over the length of its sequences."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10, 4), layout="constrained")
        blocks, lengths = figure.subplots(1, 2, sharey=True)
        for channels, colour in zip((1, 2), ACCENTS, strict=False):
            rows = [row for row in result["engine"] if row["channels"] == channels]
            costs = [row["ns_per_sample"] for row in rows]
            blocks.plot(
                [row["block"] for row in rows], costs, "o-", color=colour, label=f"{channels} channel{'s' * (channels > 1)}"
            )
        blocks.set(xlabel="samples in a block", ylabel="ns a sample", title="engine")
        for device, colour in zip(sorted({row["device"] for row in result["mlx"]}), ACCENTS, strict=False):
            rows = [row for row in result["mlx"] if row["device"] == device]
            for key, style in (("forward_ns_per_sample", "o-"), ("train_ns_per_sample", "o--")):
                points = [(row["length"], row[key]) for row in rows if row[key] is not None]
                lengths.plot(*zip(*points, strict=True), style, color=colour, label=f"{device}, {key.partition('_')[0]}")
        lengths.set(xlabel="samples in a sequence", title="MLX, a batch of one")
        for axes in (blocks, lengths):
            axes.set_xscale("log", base=2)
            axes.set_yscale("log")
            axes.xaxis.set_major_formatter(lambda value, _: _binary(value))
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_minor_locator(NullLocator())
            axes.legend()
        figure.suptitle(result["machine"], fontsize=9, color=DEVICE)
        save(figure, path)


def _binary(count: float) -> str:
    """64, 4 k, 1 M: powers of two."""
    for unit, size in (("M", 1 << 20), ("k", 1 << 10)):
        if count >= size:
            return f"{count / size:g} {unit}"
    return f"{count:g}"


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
            curve.plot(*transfer_curve(compressor, settings[label]), color=colour, linewidth=1.2, label=label)
        wave.set(title="Waveform", ylabel="peak", xlim=(0, first.seconds))
        gain.set(title="Gain reduction", xlabel="time (s)", ylabel="gain (dB)", xlim=(0, first.seconds))
        _transfer_axes(curve)
        for axes in (wave, gain, curve):
            axes.legend(loc="lower right", fontsize=8)
        figure.suptitle(compressor.name, fontweight="bold")
        save(figure, path)


def training_pictures(
    folder: Path, model: Network, card: Card, log: Path | None, takes: Sequence[Take], device_curve: Curve | None = None
) -> None:
    """loss.png (given a log), transfer.png and gain_reduction.png; `device_curve` is drawn beside the model's transfer curves."""
    with matplotlib.rc_context(STYLE):
        if log:
            save(_loss_figure(log), folder / "loss.png")
        settings = [take.setting for take in takes[:: max(1, len(takes) // 4)]][:4]
        save(_transfer_figure(Compressor(model, card), settings, device_curve), folder / "transfer.png")
        save(_gain_figure(model, card, takes[:: max(1, len(takes) // 4)][:4]), folder / "gain_reduction.png")


def _loss_figure(log: Path) -> Figure:
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    figure = Figure(figsize=(8, 5), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    steps = [line for line in lines if "loss" in line]
    for name, colour in zip(("waveform", "gain"), ACCENTS, strict=False):
        upper.semilogy(
            [line["step"] for line in steps], [line[name] for line in steps], color=colour, linewidth=0.7, label=f"{name} loss"
        )
    checks = [line for line in lines if "validation" in line]
    at = [line["step"] for line in checks]
    lower.semilogy(
        at, [line["validation"]["esr_median"] for line in checks], "o-", markersize=3, color=ACCENTS[0], label="ESR, median"
    )
    lower.semilogy(
        at,
        [line["validation"]["gain_error_db_rms"] for line in checks],
        "o-",
        markersize=3,
        color=ACCENTS[1],
        label="gain error (dB RMS), median",
    )
    upper.set(title="Training")
    lower.set(title="Validation", xlabel="step")
    for axes in (upper, lower):
        axes.legend()
    return figure


def _transfer_figure(compressor: Compressor, settings: Sequence[Setting], truth: Curve | None) -> Figure:
    figure = Figure(figsize=(5.5, 5), layout="constrained")
    axes = figure.subplots()
    for setting, colour in zip(settings, ACCENTS, strict=False):
        axes.plot(*transfer_curve(compressor, setting), color=colour, label=_short(compressor.panel, setting))
        if truth is not None:
            axes.plot(_LEVELS_DBFS, truth(setting), "--", color=colour, linewidth=0.8)
    _transfer_axes(axes)
    axes.legend(fontsize=7, loc="lower right", title="dashed: the virtual device" if truth is not None else None)
    return figure


def _gain_figure(model: Network, card: Card, takes: Sequence[Take]) -> Figure:
    figure = Figure(figsize=(10, 2.2 * len(takes)), layout="constrained")
    rows = figure.subplots(len(takes), 1, squeeze=False)[:, 0]
    for axes, take, y in zip(rows, takes, render_takes(model, card.panel, card.sample_rate, takes), strict=True):
        for signal, colour, label in ((take.y, DEVICE, "device"), (y, ACCENTS[0], "model")):
            gain = gain_db(take.x, signal, card.sample_rate)
            axes.plot(np.arange(len(gain)) * 0.01, gain, color=colour, linewidth=2.0 if label == "device" else 0.9, label=label)
        axes.set(title=_short(card.panel, take.setting), ylabel="gain (dB)")
    rows[0].legend(loc="lower right")
    rows[-1].set(xlabel="time (s)")
    return figure


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


def virtual_transfer_curve(name: str, sample_rate: int) -> Curve:
    """From a setting to the virtual device's output levels, as `transfer_curve` measures them."""
    from mlxopto.devices import DEVICES

    def curve(setting: Setting) -> np.ndarray:
        t = np.arange(sample_rate) / sample_rate
        tone = np.sin(2 * np.pi * _TONE_HZ * t)
        stairs = np.concatenate([10 ** (level / 20) * tone for level in _LEVELS_DBFS]).astype(np.float32)
        y = DEVICES[name].process(stairs, sample_rate, setting).reshape(len(_LEVELS_DBFS), -1)[:, sample_rate // 2 :]
        return np.asarray(10 * np.log10(2 * np.mean(np.square(y, dtype=np.float64), axis=1) + 1e-12))

    return curve


def _short(panel: Panel, setting: Setting) -> str:
    """A setting in three digits, for a legend."""
    return ", ".join(f"{c.name} {c.format(float(f'{setting[c.name]:.3g}'))}" for c in panel.controls)


def _transfer_axes(axes: Axes) -> None:
    axes.plot([-60, 0], [-60, 0], color="#bbbbbb", linewidth=0.8, linestyle=":")
    axes.set(title="Transfer curve, 1 kHz", xlabel="input (dBFS)", ylabel="output (dBFS)", xlim=(-60, 0))


def save(figure: Figure, path: Path) -> None:
    """Writes a figure as its path's ending says, whole or not at all."""
    with files.replacing(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:].lower() or "png")
