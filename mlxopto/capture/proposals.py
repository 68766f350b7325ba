"""Which settings to record next: of an even plan those whose gain a trained model expects to be least like that of any other."""

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
LOOKAHEAD = 2  # times as many settings of the plan as are wanted: among these the choice is
ALIKE_DB = 0.01  # RMS
MATERIAL_S = 6.0  # of programme material that the model is asked about, after the probe
EVERY = 64  # samples a value of gain
AUDIBLE = 1e-3  # peak of what counts
DEEPEST_DB = 60.0  # gains below are all alike


@dataclass(frozen=True)
class Proposal:
    """A setting to record.

    new_db: RMS difference in gain between it and the most similar recorded setting, as the model expects. mean_db: the mean of that
    over the whole panel once it is recorded too.
    """

    setting: Setting
    new_db: float
    mean_db: float


def propose(
    compressor: Compressor, recorded: Sequence[Setting], barred: Sequence[Setting], count: int, show: Callable[[float], None]
) -> tuple[float, list[Proposal]]:
    """The mean difference between any setting and the most similar recorded one, in dB, and what to record next, the most telling first.

    The even plan goes on, but of twice as many settings as are wanted those are left out whose gain is like that of another one:
    where nothing is compressed, or where a knob hardly matters, one recording tells of all.

    Args:
        recorded: that a model can learn from, or will be. barred: not to be proposed, such as those of the test.
        count: at most; fewer where no more can be set, or none would tell anything. show: told the share done, 0 to 1.
    """
    known = [*recorded, *barred]
    candidates = [setting for setting in islice(plan.settings(compressor.panel), CANDIDATES) if setting not in known]
    if not candidates:
        return 0.0, []
    gains = _gains(compressor, [*recorded, *candidates], show)
    old, new = gains[: len(recorded)], gains[len(recorded) :]
    nearest = _differences(new, old).min(axis=1) if len(old) else np.full(len(new), DEEPEST_DB)
    before, between = float(nearest.mean()), _differences(new, new)
    proposals: list[Proposal] = []
    for _ in range(count):
        best = int(nearest[: LOOKAHEAD * count].argmax())
        if (there := float(nearest[best])) < ALIKE_DB:
            break
        nearest = np.minimum(nearest, between[:, best])
        nearest[best] = 0.0
        proposals.append(Proposal(candidates[best], there, float(nearest.mean())))
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


def _differences(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """RMS over time between all curves of (n, times) and of (m, times), (n, m)."""
    squares = np.square(a).mean(axis=1)[:, None] + np.square(b).mean(axis=1)[None] - 2 * (a @ b.T) / a.shape[1]
    return np.sqrt(np.maximum(squares, 0.0))
