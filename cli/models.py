"""mlxopto models: what is shipped, and what each model's panel is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from pathlib import Path

    from mlxopto.compressor import Compressor


def models(as_json: Annotated[bool, typer.Option("--json", help="Print the models as a JSON list.")] = False) -> None:
    """List the shipped models: panels, training data and test errors."""
    from mlxopto import compressor, weights

    loaded = [(path, compressor.load(name)) for name, path in weights.shipped().items()]
    if as_json:
        print(json.dumps([_json(path, model) for path, model in loaded]))
        return
    console = Console(highlight=False)
    for _, model in loaded:
        console.print(_table(model))
        console.print(_provenance(model), markup=False)
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


def _json(path: Path, model: Compressor) -> dict[str, Any]:
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
    }
