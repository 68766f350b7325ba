"""mlxopto study: the paper's questions, asked again with statistics."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mlxopto.errors import RequestError

from . import knobs
from .display import console


class Name(StrEnum):
    """The studies."""

    networks = "networks"
    density = "density"
    settings = "settings"
    units = "units"
    latency = "latency"


def study(
    name: Annotated[Name, typer.Argument(help="Which study.")],
    out: Annotated[Path | None, typer.Option(help="The study's folder. [default: studies/NAME]")] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(help="A virtual device or a data folder; may be given several times. Of networks, density and units."),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Of training a run. Of networks, density and units. [default: 1]")
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="Runs of each kind. Of networks, density and units. [default: 3]")] = None,
    model: Annotated[
        str | None, typer.Option(help="The model to map the errors of, or to time. Of settings. [default: cl1b]")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as one JSON object.")] = False,
) -> None:
    """Run a study and write report.md and pictures into its folder; the same command goes on with an interrupted one.

    networks: every architecture on equal data for equal time.  density: error on unseen settings by how many were recorded.
    settings: maps of the error over pairs of knobs.  units: FET, VCA and digital units beside the optical ones.
    latency: computing time by size of block and length of sequence.

    mlxopto study networks --data la2a --data ../captures/my-unit --minutes 2
    """
    from mlxopto.evaluation import studies
    from mlxopto.evaluation.studies.runs import Study
    from mlxopto.training.ranks import Ranks

    trains = name.value in studies.TRAINING
    for option, given, fits in (
        ("data", data, trains), ("minutes", minutes, trains), ("seeds", seeds, trains), ("model", model, name is Name.settings)
    ):  # fmt: skip
        if given is not None and not fits:
            raise RequestError(f"the study {name.value} has no --{option}")
    if minutes is not None and not 0 < minutes <= 100_000:
        raise RequestError(f"--minutes must be above 0, got {minutes}")
    if not 1 <= (seeds if seeds is not None else 1) <= 1000:
        raise RequestError(f"--seeds must be 1 to 1000, got {seeds}")
    ranks = Ranks.launched()
    folder = out or Path("studies") / name.value
    asked = Study(
        folder,
        tuple(data or studies.DATA.get(name.value, ())),
        minutes or 1.0,
        seeds or 3,
        model or knobs.DEFAULT_MODEL,
        ranks,
        lambda what: console.print(what),
    )
    document = studies.STUDIES[name.value](asked)
    if ranks.first:
        console.print(f"report: {folder / studies.REPORT}")
        if as_json:
            print(json.dumps(document))
