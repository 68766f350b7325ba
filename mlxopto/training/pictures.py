"""The pictures of a training run: its losses, and the model against its device.

Imports matplotlib, so import it only to draw.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from mlxopto.compressor import Compressor
from mlxopto.controls import Setting
from mlxopto.data.takes import Take
from mlxopto.devices import DEVICES
from mlxopto.metrics import gain_db
from mlxopto.models import Network
from mlxopto.plots import ACCENTS, DEVICE, STYLE, model_curve, save, short, transfer_axes, transfer_curve
from mlxopto.training.scores import render_takes
from mlxopto.weights import Card

Curve = Callable[[Setting], tuple[np.ndarray, np.ndarray]]  # a setting's levels in and out, in dBFS


def training_pictures(
    folder: Path, model: Network, card: Card, log: Path | None, takes: Sequence[Take], truth: Curve | None = None
) -> None:
    """loss.png (given a log), transfer.png and gain_reduction.png; `truth` is drawn beside the model's transfer curves."""
    with matplotlib.rc_context(STYLE):
        if log:
            save(_loss_figure(log), folder / "loss.png")
        settings = [take.setting for take in takes[:: max(1, len(takes) // 4)]][:4]
        save(_transfer_figure(Compressor(model, card), settings, truth), folder / "transfer.png")
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
        axes.plot(*model_curve(compressor, setting), color=colour, label=short(compressor.panel, setting))
        if truth is not None:
            axes.plot(*truth(setting), "--", color=colour, linewidth=0.8)
    transfer_axes(axes)
    axes.legend(fontsize=7, loc="lower right", title="dashed: the virtual device" if truth is not None else None)
    return figure


def _gain_figure(model: Network, card: Card, takes: Sequence[Take]) -> Figure:
    figure = Figure(figsize=(10, 2.2 * len(takes)), layout="constrained")
    rows = figure.subplots(len(takes), 1, squeeze=False)[:, 0]
    for axes, take, y in zip(rows, takes, render_takes(model, card.panel, card.sample_rate, takes), strict=True):
        for signal, colour, label in ((take.y, DEVICE, "device"), (y, ACCENTS[0], "model")):
            gain = gain_db(take.x, signal, card.sample_rate)
            axes.plot(np.arange(len(gain)) * 0.01, gain, color=colour, linewidth=2.0 if label == "device" else 0.9, label=label)
        axes.set(title=short(card.panel, take.setting), ylabel="gain (dB)")
    rows[0].legend(loc="lower right")
    rows[-1].set(xlabel="time (s)")
    return figure


def device_curve(name: str, sample_rate: int) -> Curve:
    """From a setting to the transfer curve of a virtual device."""
    return lambda setting: transfer_curve(lambda x: DEVICES[name].process(x, sample_rate, setting), sample_rate)
