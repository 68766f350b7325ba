"""Every network on the same data for the same time: the paper's comparison, with intervals and tests."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mlxopto.evaluation.statistics import interval, permutation_p
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
from mlxopto.models import ARCHITECTURES
from mlxopto.training.config import TrainConfig

NAME, DATA = "networks", ("la2a", "cl1b")
CLAIM = ("s6_paper", ("lstm", "encoder_decoder", "s4d"))  # the paper: the first is better than the others
SIGNIFICANT = 0.05


def study(study: Study) -> dict[str, Any]:
    """Trains, compares, writes report.md and a picture, and gives the figures."""
    runs = planned(study, NAME, lambda: _plan(study))
    results = complete(study, runs)
    document = {"study": NAME, "minutes": study.minutes, "seeds": study.seeds, **compared(runs, results)}
    if study.ranks.first:
        from mlxopto.evaluation.studies import pictures  # matplotlib

        pictures.networks(study.folder / "networks.png", document)
        write(study.folder / REPORT, report(document))
    return document


def _plan(study: Study) -> Runs:
    """Seeds outermost, so that an interrupted study has whole comparisons. The memoryless form makes the recurrent one's steps."""
    budgets = {
        arch: budgeted(TrainConfig(arch=arch, quick=True, **of_data(study.data[0])), study)
        for arch in ARCHITECTURES
        if arch != "s6_memoryless"
    }
    budgets["s6_memoryless"] = budgets["s6_paper"]
    return {
        f"{Path(data).name}-{arch}-{seed}": TrainConfig(
            arch=arch, quick=True, seed=seed, minutes=study.minutes, engine=budgets[arch].engine, steps=budgets[arch].steps,
            validations=budgets[arch].validations, **of_data(data),
        )
        for seed in range(study.seeds)
        for data in study.data
        for arch in ARCHITECTURES
    }  # fmt: skip


def compared(runs: Runs, results: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """{"rows": one for each data and network, "tests": the claim and the memoryless form, take by take}."""
    rows, tests = [], []
    names = dict.fromkeys(_data(config) for config in runs.values())
    for data in names:
        mine = {
            arch: [results[name] for name, config in runs.items() if (_data(config), config.arch) == (data, arch)]
            for arch in ARCHITECTURES
        }
        rows += [_row(data, arch, found) for arch, found in mine.items() if found]
        tests += list(_tests(data, mine))
    return {"rows": rows, "tests": tests}


def _data(config: TrainConfig) -> str:
    return config.device or Path(config.data or "").name


def _row(data: str, arch: str, results: list[dict[str, Any]]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "data": data,
        "arch": arch,
        "parameters": results[0]["parameters"],
        "steps": results[0]["steps"],
        "audio_seconds_per_second": float(np.median([result["audio_seconds_per_second"] for result in results])),
    }
    for split in ("seen", "unseen"):
        esr, gain = (take_errors(results, split, metric) for metric in ("esr", "gain_error_db"))
        if not len(esr):
            continue
        row[split] = {
            "esr": float(geometric_mean(esr)),
            "esr_ci95": interval(esr, geometric_mean),
            "gain_error_db": float(np.nanmean(gain)),
            "gain_error_db_ci95": interval(gain[np.isfinite(gain)]),
            "takes": len(esr),
        }
    return row


def _tests(data: str, mine: dict[str, list[dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    """The claim's pairs, recurrent against memoryless, opto against each: ratio of geometric mean ESR on unseen settings, and p."""
    first, others = CLAIM
    pairs = [(first, other) for other in (*others, "s6_memoryless")]
    pairs += list(itertools.product(["opto"], [arch for arch in ARCHITECTURES if arch != "opto"]))
    for a, b in pairs:
        errors = [np.log(np.maximum(take_errors(mine[arch], "unseen", "esr"), 1e-15)) for arch in (a, b)]
        difference = errors[0] - errors[1]
        if len(difference) > 1:
            low, high = interval(difference)
            yield {
                "data": data, "a": a, "b": b, "ratio": float(np.exp(difference.mean())),
                "ratio_ci95": (float(np.exp(low)), float(np.exp(high))), "p": permutation_p(difference), "takes": len(difference),
            }  # fmt: skip


def verdict(tests: list[dict[str, Any]], data: str) -> str:
    """The paper's claim on one set of data, in words."""
    first, others = CLAIM
    said = []
    for other in others:
        test = next(t for t in tests if (t["data"], t["a"], t["b"]) == (data, first, other))
        if test["p"] >= SIGNIFICANT:
            said.append(f"{first} and {other} cannot be told apart (ratio {test['ratio']:.2f}, p {test['p']:.2g})")
        else:
            better = "beats" if test["ratio"] < 1 else "loses to"
            said.append(f"{first} {better} {other} (ratio {test['ratio']:.2f}, p {test['p']:.2g})")
    return f"{data}: {'; '.join(said)}."


def report(document: dict[str, Any]) -> str:
    """Markdown."""
    parts = [
        "# Networks on equal data for equal time\n",
        f"{document['minutes']:g} minutes of training each, {document['seeds']} seeds. ESR is the geometric mean over takes and seeds, "
        "gain error the mean, both with the bootstrap's 95 % interval. A ratio below 1 favours the first. p is two-sided, by flipping "
        "signs of the takes' differences in log ESR; takes of one seed share a training run, so that p is too small where seeds differ.\n",
    ]
    for data in dict.fromkeys(row["data"] for row in document["rows"]):
        rows = [
            [
                row["arch"], str(row["parameters"]), str(row["steps"]),
                *(cell for split in ("seen", "unseen") for cell in _cells(row.get(split))),
            ]
            for row in document["rows"]
            if row["data"] == data
        ]  # fmt: skip
        columns = ["network", "parameters", "steps", "seen ESR", "seen gain, dB", "unseen ESR", "unseen gain, dB"]
        parts += [f"## {data}\n", table(columns, rows)]
        tests = [
            [t["a"], t["b"], f"{t['ratio']:.2f} ({t['ratio_ci95'][0]:.2f} to {t['ratio_ci95'][1]:.2f})", f"{t['p']:.2g}"]
            for t in document["tests"]
            if t["data"] == data
        ]
        parts += [table(["network", "against", "ratio of unseen ESR", "p"], tests)]
    claims = "\n".join(f"- {verdict(document['tests'], data)}" for data in dict.fromkeys(t["data"] for t in document["tests"]))
    parts += ["## The paper's claim: S6 beats LSTM, ED and S4D\n", f"{claims}\n", "![Errors by network](networks.png)\n"]
    return "\n".join(parts)


def _cells(found: dict[str, Any] | None) -> tuple[str, str]:
    if not found:
        return "", ""
    (low, high), (least, most) = found["esr_ci95"], found["gain_error_db_ci95"]
    return f"{found['esr']:.1e} ({low:.1e} to {high:.1e})", f"{found['gain_error_db']:.2f} ({least:.2f} to {most:.2f})"
