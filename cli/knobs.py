"""The control options that several commands share, and how they become a setting."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mlxopto.controls import Panel, Setting
from mlxopto.errors import RequestError

Attack = Annotated[str | None, typer.Option(help="3ms, 0.5s, or a position such as fast, medium, slow.")]
Release = Annotated[str | None, typer.Option(help="80ms, 2s, or a position such as fast, medium, slow.")]
Threshold = Annotated[str | None, typer.Option(help="-20dBu, in the panel's unit.")]
Ratio = Annotated[str | None, typer.Option(help="4:1 or 4.")]
PeakReduction = Annotated[str | None, typer.Option(help="0 to 100, or light, medium, heavy.")]
Mode = Annotated[str | None, typer.Option(help="compress or limit.")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Any control by name; repeatable.")]
Extrapolate = Annotated[
    bool, typer.Option("--extrapolate", help="Allow values outside the range that the model was trained on.")
]


def gather(options: dict[str, str | None], sets: list[str] | None) -> dict[str, str]:
    """The controls given on the command line, by name, as text.

    Raises:
        RequestError: a --set that is not NAME=VALUE, or one control given twice.
    """
    given = {name: text for name, text in options.items() if text is not None}
    for item in sets or []:
        name, equals, text = item.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not name or not text.strip():
            raise RequestError(f"--set must be NAME=VALUE, got {item!r}")
        if name in given:
            raise RequestError(f"{name} is given twice: {given[name]} and {text}")
        given[name] = text
    return given


def outside(panel: Panel, setting: Setting) -> list[str]:
    """A sentence for each control that stands beyond the range that the model was trained on."""
    return [
        f"{control.name} {control.format(setting[control.name])} is outside {control.accepts()}, which the model was trained on"
        for control in panel.controls
        if not control.low <= setting[control.name] <= control.high
    ]


def as_json(panel: Panel, setting: Setting) -> dict[str, Any]:
    """{name: {value, unit}}."""
    return {control.name: {"value": setting[control.name], "unit": control.unit} for control in panel.controls}
