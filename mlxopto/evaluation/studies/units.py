"""Other principles than light: one network learns FET, VCA, digital and optical units alike."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlxopto.devices import DEVICES
from mlxopto.evaluation.statistics import interval
from mlxopto.evaluation.studies.runs import (
    REPORT,
    Runs,
    Study,
    budgeted,
    complete,
    geometric_mean,
    of_data,
    planned,
    table,
    take_errors,
    write,
)
from mlxopto.training.config import TrainConfig

NAME, DATA = "units", tuple(DEVICES)


def study(study: Study) -> dict[str, Any]:
    """Trains, writes report.md and a picture, and gives the figures."""
    runs = planned(study, NAME, lambda: _plan(study))
    results = complete(study, runs)
    document = {"study": NAME, "minutes": study.minutes, "seeds": study.seeds, "rows": rows(runs, results)}
    if study.ranks.first:
        from mlxopto.evaluation.studies import pictures  # matplotlib

        pictures.units(study.folder / "units.png", document)
        write(study.folder / REPORT, report(document))
    return document


def _plan(study: Study) -> Runs:
    budget = budgeted(TrainConfig(quick=True, **of_data(study.data[0])), study)
    return {
        f"{data}-{seed}": TrainConfig(
            quick=True, seed=seed, minutes=study.minutes, engine=budget.engine, steps=budget.steps,
            validations=budget.validations, **of_data(data),
        )
        for seed in range(study.seeds)
        for data in study.data
    }  # fmt: skip


def rows(runs: Runs, results: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """One for each unit: errors on unseen settings, and every take's."""
    found = []
    for data in dict.fromkeys(config.device for config in runs.values() if config.device):
        mine = [results[name] for name, config in runs.items() if config.device == data]
        esr, gain = (take_errors(mine, "unseen", metric) for metric in ("esr", "gain_error_db"))
        found.append(
            {
                "device": data,
                "title": DEVICES[data].title,
                "controls": len(DEVICES[data].panel.controls),
                "esr": float(geometric_mean(esr)),
                "esr_ci95": interval(esr, geometric_mean),
                "gain_error_db": float(np.nanmean(gain)),
                "gain_error_db_ci95": interval(gain[np.isfinite(gain)]),
                "takes": {"esr": esr.tolist(), "gain_error_db": gain.tolist()},
            }
        )
    return found


def report(document: dict[str, Any]) -> str:
    """Markdown."""
    rows = [
        [
            row["title"], str(row["controls"]),
            f"{row['esr']:.1e} ({row['esr_ci95'][0]:.1e} to {row['esr_ci95'][1]:.1e})",
            f"{row['gain_error_db']:.2f} ({row['gain_error_db_ci95'][0]:.2f} to {row['gain_error_db_ci95'][1]:.2f})",
        ]
        for row in document["rows"]
    ]  # fmt: skip
    return "\n".join(
        [
            "# One network, other principles\n",
            f"`opto`, {document['minutes']:g} minutes of training a run, {document['seeds']} seeds, unseen settings: geometric "
            "mean ESR and mean gain error over takes and seeds, with 95 % intervals.\n",
            table(["unit", "knobs", "ESR", "gain error, dB"], rows),
            "![Errors by unit](units.png)\n",
        ]
    )
