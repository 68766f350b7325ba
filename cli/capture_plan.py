"""mlxopto capture plan: which settings to record next."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from mlxopto.errors import RequestError, WorkError

from .display import LONG_S, console, share_done
from .options import flag

if TYPE_CHECKING:
    from mlxopto.capture.proposals import Proposal
    from mlxopto.controls import Panel


def plan(
    model: Annotated[str, typer.Option(help="A first model of the unit: a run folder or a weights file.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The captures folder. [default: the one that the run was trained on]")
    ] = None,
    settings: Annotated[int, typer.Option(min=1, max=200, help="How many to propose.")] = 8,
    seconds: Annotated[float, typer.Option(min=2, max=600, help="Of programme material at each.")] = 20.0,
    add: Annotated[bool, flag("--add", help="Add them to the folder's plan, for `mlxopto capture --resume`.")] = False,
    as_json: Annotated[bool, flag("--json", help="Print them as one JSON object.")] = False,
) -> None:
    """Propose the settings that would tell a model most: where its gain is least like that of any setting recorded so far.

    mlxopto capture plan --model runs/my-unit --add
    """
    from mlxopto import compressor as compressors
    from mlxopto.capture import plan as plans
    from mlxopto.capture.folder import PLAN, CaptureFolder
    from mlxopto.capture.proposals import propose
    from mlxopto.data.captures import DEVICE, MANIFEST, load_manifest, load_panel

    folder = out or _trained_on(Path(model))
    compressor = compressors.load(model)
    _, panel, _ = load_panel(folder / DEVICE)
    if panel != compressor.panel:
        raise RequestError(f"{model} has another panel than {folder / DEVICE}, so that it cannot tell about that unit")
    captures = load_manifest(folder / MANIFEST, panel)
    session = CaptureFolder(folder) if (folder / PLAN).exists() else None
    if add and session is None:
        raise RequestError(f"{folder} has no {PLAN} to add to; only a session of mlxopto capture can be gone on with")
    planned = [(capture.split, capture.setting) for capture in captures]
    planned += [(take.split, take.setting) for take in session.takes] if session else []
    recorded = [setting for split, setting in planned if split in ("train", "val")]
    barred = [setting for split, setting in planned if split not in ("train", "val")]
    if not recorded:
        raise RequestError(f"{folder} has no take yet that was trained on")
    with share_done("rendering", LONG_S) as show:
        before, proposals = propose(compressor, recorded, barred, settings, show)
    if not proposals:
        raise WorkError(
            "there is nothing left to propose: every setting that can be set is recorded or sounds like one that is"
        )
    if add and session:
        session.add(plans.more([p.setting for p in proposals], seconds, 1 + max(take.seed for take in session.takes)))
    if as_json:
        print(json.dumps({"mean_db": before, "settings": [_document(panel, proposal) for proposal in proposals]}))
    else:
        _show(panel, before, proposals)
    if add:
        console.print(f"added to the plan: mlxopto capture -o {shlex.quote(str(folder))} --resume")


def _trained_on(run: Path) -> Path:
    from mlxopto.training.config import TrainConfig
    from mlxopto.training.run import CONFIG

    if not (run / CONFIG).is_file():
        raise RequestError(f"{run} is not a run folder, so that -o must say which captures folder to add to")
    data = TrainConfig.load(run / CONFIG).data
    if data is None:
        raise RequestError(f"{run} was trained on a virtual device; -o must say which captures folder to add to")
    return Path(data)


def _document(panel: Panel, proposal: Proposal) -> dict[str, object]:
    return {"controls": panel.in_units(proposal.setting), "new_db": proposal.new_db, "mean_db": proposal.mean_db}


def _show(panel: Panel, before: float, proposals: list[Proposal]) -> None:
    table = Table()
    for control in panel.controls:
        table.add_column(control.name, justify="right")
    table.add_column("unlike any so far, dB", justify="right")
    table.add_column("then left, dB", justify="right")
    for proposal in proposals:
        values = [control.format(proposal.setting[control.name]) for control in panel.controls]
        table.add_row(*values, f"{proposal.new_db:.1f}", f"{proposal.mean_db:.2f}")
    out = Console(highlight=False)
    out.print(table)
    after = proposals[-1].mean_db
    out.print(
        f"Settings all over the panel are now {before:.2f} dB RMS from the most similar recorded one on "
        f"average, then {after:.2f}.",
        soft_wrap=True,
    )
