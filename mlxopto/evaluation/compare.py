"""Models against recordings they were not trained on: every metric on seen and unseen settings, intervals, and paired tests."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlxopto import metrics
from mlxopto.compressor import Compressor
from mlxopto.data.takes import Source, Take
from mlxopto.errors import RequestError
from mlxopto.evaluation.statistics import interval, permutation_p
from mlxopto.models import parameter_count

SPLITS = ("seen", "unseen")
TESTED = ("esr", "gain_error_db")

Metric = Callable[[np.ndarray, np.ndarray, np.ndarray, int], float]
METRICS: dict[str, Metric] = {  # of input, target, estimate, sample rate
    "esr": lambda x, y, p, rate: metrics.esr(y, p),
    "esr_emphasised": lambda x, y, p, rate: metrics.esr_emphasised(y, p),
    "gain_error_db": metrics.gain_error_db,
    "gain_error_db_p95": metrics.gain_error_db_p95,
    "mse": lambda x, y, p, rate: metrics.mse(y, p),
    "mae": lambda x, y, p, rate: metrics.mae(y, p),
    "rmse": lambda x, y, p, rate: metrics.rmse(y, p),
    "mae_rectified": lambda x, y, p, rate: metrics.mae_rectified(y, p),
    "multi_resolution_stft": lambda x, y, p, rate: metrics.multi_resolution_stft(y, p),
    "multi_resolution_stft_paper": lambda x, y, p, rate: metrics.multi_resolution_stft_paper(y, p),
    "mfcc_error": lambda x, y, p, rate: metrics.mfcc_error(y, p, rate),
    "spectral_flux": lambda x, y, p, rate: metrics.spectral_flux(y, p, rate),
    "loudness_difference": lambda x, y, p, rate: abs(metrics.loudness_difference(y, p, rate)),
}


@dataclass(frozen=True)
class Judged:
    """One take, and by model what it made of it and how far off that is."""

    take: Take
    split: str
    outputs: dict[str, np.ndarray] = field(default_factory=dict)
    errors: dict[str, dict[str, float]] = field(default_factory=dict)


def judge(models: dict[str, Compressor], source: Source) -> Iterator[Judged]:
    """Every test take through every model.

    Raises:
        RequestError: a control of the data that a model does not have, or a value outside what it was trained on.
    """
    for name, model in models.items():
        ours = [control.name for control in model.panel.controls]
        theirs = [control.name for control in source.panel.controls]
        if set(ours) != set(theirs):
            raise RequestError(f"{name} has the controls {', '.join(ours)}, the data have {', '.join(theirs)}")
    if not any(source.test.get(split) for split in SPLITS):
        raise RequestError("the data have no takes to test on: none is marked seen or unseen")
    for split in SPLITS:
        for take in source.test.get(split, ()):
            judged = Judged(take, split)
            for name, model in models.items():
                controls: Any = take.setting  # names, so that none is taken for an option
                y = model(take.x, source.sample_rate, **controls)
                judged.outputs[name] = y
                judged.errors[name] = {
                    metric: function(take.x, take.y, y, source.sample_rate) for metric, function in METRICS.items()
                }
            yield judged


def document(data: str, models: dict[str, Compressor], judged: Sequence[Judged]) -> dict[str, Any]:
    """The comparison as JSON: {"data", "models", "tests", "pairs"}."""
    return {
        "data": data,
        "models": [
            {
                "name": name,
                "arch": model.card.architecture,
                "parameters": parameter_count(model.model),
                **{split: _summary(name, [j for j in judged if j.split == split]) for split in SPLITS},
            }
            for name, model in models.items()
        ],
        "tests": list(_tests(list(models), judged)),
        "pairs": [
            {
                "input": j.take.input,
                "target": j.take.target,
                "controls": dict(j.take.setting),
                "split": j.split,
                **{name: {metric: _short(value) for metric, value in errors.items()} for name, errors in j.errors.items()},
            }
            for j in judged
        ],
    }


def _summary(name: str, judged: Sequence[Judged]) -> dict[str, Any]:
    found = {}
    for metric in METRICS:
        values = np.array([j.errors[name][metric] for j in judged])
        values = values[np.isfinite(values)]
        if len(values):
            ci95 = [_short(edge) for edge in interval(values)]
            found[metric] = {"median": _short(np.median(values)), "mean": _short(values.mean()), "ci95": ci95}
    return found


def _tests(names: list[str], judged: Sequence[Judged]) -> Iterator[dict[str, Any]]:
    """Pairs of models take by take: ESR as the difference of its logarithms, gain error in dB."""
    for a, b in itertools.combinations(names, 2):
        for split in SPLITS:
            for metric in TESTED:
                pairs = np.array([[j.errors[name][metric] for name in (a, b)] for j in judged if j.split == split])
                pairs = pairs[np.isfinite(pairs).all(axis=1)] if len(pairs) else pairs
                if len(pairs) < 2:
                    continue
                scale = np.log(np.maximum(pairs, 1e-15)) if metric == "esr" else pairs
                p = permutation_p(scale[:, 0] - scale[:, 1])
                better = a if scale[:, 0].mean() < scale[:, 1].mean() else b
                yield {"a": a, "b": b, "split": split, "metric": metric, "better": better, "p": _short(p), "takes": len(pairs)}


def _short(value: float | np.floating) -> float | None:
    """Five digits; None for what JSON has no number for."""
    return float(f"{value:.5g}") if math.isfinite(value) else None
