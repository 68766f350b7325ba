"""Which settings to record next: of an even plan those that differ most from all others, in gain as a trained model
expects it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from mlxopto.capture import plan, signals
from mlxopto.compressor import Compressor
from mlxopto.controls import Setting
from mlxopto.data import program

CANDIDATES = 384  # of the even plan, by which the whole panel is judged
LOOKAHEAD = 4  # times as many settings of the plan as are wanted: among these the choice is
ALIKE_DB = 0.01  # RMS
MATERIAL_S = 6.0  # of programme material that the model is asked about, after the probe
EVERY = 64  # samples a value of gain
AUDIBLE = 1e-3  # peak of what counts
DEEPEST_DB = 60.0  # gains below are all alike


@dataclass(frozen=True)
class Proposal:
    """A setting to record.

    new_db: RMS difference in gain between it and the most similar recorded setting, as the model expects. mean_db: the mean of
    that over the whole panel once it is recorded too.
    """

    setting: Setting
    new_db: float
    mean_db: float


def propose(
    compressor: Compressor, recorded: Sequence[Setting], barred: Sequence[Setting], count: int, show: Callable[[float], None]
) -> tuple[float, list[Proposal]]:
    """The mean difference between any setting and the most similar recorded one, in dB, and what to record next, the most
    telling first.

    The even plan goes on, but of several times as many settings as are wanted those are chosen that differ most from all
    others: in gain, times the distance in knobs. Where nothing is compressed, or where a knob hardly matters, one recording
    tells of all; but a model that has heard little is a poor judge of that. Each by itself foretold the error less well
    (tests/benchmarks/NOTES.md).

    Args:
        recorded: at least one that a model can learn from, or will. barred: not to be proposed, such as those of the test.
        count: at most; fewer where no more can be set, or none would tell anything. show: told the share done, 0 to 1.
    """
    known = [*recorded, *barred]
    candidates = [setting for setting in islice(plan.settings(compressor.panel), CANDIDATES) if setting not in known]
    if not candidates:
        return 0.0, []
    everything = [*recorded, *candidates]
    gains = _differences(_gains(compressor, everything, show))[len(recorded) :]
    knobs = _distances(np.array([compressor.panel.normalise(setting) for setting in everything]))[len(recorded) :]
    in_gain, in_knobs = (apart[:, : len(recorded)].min(axis=1) for apart in (gains, knobs))
    before, proposals = float(in_gain.mean()), list[Proposal]()
    for _ in range(count):
        best = int((in_gain * in_knobs)[: LOOKAHEAD * count].argmax())
        if (there := float(in_gain[best])) < ALIKE_DB:
            break
        column = len(recorded) + best
        in_gain, in_knobs = np.minimum(in_gain, gains[:, column]), np.minimum(in_knobs, knobs[:, column])
        proposals.append(Proposal(candidates[best], there, float(in_gain.mean())))
    return before, proposals


def _gains(compressor: Compressor, settings: Sequence[Setting], show: Callable[[float], None]) -> np.ndarray:
    """Gain in dB over time, (settings, times), where something is heard."""
    rate = compressor.sample_rate
    x = np.concatenate([signals.probe(rate), program.generate(MATERIAL_S, rate, np.random.SeedSequence(3))])
    loudest = np.abs(x[: len(x) // EVERY * EVERY].reshape(-1, EVERY)).max(axis=1)
    heard = np.flatnonzero(loudest > AUDIBLE) * EVERY

    def gain(setting: Setting) -> np.ndarray:
        controls: dict[str, Any] = dict(setting)
        stream = compressor.stream(1, sample_rate=rate, extrapolate=True, **controls)
        stream(x)
        return 20 * np.log10(np.maximum(stream.gain.ravel()[heard], 10 ** (-DEEPEST_DB / 20)))

    found = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for number, curve in enumerate(pool.map(gain, settings)):
            found.append(curve)
            show((number + 1) / len(settings))
    return np.array(found)


def _differences(curves: np.ndarray) -> np.ndarray:
    """RMS over time between all pairs of (n, times), (n, n)."""
    return _distances(curves) / np.sqrt(curves.shape[1])


def _distances(points: np.ndarray) -> np.ndarray:
    """Between all pairs of (n, dimensions), (n, n)."""
    squares = np.square(points).sum(axis=1)
    distances = np.sqrt(np.maximum(squares[:, None] + squares[None] - 2 * points @ points.T, 0.0))
    np.fill_diagonal(distances, 0.0)
    return distances
