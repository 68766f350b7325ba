"""mlxopto match: which settings turn one recording into another."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from mlxopto.errors import RequestError

from . import knobs
from .display import LONG_S, console, share_done
from .options import flag

if TYPE_CHECKING:
    import numpy as np

    from mlxopto.controls import Control, Panel
    from mlxopto.matching.search import Match

UNLIKE = 0.3  # an ESR that no model of a compressor leaves on a recording of one


def match(
    dry: Annotated[Path, typer.Argument(help="The recording before the compressor.")],
    wet: Annotated[Path, typer.Argument(help="The same after it.")],
    model: knobs.Model = None,
    as_json: Annotated[bool, flag("--json", help="Print what was found as one JSON object.")] = False,
) -> None:
    """Find the settings with which a model turns one recording into another.

    mlxopto match dry.wav wet.wav --model cl1b
    """
    from mlxopto import compressor as compressors
    from mlxopto.matching import search

    compressor = compressors.load(knobs.model_name(model, None))
    x, y, sample_rate = _read(dry, wet, search.LONGEST_S)
    with share_done("matching", LONG_S) as show:
        found = search.match(compressor, x, y, sample_rate, show)
    panel = compressor.panel
    if found.esr > UNLIKE:
        console.print(
            f"warning: ESR {found.esr:.2f} is left; the recordings may be of different material, or too far apart in time"
        )
    command = _command(dry, x.shape[1], model, panel, found)
    if as_json:
        print(json.dumps(_document(panel, found, command)))
    else:
        _show(panel, found, command)


def _read(dry: Path, wet: Path, seconds: float) -> tuple[np.ndarray, np.ndarray, int]:
    """The start of both, as long as the shorter."""
    from mlxopto import audio

    heads = [audio.info(path) for path in (dry, wet)]
    for head in heads:
        if head.remark:
            console.print(head.remark)
    for what in ("sample_rate", "channels"):
        first, second = (getattr(head, what) for head in heads)
        if first != second:
            raise RequestError(f"{wet} and {dry} must have the same {what.replace('_', ' ')}, got {second} and {first}")
    sample_rate = heads[0].sample_rate
    samples = min(round(seconds * sample_rate), *(head.samples for head in heads))
    if any(head.samples > samples for head in heads):
        console.print(f"the first {samples / sample_rate:.1f} s of both are compared")
    x, y = (audio.read_part(path, 0, samples) for path in (dry, wet))
    return x, y, sample_rate


def _command(dry: Path, channels: int, model: str | None, panel: Panel, found: Match) -> str:
    """The render that does what was found, but for lag and polarity."""
    parts = ["mlxopto", "render", str(dry), "--model", knobs.model_name(model, None)]
    if channels > 1:
        parts += ["--link", "off"]
    for control, knob in zip(panel.controls, found.knobs, strict=True):
        parts += ["--set", f"{control.name}={_short(control, knob.value)}"]
    return shlex.join([*parts, f"--makeup={found.makeup_db:.2f}"])


def _short(control: Control, value: float) -> str:
    """The value to four digits, within the range."""
    return control.format(min(max(float(f"{value:.4g}"), control.low), control.high))


def _document(panel: Panel, found: Match, command: str) -> dict[str, object]:
    controls = panel.in_units(found.setting)
    for knob in found.knobs:
        controls[knob.name] |= {"interval": [knob.low, knob.high], "known": knob.known}
    return {
        "controls": controls,
        "makeup_db": found.makeup_db,
        "esr": found.esr,
        "gain_error_db": found.gain_error_db,
        "lag": found.lag,
        "inverted": found.inverted,
        "command": command,
    }


def _show(panel: Panel, found: Match, command: str) -> None:
    out = Console(highlight=False)
    table = Table()
    for heading in ("control", "setting", "between", ""):
        table.add_column(heading)
    for control, knob in zip(panel.controls, found.knobs, strict=True):
        interval = f"{_short(control, knob.low)} and {_short(control, knob.high)}"
        table.add_row(control.name, _short(control, knob.value), interval, "" if knob.known else "hardly told by the recording")
    out.print(table)
    out.print(
        f"output gain {found.makeup_db:+.1f} dB; what is left: ESR {found.esr:.1e}, gain error "
        f"{found.gain_error_db:.2f} dB RMS",
        markup=False,
    )
    if found.lag or found.inverted:
        late = f"{'late' if found.lag > 0 else 'early'} by {abs(found.lag)} samples" if found.lag else ""
        out.print(
            f"the wet recording is {' and '.join(filter(None, [late, 'inverted' if found.inverted else '']))}", markup=False
        )
    out.print(command, markup=False, soft_wrap=True)
