"""mlxopto study: the paper's questions, asked again with statistics."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from mlxopto.errors import RequestError

from .display import console
from .options import flag


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
        typer.Option(
            help="A virtual device, for networks also a data folder; may be given several times. Of networks, density, units."
        ),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Of training a run. Of networks, density and units. [default: 1]")
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="Runs of each kind. Of networks, density and units. [default: 3]")] = None,
    model: Annotated[str | None, typer.Option(help="The model to map the errors of. Of settings. [default: cl1b]")] = None,
    as_json: Annotated[bool, flag("--json", help="Print the figures as one JSON object.")] = False,
) -> None:
    """Run a study and write report.md and pictures into its folder; the same command goes on where trainings were interrupted.

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
        raise RequestError(f"--minutes must be above 0 and at most 100,000, got {minutes:g}")
    if not 1 <= (seeds if seeds is not None else 1) <= 1000:
        raise RequestError(f"--seeds must be 1 to 1000, got {seeds}")
    ranks = Ranks.launched()
    folder = out or Path("studies") / name.value
    chosen: dict[str, Any] = {"minutes": minutes, "seeds": seeds, "model": model}
    asked = Study(
        folder,
        data=tuple(data or studies.DATA.get(name.value, ())),
        ranks=ranks,
        tell=lambda what: console.print(what),
        **{option: value for option, value in chosen.items() if value is not None},
    )
    try:
        document = studies.STUDIES[name.value](asked)
    except KeyboardInterrupt:
        if trains and ranks.first:
            console.print("to go on: the same command")
        raise
    if ranks.first:
        console.print(f"report: {folder / studies.REPORT}")
        if as_json:
            print(json.dumps(document))
