"""mlxopto devices: what audio interfaces there are."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

from rich.console import Console
from rich.table import Table

from .display import console as messages
from .options import flag


def devices(as_json: Annotated[bool, flag("--json", help="Print the devices as a JSON list.")] = False) -> None:
    """List audio devices, for --input and --output of live."""
    from mlxopto.portaudio.ports import ports

    found = ports()
    if as_json:
        print(json.dumps([asdict(port) for port in found]))
        return
    if not found:
        messages.print("there is no audio device")
        return
    table = Table()
    for column in ("index", "name", "host", "in", "out", "rate", "default"):
        table.add_column(column)
    for port in found:
        default = " and ".join(
            kind for kind, is_default in (("input", port.default_input), ("output", port.default_output)) if is_default
        )
        row = (port.index, port.name, port.host, port.inputs, port.outputs, f"{port.default_rate:.0f} Hz", default)
        table.add_row(*map(str, row))
    Console(highlight=False).print(table)
