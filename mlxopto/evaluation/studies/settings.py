"""Where on the panel a model errs: maps of the error over pairs of knobs, against the virtual device, and the
hardest corner.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from mlxopto import compressor, files
from mlxopto.compressor import Compressor
from mlxopto.controls import Control, Setting, latin_hypercube
from mlxopto.data import program
from mlxopto.devices import DEVICES, Device, device
from mlxopto.errors import RequestError
from mlxopto.evaluation.statistics import permutation_p
from mlxopto.evaluation.studies.runs import REPORT, Study, geometric_mean, logarithm, table
from mlxopto.metrics import esr, gain_error_db

NAME = "settings"
GRID = 8  # positions a knob
CONTEXTS = 8  # excerpts, each with its own position of the other knobs
EXCERPT_S = 6.0
_SEED = 77  # of material and of the other knobs: none of a training run's
PAIRS = (("threshold", "ratio"), ("input", "ratio"), ("attack", "release"), ("peak_reduction", "mode"))
_PAPER = {"attack": "low", "release": "high"}  # the paper's hardest corner: fast attack with slow release


def study(study: Study) -> dict[str, Any]:
    """Measures, writes report.md and pictures, and gives the figures.

    Raises:
        RequestError: a model that no virtual device stands beside.
    """
    model = compressor.load(study.model)
    unit = device(model.card.name)
    if set(unit.panel.setting({})) != {control.name for control in model.panel.controls}:
        raise RequestError(f"{study.model} has other controls than the virtual device {unit.name}")
    study.begin(NAME, {"model": study.model})
    document: dict[str, Any] = {"study": NAME, "model": study.model, "device": unit.name, "maps": []}
    if study.ranks.first:
        from mlxopto.evaluation.studies import pictures  # matplotlib

        document["maps"] = error_maps(model, unit, study)
        files.write_text(study.folder / REPORT, report(document))
        for found in document["maps"]:
            pictures.error_map(study.folder / _picture(found), found)
    return document


def error_maps(model: Compressor, unit: Device, study: Study) -> list[dict[str, Any]]:
    """For each pair of knobs that the unit has: ESR and gain error by position of the two and context, and the corners."""
    controls = unit.panel.controls
    material = program.generate(CONTEXTS * EXCERPT_S, model.sample_rate, np.random.SeedSequence([_SEED, 2]))
    excerpts = np.split(material[: len(material) // CONTEXTS * CONTEXTS], CONTEXTS)
    uniforms = np.random.default_rng(_SEED).random((CONTEXTS, len(controls)))
    others = latin_hypercube(unit.panel, CONTEXTS, uniforms.tolist())
    maps = []
    names = {control.name for control in controls}
    for first, second in ((unit.panel[a], unit.panel[b]) for a, b in PAIRS if {a, b} <= names):
        study.tell(f"{first.name} x {second.name}")
        grid = [
            [_errors(model, unit, excerpts, others, {first.name: a, second.name: b}) for b in _positions(second)]
            for a in _positions(first)
        ]
        errors = np.array(grid)  # (first, second, contexts, 2)
        maps.append(
            {
                "knobs": [first.name, second.name],
                "labels": [[control.format(float(f"{v:.3g}")) for v in _positions(control)] for control in (first, second)],
                "esr": geometric_mean(errors[..., 0], axis=2).tolist(),
                "gain_error_db": np.nanmean(errors[..., 1], axis=2).tolist(),
                **corners(first, second, errors),
            }
        )
    return maps


def _positions(control: Control) -> list[float]:
    if control.taper == "steps":
        return sorted(control.positions.values()) if control.positions else [control.low, control.high]
    return [control.denormalise(x) for x in np.linspace(-1, 1, GRID)]


def _errors(
    model: Compressor, unit: Device, excerpts: list[np.ndarray], others: list[Setting], pair: Setting
) -> list[tuple[float, float]]:
    found = []
    for x, other in zip(excerpts, others, strict=True):
        setting: Any = {**other, **pair}
        y = unit.process(x, model.sample_rate, setting)
        ours = model(x, model.sample_rate, **setting)
        found.append((esr(y, ours), gain_error_db(x, y, ours, model.sample_rate)))
    return found


def corners(first: Control, second: Control, errors: np.ndarray) -> dict[str, Any]:
    """The quarters of the map: mean log ESR against the other three, context by context."""
    logs = logarithm(errors[..., 0])
    middle = [length // 2 for length in logs.shape[:2]]
    halves = [(("low", slice(0, m)), ("high", slice(m, None))) for m in middle]
    found: list[dict[str, Any]] = []
    for (a, rows), (b, columns) in itertools.product(*halves):
        inside = np.zeros(logs.shape[:2], bool)
        inside[rows, columns] = True
        difference = logs[inside].mean(axis=0) - logs[~inside].mean(axis=0)
        found.append(
            {
                "corner": {first.name: a, second.name: b},
                "esr_against_rest": float(np.exp(difference.mean())),
                "p": permutation_p(difference),
            }
        )
    hardest = max(found, key=lambda corner: corner["esr_against_rest"])
    return {"corners": found, "hardest": hardest["corner"]}


def _picture(found: dict[str, Any]) -> str:
    return f"{'_'.join(found['knobs'])}.png"


def report(document: dict[str, Any]) -> str:
    """Markdown."""
    parts = [
        f"# Where {document['model']} errs\n",
        f"Against the {DEVICES[document['device']].title}: {GRID} positions a knob, {CONTEXTS} excerpts of "
        f"{EXCERPT_S:g} s, each with "
        "its own position of the other knobs. A corner's ESR is over that of the rest of the map (geometric "
        "means); p is two-sided, by "
        "flipping signs over the excerpts.\n",
    ]
    for found in document["maps"]:
        rows = [
            [
                ", ".join(f"{half} {knob}" for knob, half in corner["corner"].items()),
                f"{corner['esr_against_rest']:.2f}", f"{corner['p']:.2g}",
            ]
            for corner in found["corners"]
        ]  # fmt: skip
        hardest = ", ".join(f"{half} {knob}" for knob, half in found["hardest"].items())
        said = ""
        if set(found["knobs"]) == set(_PAPER):
            agrees = "the paper's too" if found["hardest"] == _PAPER else "the paper names fast attack with slow release"
            said = f" ({agrees})"
        parts += [
            f"## {found['knobs'][0]} x {found['knobs'][1]}\n", f"Hardest: {hardest}{said}.\n",
            table(["corner", "ESR against the rest", "p"], rows), f"![Error map]({_picture(found)})\n",
        ]  # fmt: skip
    return "\n".join(parts)
