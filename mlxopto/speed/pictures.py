"""The picture of `mlxopto bench`. Imports matplotlib, so import it only to draw."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from mlxopto.plots import ACCENTS, DEVICE, STYLE, save


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
