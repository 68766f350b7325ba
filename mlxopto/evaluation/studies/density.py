"""How closely the knobs must be sampled: error on unseen settings against the number of settings trained on.

The paper says that accuracy follows the density of its recordings and shows no statistics; here are some.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from mlxopto.evaluation.statistics import rank_correlation, rank_correlation_interval, rank_correlation_p
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
    virtual_only,
)

NAME, DATA = "density", ("cl1b",)
SETTINGS = (4, 8, 16, 32, 64, 128, 256)


def study(study: Study) -> dict[str, Any]:
    """Trains, correlates, writes report.md and a picture, and gives the figures.

    Raises:
        RequestError: data that no virtual device makes: recordings have the settings that they have.
    """
    virtual_only(study, NAME)
    runs, results = study.trained(NAME, lambda: _plan(study))
    document = {"study": NAME, "minutes": study.minutes, "seeds": study.seeds, "data": correlated(runs, results)}
    study.finish(NAME, document, report(document))
    return document


def _plan(study: Study) -> Runs:
    budget = first_budget(study)
    return {
        f"{device}-{settings}-{seed}": replace(budget, device=device, settings=settings, seed=seed)
        for seed in range(study.seeds)
        for device in study.data
        for settings in SETTINGS
    }


def correlated(runs: Runs, results: Results) -> list[dict[str, Any]]:
    """For each device: every run's settings, parameters and errors, and Spearman's correlation of settings and errors."""
    found = []
    for device in dict.fromkeys(label(config) for config in runs.values()):
        points = []
        for name, config in runs.items():
            seen, unseen = (summary([results[name]], split) for split in ("seen", "unseen"))
            if label(config) == device and seen and unseen:
                point = {"settings": config.settings, "seed": config.seed, "parameters": results[name]["parameters"]}
                for split, averages in (("seen", seen), ("unseen", unseen)):
                    point |= {f"{split}_{metric}": averages[metric] for metric in ("esr", "gain_error_db")}
                points.append(point)
        settings = np.array([point["settings"] for point in points], np.float64)
        correlations = {}
        for metric in ("unseen_esr", "unseen_gain_error_db"):
            errors = np.array([point[metric] for point in points])
            correlations[metric] = {
                "spearman": rank_correlation(settings, errors),
                "ci95": rank_correlation_interval(settings, errors),
                "p": rank_correlation_p(settings, errors),
            }
        means = [
            {
                "settings": count,
                "parameters": next(point["parameters"] for point in points if point["settings"] == count),
                **{split: summary([results[n] for n, c in runs.items() if (label(c), c.settings) == (device, count)], split)
                   for split in ("seen", "unseen")},
            }
            for count in dict.fromkeys(point["settings"] for point in points)
        ]  # fmt: skip
        found.append({"device": device, "points": points, "means": means, "correlations": correlations})
    return found


def report(document: dict[str, Any]) -> str:
    """Markdown."""
    parts = [
        "# Error on unseen settings against the number of settings trained on\n",
        f"`opto`, {document['minutes']:g} minutes of training a run whatever the number of settings, "
        f"{document['seeds']} seeds. "
        "With 64 settings and more the network has a hidden layer of knobs, as in every training, and so more parameters. "
        "Geometric mean ESR and mean gain error with 95 % intervals, seeds drawn first and takes within them.\n",
    ]
    for found in document["data"]:
        parts.append(f"## {found['device']}\n")
        for metric, c in found["correlations"].items():
            low, high = c["ci95"]
            parts.append(
                f"Spearman's correlation of settings and {metric.replace('_', ' ')}: {c['spearman']:.2f} "
                f"(95 % {low:.2f} to {high:.2f}, bootstrap over runs; p {c['p']:.1g}, 10,000 permutations).\n"
            )
        rows = [
            [str(mean["settings"]), str(mean["parameters"]), *cells(mean["seen"]), *cells(mean["unseen"])]
            for mean in found["means"]
        ]
        columns = ["settings", "parameters", *ERRORS]
        parts.append(table(columns, rows))
    return "\n".join([*parts, "![Error against settings](density.png)\n"])
