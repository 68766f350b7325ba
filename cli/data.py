"""mlxopto data: what recordings are good for training."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from mlxopto.errors import WorkError
from mlxopto.text import shown

from .options import flag

if TYPE_CHECKING:
    from mlxopto.data.judgement import Report

_COLUMNS = {
    "seconds": "s",
    "input_dbfs": "input dBFS",
    "target_dbfs": "target dBFS",
    "noise_floor_dbfs": "quietest",
    "lag": "lag",
    "polarity": "polarity",
    "clipped": "clipped",
}


def check(
    folder: Annotated[Path, typer.Argument(help="A captures folder, the paper's pickles, or SignalTrain LA-2A.")],
    as_json: Annotated[bool, flag("--json", help="Print the report as one JSON object.")] = False,
) -> None:
    """Report lag, level, clipping and noise of every recording, and what cannot be used (exit code 1 if anything cannot).

    mlxopto data check captures/my-unit
    """
    from mlxopto.data import check, formats

    kind = formats.kind(folder)
    judgement = check.check(folder)
    found = judgement.reports
    if as_json:
        recordings = [asdict(report) for report in found]
        print(json.dumps({"folder": str(folder), "kind": kind, "recordings": recordings, "problems": judgement.problems}))
    else:
        _show(kind, found, judgement.problems)
    bad = sum(bool(report.problems) for report in found)
    if bad:
        raise WorkError(f"{bad} of {len(found)} recordings in {folder} cannot be used")
    if judgement.problems:
        raise WorkError(f"{folder} cannot be trained on: {'; '.join(judgement.problems)}")


def _show(kind: str, found: list[Report], together: list[str]) -> None:
    out = Console(highlight=False)
    table = Table(title=f"{kind}: {len(found)} recordings", title_justify="left")
    table.add_column("recording", overflow="fold")
    for heading in _COLUMNS.values():
        table.add_column(heading, justify="right")
    for report in found:
        values = (getattr(report, name) for name in _COLUMNS)
        table.add_row(Path(report.recording).name, *("" if value is None else str(value) for value in values))
    out.print(table)
    for report in found:
        for sentence in (*report.problems, *report.remarks):
            out.print(shown(sentence), markup=False, soft_wrap=True)
    for sentence in together:
        out.print(shown(sentence), markup=False, soft_wrap=True)
