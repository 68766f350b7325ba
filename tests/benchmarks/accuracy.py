"""How accurate the default network is: trained from scratch on each set of data for the same time, scored once on its test
takes.

python -m tests.benchmarks.accuracy OUT [--minutes 30] [--arch opto] [--seeds 1] [DATA ...]

DATA are virtual devices and data folders; without any, the virtual LA-2A and CL 1B and what lies in ../shared/thirdparty. OUT
gets a run folder each and report.md; the same command goes on where it was interrupted.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mlxopto import files
from mlxopto.data.takes import Source, Take
from mlxopto.evaluation.studies.runs import REPORT, Runs, Study, budgeted, label, of_data, table, take_errors
from mlxopto.models import ARCHITECTURES
from mlxopto.training import run
from mlxopto.training.config import TrainConfig

THIRD_PARTY = Path("../shared/thirdparty")
SPLITS = ("seen", "unseen")


def suite() -> list[str]:
    """The data that are scored when none are named."""
    return ["la2a", "cl1b", *(str(manifest.parent) for manifest in sorted(THIRD_PARTY.glob("*/manifest.json")))]


def plan(study: Study, arch: str) -> Runs:
    """Steps are measured on each set of data, because panels have different sizes."""
    runs = {}
    for name in study.data:
        config = TrainConfig(arch=arch, **of_data(name))
        config = budgeted(config, run.open_source(config), study)
        runs |= {f"{label(config)}-{seed}": replace(config, seed=seed) for seed in range(study.seeds)}
    return runs


def constant_gain_esr(takes: Sequence[Take]) -> float:
    """The median ESR that the best constant gain of each take leaves: what a model has to beat."""
    left = []
    for take in takes:
        x, y = take.x.astype(np.float64), take.y.astype(np.float64)
        left.append(1 - np.dot(x, y) ** 2 / (np.dot(x, x) * np.dot(y, y)))
    return float(np.median(left))


def row(name: str, source: Source, results: Sequence[dict[str, Any]]) -> list[str]:
    """One set of data: medians over all takes of all seeds."""
    cells = [name, str(source.training_settings), str(results[0]["parameters"]), str(results[0]["steps"])]
    cells.append(f"{constant_gain_esr(source.test['unseen']):.1e}")
    for split in SPLITS:
        for metric, digits in (("esr", ".1e"), ("gain_error_db", ".2f")):
            errors = np.concatenate([take_errors(result, split, metric) for result in results])
            cells.append(format(np.median(errors), digits) if len(errors) else "")
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("data", nargs="*")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--arch", choices=ARCHITECTURES, default="opto")
    parser.add_argument("--seeds", type=int, default=1)
    asked = parser.parse_intermixed_args()
    study = Study(asked.out, tuple(asked.data or suite()), asked.minutes, asked.seeds)
    runs, results = study.trained(f"accuracy of {asked.arch}", lambda: plan(study, asked.arch))
    rows = []
    for name in dict.fromkeys(label(config) for config in runs.values()):
        mine = [key for key, config in runs.items() if label(config) == name]
        rows.append(row(name, run.open_source(runs[mine[0]]), [results[key] for key in mine]))
    columns = ["data", "settings", "parameters", "steps", "constant gain", *(f"{s} {m}" for s in SPLITS for m in ("ESR", "dB"))]
    report = (
        f"{asked.arch}, {asked.minutes:g} minutes of training, {asked.seeds} seeds; medians over test "
        f"takes.\n\n{table(columns, rows)}"
    )
    files.write_text(asked.out / REPORT, report)
    print(report)


if __name__ == "__main__":
    main()
