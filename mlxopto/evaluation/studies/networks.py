"""Every network on the same data for the same time: the paper's comparison, with intervals and tests."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from mlxopto.errors import RequestError
from mlxopto.evaluation.statistics import nested_interval
from mlxopto.evaluation.studies.runs import (
    ERRORS,
    Results,
    Runs,
    Study,
    budgeted,
    cells,
    label,
    logarithm,
    of_data,
    summary,
    table,
    take_errors,
)
from mlxopto.models import ARCHITECTURES
from mlxopto.training import run
from mlxopto.training.config import TrainConfig

NAME, DATA = "networks", ("la2a", "cl1b")
CLAIM = ("s6_paper", ("lstm", "encoder_decoder", "s4d"))  # the paper: the first is better than the others


def study(study: Study) -> dict[str, Any]:
    """Trains, compares, writes report.md and a picture, and gives the figures.

    Raises:
        RequestError: data that cannot be used, or two of one name.
    """
    runs, results = study.trained(NAME, lambda: _plan(study))
    document = {"study": NAME, "minutes": study.minutes, "seeds": study.seeds, **compared(runs, results)}
    study.finish(NAME, document, report(document))
    return document


def _plan(study: Study) -> Runs:
    """Seeds outermost, so that an interrupted study has whole comparisons.

    The memoryless form makes the recurrent one's steps.
    """
    data = [TrainConfig(quick=True, **of_data(name)) for name in study.data]
    if len({label(config) for config in data}) < len(data):
        raise RequestError(f"--data must have different names, got {', '.join(study.data)}")
    sources = [run.open_source(config) for config in data]  # refuses what cannot be used before hours of work
    trained = [arch for arch in ARCHITECTURES if arch != "s6_memoryless"]
    budgets = {arch: budgeted(replace(data[0], arch=arch), sources[0], study) for arch in trained}
    budgets["s6_memoryless"] = replace(budgets["s6_paper"], arch="s6_memoryless")
    return {
        f"{label(config)}-{arch}-{seed}": replace(budgets[arch], device=config.device, data=config.data, seed=seed)
        for seed in range(study.seeds)
        for config in data
        for arch in ARCHITECTURES
    }


def compared(runs: Runs, results: Results) -> dict[str, Any]:
    """{"rows": one for each data and network, "tests": pairs of networks, run by run and take by take}."""
    rows, tests = [], []
    for data in dict.fromkeys(label(config) for config in runs.values()):
        mine: dict[str, dict[int, run.RunResult]] = {arch: {} for arch in ARCHITECTURES}
        for name, config in runs.items():
            if label(config) == data:
                mine[config.arch][config.seed] = results[name]
        rows += [_row(data, arch, list(found.values())) for arch, found in mine.items() if found]
        tests += list(_tests(data, mine))
    return {"rows": rows, "tests": tests}


def _row(data: str, arch: str, results: list[run.RunResult]) -> dict[str, Any]:
    return {
        "data": data,
        "arch": arch,
        "parameters": results[0]["parameters"],
        "steps": results[0]["steps"],
        "seconds": float(np.median([result["seconds"] for result in results])),
        "seen": summary(results, "seen"),
        "unseen": summary(results, "unseen"),
    }


def _tests(data: str, mine: dict[str, dict[int, run.RunResult]]) -> Iterator[dict[str, Any]]:
    """The claim's pairs, recurrent against memoryless, opto against each: ratio of geometric mean ESR on unseen settings.

    Both networks of a pair have had the same seed's data, so that the ratio is taken by take.
    """
    first, others = CLAIM
    pairs = [(first, other) for other in (*others, "s6_memoryless")]
    pairs += list(itertools.product(["opto"], [arch for arch in ARCHITECTURES if arch != "opto"]))
    for a, b in pairs:
        differences = []
        for seed in mine[a].keys() & mine[b].keys():
            errors = [logarithm(take_errors(mine[arch][seed], "unseen", "esr")) for arch in (a, b)]
            if len(errors[0]) == len(errors[1]) > 0:
                differences.append(errors[0] - errors[1])
        if differences:
            low, high = nested_interval(differences)
            yield {
                "data": data, "a": a, "b": b, "ratio": float(np.exp(np.concatenate(differences).mean())),
                "ratio_ci95": (float(np.exp(low)), float(np.exp(high))), "runs": len(differences),
            }  # fmt: skip


def verdict(tests: list[dict[str, Any]], data: str) -> str:
    """The paper's claim on one set of data, in words: decided where the interval of the ratio leaves out 1."""
    first, others = CLAIM
    said = []
    for test in tests:
        if (test["data"], test["a"]) == (data, first) and test["b"] in others:
            low, high = test["ratio_ci95"]
            ratio = f"ratio {test['ratio']:.2g}, {low:.2g} to {high:.2g}"
            if low <= 1 <= high:
                said.append(f"{first} and {test['b']} cannot be told apart ({ratio})")
            else:
                said.append(f"{first} {'beats' if high < 1 else 'loses to'} {test['b']} ({ratio})")
    return f"{data}: {'; '.join(said)}."


def report(document: dict[str, Any]) -> str:
    """Markdown."""
    parts = [
        "# Networks on equal data for equal time\n",
        f"{document['minutes']:g} minutes of training each, measured in steps on the first data before anything was trained "
        f"(s6_memoryless: the steps of s6_paper); {document['seeds']} seeds. The column s is the seconds that "
        "a run took beside "
        "whatever else the machine did. ESR is the geometric mean over takes and seeds, gain error the mean, both with the "
        "bootstrap's 95 % interval, seeds drawn first and takes within them. A ratio of ESR below 1 favours "
        "the first of a pair.\n",
    ]
    for data in dict.fromkeys(row["data"] for row in document["rows"]):
        rows = [
            [
                row["arch"], str(row["parameters"]), str(row["steps"]), f"{row['seconds']:.0f}",
                *cells(row["seen"]), *cells(row["unseen"]),
            ]
            for row in document["rows"]
            if row["data"] == data
        ]  # fmt: skip
        columns = ["network", "parameters", "steps", "s", *ERRORS]
        tests = [
            [t["a"], t["b"], f"{t['ratio']:.2g} ({t['ratio_ci95'][0]:.2g} to {t['ratio_ci95'][1]:.2g})"]
            for t in document["tests"]
            if t["data"] == data
        ]
        parts += [f"## {data}\n", table(columns, rows), table(["network", "against", "ratio of unseen ESR"], tests)]
    claims = "\n".join(f"- {verdict(document['tests'], data)}" for data in dict.fromkeys(t["data"] for t in document["tests"]))
    parts += ["## The paper's claim: S6 beats LSTM, ED and S4D\n", f"{claims}\n", "![Errors by network](networks.png)\n"]
    return "\n".join(parts)
