"""How closely the knobs must be sampled: error on unseen settings against the number of settings trained on.

The paper says that accuracy follows the density of its recordings and shows no statistics; here are some.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mlxopto.evaluation.statistics import rank_correlation, rank_correlation_interval, rank_correlation_p
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

NAME, DATA = "density", ("cl1b",)
SETTINGS = (4, 8, 16, 32, 64, 128, 256)


def study(study: Study) -> dict[str, Any]:
    """Trains, correlates, writes report.md and a picture, and gives the figures."""
    runs = planned(study, NAME, lambda: _plan(study))
    results = complete(study, runs)
    document = {"study": NAME, "minutes": study.minutes, "seeds": study.seeds, "data": correlated(runs, results)}
    if study.ranks.first:
        from mlxopto.evaluation.studies import pictures  # matplotlib

        pictures.density(study.folder / "density.png", document)
        write(study.folder / REPORT, report(document))
    return document


def _plan(study: Study) -> Runs:
    steps = budgeted(TrainConfig(quick=True, **of_data(study.data[0])), study)
    return {
        f"{data}-{settings}-{seed}": TrainConfig(
            quick=True, seed=seed, settings=settings, minutes=study.minutes, engine=steps.engine, steps=steps.steps,
            validations=steps.validations, **of_data(data),
        )
        for seed in range(study.seeds)
        for data in study.data
        for settings in SETTINGS
    }  # fmt: skip


def correlated(runs: Runs, results: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """For each device: every run's settings and errors, and Spearman's correlation of the two."""
    found = []
    for data in dict.fromkeys(config.device or Path(config.data or "").name for config in runs.values()):
        points = [
            {
                "settings": config.settings,
                "seed": config.seed,
                **{
                    f"{split}_{metric}": float(combine(take_errors([results[name]], split, metric)))
                    for split in ("seen", "unseen")
                    for metric, combine in (("esr", geometric_mean), ("gain_error_db", np.nanmean))
                },
            }
            for name, config in runs.items()
            if config.device == data
        ]
        settings = np.array([point["settings"] for point in points], np.float64)
        correlations = {}
        for metric in ("unseen_esr", "unseen_gain_error_db"):
            errors = np.array([point[metric] for point in points])
            correlations[metric] = {
                "spearman": rank_correlation(settings, errors),
                "ci95": rank_correlation_interval(settings, errors),
                "p": rank_correlation_p(settings, errors),
            }
        found.append({"device": data, "points": points, "correlations": correlations})
    return found


def report(document: dict[str, Any]) -> str:
    """Markdown."""
    parts = [
        "# Error on unseen settings against the number of settings trained on\n",
        f"`opto`, {document['minutes']:g} minutes of training a run whatever the number of settings, {document['seeds']} seeds.\n",
    ]
    for found in document["data"]:
        parts.append(f"## {found['device']}\n")
        for metric, c in found["correlations"].items():
            low, high = c["ci95"]
            parts.append(
                f"Spearman's correlation of settings and {metric.replace('_', ' ')}: {c['spearman']:.2f} "
                f"(95 % {low:.2f} to {high:.2f}, bootstrap over runs; p {c['p']:.1g}, 10,000 permutations).\n"
            )
        rows = []
        for settings in dict.fromkeys(point["settings"] for point in found["points"]):
            points = [point for point in found["points"] if point["settings"] == settings]
            rows.append(
                [
                    str(settings),
                    *(f"{geometric_mean(np.array([p[f'{split}_esr'] for p in points])):.1e}" for split in ("seen", "unseen")),
                    *(f"{np.mean([p[f'{split}_gain_error_db'] for p in points]):.2f}" for split in ("seen", "unseen")),
                ]
            )
        parts.append(table(["settings", "seen ESR", "unseen ESR", "seen gain, dB", "unseen gain, dB"], rows))
    return "\n".join([*parts, "![Error against settings](density.png)\n"])
