"""The CL 1B's fast attack with slow release, which the paper finds hardest, against its whole panel.

    python -m tests.benchmarks.corner cl1b cl1b-light

48 settings each of a Latin hypercube, 10 s of programme material at each that no training had; attack below 2 ms and release
above 2 s in the corner, everything else anywhere.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np

import mlxopto
from mlxopto.controls import Panel, Setting, latin_hypercube
from mlxopto.data import program
from mlxopto.devices import device
from mlxopto.metrics import esr, gain_error_db
from tests.benchmarks.results import tell

RATE, SETTINGS, SECONDS = 48000, 48, 10.0
CORNER = {"attack": (0.5, 2.0), "release": (2000.0, 10000.0)}


def settings(panel: Panel, ranges: dict[str, tuple[float, float]]) -> list[Setting]:
    """Spread over the panel with some ranges narrower."""
    narrow = [
        replace(c, low=ranges[c.name][0], high=ranges[c.name][1], default=None, positions={}) if c.name in ranges else c
        for c in panel.controls
    ]
    uniforms = np.random.default_rng(77).random((SETTINGS, len(narrow))).tolist()
    return latin_hypercube(Panel(tuple(narrow)), SETTINGS, uniforms)


def main(names: list[str]) -> None:
    unit = device("cl1b")
    rows = []
    for name in names:
        model = mlxopto.load(name)
        for where, ranges in (("whole panel", {}), ("attack < 2 ms, release > 2 s", CORNER)):
            errors = []
            for number, setting in enumerate(settings(unit.panel, ranges)):
                x = program.generate(SECONDS, RATE, np.random.SeedSequence([77, number]))
                y, estimate = unit.process(x, RATE, setting), model(x, RATE, **setting)
                errors.append((esr(y, estimate), gain_error_db(x, y, estimate, RATE)))
            ratio, gain = np.array(errors).T
            rows.append((name, where, f"{np.median(ratio):.1e}", f"{np.mean(ratio):.1e}", f"{np.median(gain):.2f}"))
    columns = ["model", "where", "ESR, median", "mean", "gain error, median"]
    tell("The corner that the paper finds hardest", columns, rows, f"{SETTINGS} settings each")


if __name__ == "__main__":
    main(sys.argv[1:] or ["cl1b", "cl1b-light"])
