"""mlxopto bench: how fast this machine is."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from mlxopto.errors import RequestError

from . import knobs
from .display import check_plot, console, drawing
from .options import flag


def bench(
    model: knobs.Model = None,
    with_peers: Annotated[bool, flag("--peers", help="Other engines too, as far as the extra peers is installed.")] = False,
    on_gpu: Annotated[bool, flag("--gpu", help="The GPU's kernels instead: a table to send to the authors.")] = False,
    plot: Annotated[Path | None, typer.Option(help="Draw the cost curves to this PNG.")] = None,
    force: Annotated[bool, flag("--force", help="Replace a picture that exists.")] = False,
    as_json: Annotated[bool, flag("--json", help="Print the figures as one JSON object.")] = False,
) -> None:
    """Measure the engine, MLX and the start on this machine; takes a minute.

    mlxopto bench --peers --plot bench.png
    """
    from mlxopto import compressor
    from mlxopto.speed import engine as measure

    if on_gpu:
        if with_peers or plot is not None:
            raise RequestError("--gpu stands alone; leave out --peers and --plot")
        _bench_gpu(model, as_json)
        return
    check_plot(plot, force)
    loaded = compressor.load(model or knobs.DEFAULT_MODEL)

    def tell(what: str) -> None:
        console.print(f"measuring {what}")

    result: dict[str, Any] = {"machine": measure.machine()}
    result["engine"] = measure.engine_rows(loaded, tell)
    result["mlx"] = measure.mlx_rows(loaded, tell)
    result["startup"] = measure.startup()
    result["peers"], absent = measure.peer_rows(loaded, tell) if with_peers else ([], [])
    for sentence in absent:
        console.print(sentence)
    if as_json:
        print(json.dumps(result))
    else:
        _show(result)
    if plot is not None:
        with drawing(plot):
            from mlxopto.speed import pictures

            pictures.bench_picture(plot, result)


def _bench_gpu(model: str | None, as_json: bool) -> None:
    import mlx.core as mx

    from mlxopto import compressor
    from mlxopto.engine import choice
    from mlxopto.speed import gpu
    from mlxopto.speed.engine import machine

    choice.check("gpu")
    with mx.stream(mx.gpu):
        rows = gpu.rows(
            compressor.load(model or knobs.DEFAULT_MODEL), gpu.Sizes(), lambda what: console.print(f"measuring {what}")
        )
    result = {"machine": machine(), "device": gpu.device_name(), "mlx": version("mlx"), "gpu": rows}
    if as_json:
        print(json.dumps(result))
        return
    out = Console(highlight=False)
    out.print(f"{result['device']}, MLX {result['mlx']}, {result['machine']}")
    out.print(_table("kernels on the GPU", rows, ("what", "size", "ms", "gb_per_s", "share_of_copy", "speed")))


def _show(result: dict[str, Any]) -> None:
    out = Console(highlight=False)
    out.print(result["machine"])
    out.print(
        _table(
            "engine: the live callback",
            result["engine"],
            ("channels", "block", "ns_per_sample", "ns_spread", "real_time_factor", "block_us_median", "block_us_p999"),
        )
    )
    out.print(
        _table("MLX, a batch of one", result["mlx"], ("device", "length", "forward_ns_per_sample", "train_ns_per_sample"))
    )
    if result["peers"]:
        out.print(
            _table(
                "peers, in the same turns", result["peers"], ("name", "block", "ns_per_sample", "ns_spread", "real_time_factor")
            )
        )
    start = result["startup"]
    out.print(f"start: import {start['import_s']:.2f} s, then {start['first_block_s']:.2f} s to the first block")


def _table(title: str, rows: list[dict[str, Any]], columns: tuple[str, ...]) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column.replace("_", " "), justify="left" if isinstance(rows[0][column], str) else "right")
    for row in rows:
        table.add_row(*("" if row[column] is None else str(row[column]) for column in columns))
    return table
