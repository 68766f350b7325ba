"""The picture of a measurement, of one compressor or of two. Imports matplotlib, so import it only to draw."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from mlxopto.plots import ACCENTS, DEVICE, STYLE, save
from mlxopto.response.figures import CURVE_S, Response
from mlxopto.response.passage import EXPOSURES_S

LINES = ("-", "--")


def response_picture(path: Path, responses: Mapping[str, Response]) -> None:
    """Static curve, release after each exposure, harmonics against level, frequency response; the second one dashed."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(11, 8), layout="constrained")
        static, release, harmonics, frequency = figure.subplots(2, 2).flat
        for (name, found), line in zip(responses.items(), cycle(LINES), strict=False):
            _static(static, name, found, line)
            _release(release, found, line)
            _harmonics(harmonics, found, line)
            _frequency(frequency, found, line)
        static.plot([-50, 0], [-50, 0], ":", color=DEVICE, linewidth=0.8)
        static.set(title="Static curve, 1 kHz", xlabel="input (dBFS)", ylabel="output (dBFS)")
        release.set(title="Release after a tone of", xlabel="time (s)", ylabel="gain (dB)", xlim=(0, 4))
        harmonics.set(title="Distortion", xlabel="input (dBFS)", ylabel="% of the fundamental", yscale="log")
        frequency.set(title="Frequency response", xlabel="frequency (Hz)", ylabel="dB re 1 kHz", xscale="log")
        for axes in (static, release, harmonics, frequency):
            axes.legend(fontsize=8)
        for axis in (harmonics.yaxis, frequency.xaxis):
            axis.set_major_formatter(lambda value, _: f"{value:g}")
            axis.set_minor_formatter(NullFormatter())
        save(figure, path)


def _static(axes: Axes, name: str, found: Response, line: str) -> None:
    axes.plot([s.level_in for s in found.static], [s.level_out for s in found.static], line, color=ACCENTS[0], label=name)


def _release(axes: Axes, found: Response, line: str) -> None:
    for seconds, curve, colour in zip(EXPOSURES_S, found.release_curves, cycle((*ACCENTS, DEVICE, "#b8860b")), strict=False):
        label = f"{seconds:g} s" if line == LINES[0] else None
        axes.plot(np.arange(len(curve)) * CURVE_S, curve, line, color=colour, linewidth=1, label=label)


def _harmonics(axes: Axes, found: Response, line: str) -> None:
    for tones, where, colour in ((found.static, "1 kHz", ACCENTS[0]), (found.low, "60 Hz", ACCENTS[1])):
        label = f"THD, {where}" if line == LINES[0] else None
        axes.plot([s.level_in for s in tones], [max(s.thd, 1e-4) for s in tones], line, color=colour, label=label)


def _frequency(axes: Axes, found: Response, line: str) -> None:
    hz, faint, loud = zip(*found.frequencies, strict=True)
    for levels, what, colour in ((faint, "without reduction", ACCENTS[0]), (loud, "with reduction", ACCENTS[1])):
        axes.plot(hz, levels, line, color=colour, label=what if line == LINES[0] else None)
