"""mlxopto models: what is shipped, and what each model's panel is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from .options import flag

if TYPE_CHECKING:
    from pathlib import Path

    from mlxopto.compressor import Compressor


def models(
    names: Annotated[
        list[str] | None, typer.Argument(help="Weights files, run folders or names. [default: those shipped]")
    ] = None,
    check: Annotated[bool, flag("--check", help="Play what each model played when it was saved, and compare.")] = False,
    as_json: Annotated[bool, flag("--json", help="Print the models as a JSON list.")] = False,
) -> None:
    """List models: panels, training data and test errors."""
    from mlxopto import golden, weights
    from mlxopto.compressor import Compressor
    from mlxopto.errors import WorkError

    shipped = weights.shipped()
    rows, strayed = [], []
    for name in names or shipped:
        path = weights.find(name)
        model, card, known = weights.load_with_golden(path)
        apart = golden.difference(model, known) if check else None
        if apart is not None and not apart <= golden.TOLERANCE:
            strayed.append(f"{name} by {apart:.1e}")
        rows.append((path, Compressor(model, card, name if name in shipped else None), apart))
    if as_json:
        print(json.dumps([_json(*row) for row in rows]))
    else:
        _show(rows)
    if strayed:
        raise WorkError(f"no longer plays what it played when it was saved, within {golden.TOLERANCE:g}: {', '.join(strayed)}")


def _show(rows: list[tuple[Path, Compressor, float | None]]) -> None:
    console = Console(highlight=False)
    for _, model, apart in rows:
        console.print(_table(model))
        console.print(_provenance(model), markup=False)
        if apart is not None:
            console.print(f"plays what it played when it was saved, to {apart:.1e} of full scale")
        console.print()


def _table(model: Compressor) -> Table:
    title = f"{model.name}  ({model.card.architecture}, {model.sample_rate} Hz, latency 0 samples)"
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in ("control", "range", "default", "positions"):
        table.add_column(column)
    for control in model.panel.controls:
        positions = ", ".join(f"{label} = {control.format(value)}" for label, value in control.positions.items())
        if control.taper == "steps":
            positions = ", ".join(control.positions)
        table.add_row(
            control.name,
            f"{control.format(control.low)} to {control.format(control.high)}",
            control.format(control.start),
            positions,
        )
    return table


def _provenance(model: Compressor) -> str:
    lines = [f"trained on {model.card.training.get('data', 'unknown data')}"]
    for split, scores in model.card.test.items():
        lines.append(
            f"test, {split} settings: ESR {scores['esr_median']:.1e}, gain error {scores['gain_error_db_rms']:.2f} dB RMS"
        )
    return "\n".join(lines)


def _json(path: Path, model: Compressor, apart: float | None) -> dict[str, Any]:
    from mlxopto.models import parameter_count

    return {
        "name": model.name,
        "file": str(path),
        "arch": model.card.architecture,
        "parameters": parameter_count(model.model),
        "sample_rate": model.sample_rate,
        "latency_samples": 0,
        "controls": [
            {
                "name": control.name,
                "unit": control.unit,
                "low": control.low,
                "high": control.high,
                "taper": control.taper,
                "default": control.start,
                "positions": dict(control.positions),
            }
            for control in model.panel.controls
        ],
        "test": dict(model.card.test),
    } | ({} if apart is None else {"golden_difference": apart})
