"""mlxopto capture init: the controls of a unit, asked for or from a preset, as a device file."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlxopto.errors import RequestError

from .display import console
from .options import flag
from .prompt import ask

if TYPE_CHECKING:
    from mlxopto.controls import Control, Panel

_RANGE = re.compile(r"\s*([+-]?\d*\.?\d+)\s*(?:to|\.\.)\s*([+-]?\d*\.?\d+)\s*(log|linear)?\s*")


def init(
    file: Annotated[Path, typer.Argument(help="The device file to write, such as my-unit.json.")],
    preset: Annotated[
        str | None, typer.Option(help="A panel as printed: la2a, cl1b, 1176 or vca-bus; nothing is asked then.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The unit's name. [default: that of the file]")] = None,
    dbu: Annotated[
        float | None, typer.Option(help="dBu of a sine at full scale at your interface's output, if you know it.")
    ] = None,
    force: Annotated[bool, flag("--force", help="Replace a file that exists.")] = False,
) -> None:
    """Write a device file: what controls a unit has. Asks for each, unless --preset.

    mlxopto capture init my-unit.json --preset la2a
    """
    from mlxopto import files
    from mlxopto.capture.panels import PANELS
    from mlxopto.data.captures import panel_document

    if preset is not None and preset not in PANELS:
        raise RequestError(f"--preset must be one of {', '.join(PANELS)}, got {preset!r}")
    if dbu is not None and not -60 <= dbu <= 60:
        raise RequestError(f"--dbu must be -60 to 60, got {dbu:g}")
    files.check_writable(file, force)
    panel = PANELS[preset] if preset else _asked()
    with files.replacing(file) as temporary:
        temporary.write_text(json.dumps(panel_document(name or file.stem, panel, dbu), indent=2) + "\n", encoding="utf-8")
    for control in panel.controls:
        console.print(f"{control.name}: {control.accepts()}, {control.taper}")
    console.print(f"{file} is written; next: mlxopto capture --device-file {shlex.quote(str(file))}")


def _asked() -> Panel:
    from mlxopto.controls import Panel

    console.print("The knobs and switches that change the sound, as printed; the output gain may be left out if it stays put.")
    controls: dict[str, Control] = {}
    while True:
        name = _line(f"control {len(controls) + 1}, its name (empty: no more)").lower().replace(" ", "_").replace("-", "_")
        if name and (name in controls or not re.fullmatch(r"[a-z][a-z0-9_]*", name)):
            console.print(f"a name must be new, of letters first, then digits too; got {name!r}")
        elif name:
            controls[name] = _control(name)
        elif controls:
            return Panel(tuple(controls.values()))
        else:
            console.print("a unit needs at least one control")


def _control(name: str) -> Control:
    """Asks until it is a control."""
    from mlxopto.controls import Control, known_unit

    while True:
        given = _line("its unit (dB, dBu, ms, s, :1, %, or empty)")
        text = _line("its range or its positions (such as -40 to 0, or 0.1 to 30 log, or: slow, medium, fast)")
        found = _RANGE.fullmatch(text)
        try:
            unit = known_unit(given)
            if found:
                low, high = float(found[1]), float(found[2])
                return Control(
                    name, unit, low, high, taper=found[3] or ("log" if unit in ("ms", "s") and low > 0 else "linear")
                )
            labels = [label.strip() for label in text.split(",") if label.strip()]
            if len(labels) < 2:
                raise RequestError(f"{name} needs a range or at least two positions, got {text!r}")
            # a label that begins with a number would be taken for a value
            named = {label if label[0].isalpha() else f"x{label}": float(place) for place, label in enumerate(labels)}
            if len(named) < len(labels):
                raise RequestError(f"each position of {name} needs a label of its own, got {text!r}")
            return Control(name, unit, 0, len(labels) - 1, taper="steps", default=0, positions=named)
        except RequestError as error:
            console.print(str(error))


def _line(question: str) -> str:
    return ask(question, "the answers ended before the panel did; nothing is written")
