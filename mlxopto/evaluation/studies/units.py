"""Other principles than light: one network learns FET, VCA, digital and optical units alike."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mlxopto.devices import DEVICES
from mlxopto.evaluation.studies.runs import (
    ERRORS,
    Results,
    Runs,
    Study,
    cells,
    first_budget,
    label,
    summary,
    table,
    take_errors,
    virtual_only,
)

NAME, DATA = "units", tuple(DEVICES)


def study(study: Study) -> dict[str, Any]:
    """Trains, writes report.md and a picture, and gives the figures.

    Raises:
        RequestError: data that no virtual device makes.
    """
    virtual_only(study, NAME)
    runs, results = study.trained(NAME, lambda: _plan(study))
    document = {"study": NAME, "minutes": study.minutes, "seeds": study.seeds, "rows": rows(runs, results)}
    study.finish(NAME, document, report(document))
    return document


def _plan(study: Study) -> Runs:
    budget = first_budget(study)
    return {
        f"{device}-{seed}": replace(budget, device=device, seed=seed) for seed in range(study.seeds) for device in study.data
    }


def rows(runs: Runs, results: Results) -> list[dict[str, Any]]:
    """One for each unit: errors on seen and unseen settings, and every unseen take's."""
    found = []
    for device in dict.fromkeys(label(config) for config in runs.values()):
        mine = [results[name] for name, config in runs.items() if label(config) == device]
        found.append(
            {
                "device": device,
                "title": DEVICES[device].title,
                "controls": len(DEVICES[device].panel.controls),
                **{split: summary(mine, split) for split in ("seen", "unseen")},
                "takes": {
                    metric: [float(error) for result in mine for error in take_errors(result, "unseen", metric)]
                    for metric in ("esr", "gain_error_db")
                },
            }
        )
    return found


def report(document: dict[str, Any]) -> str:
    """Markdown."""
    rows = [[row["title"], str(row["controls"]), *cells(row["seen"]), *cells(row["unseen"])] for row in document["rows"]]
    return "\n".join(
        [
            "# One network, other principles\n",
            f"`opto`, {document['minutes']:g} minutes of training a run, {document['seeds']} seeds: geometric "
            "mean ESR and mean gain "
            "error over takes and seeds, with 95 % intervals, seeds drawn first and takes within them.\n",
            table(["unit", "knobs", *ERRORS], rows),
            "![Errors by unit](units.png)\n",
        ]
    )
