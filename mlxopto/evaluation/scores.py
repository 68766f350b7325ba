"""How well a network does on a set of takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import mlx.core as mx
import numpy as np

from mlxopto.controls import Panel
from mlxopto.data.takes import Take
from mlxopto.metrics import esr, gain_error_db
from mlxopto.models import Network


@dataclass(frozen=True)
class Scores:
    """Over takes: the median ESR, the median of each take's RMS gain error in dB, their means, and how many takes."""

    esr_median: float
    gain_error_db_rms: float
    esr_mean: float
    gain_error_db_mean: float
    takes: int

    def rounded(self) -> dict[str, float]:
        """As JSON, four digits."""
        return {name: value if isinstance(value, int) else float(f"{value:.4g}") for name, value in asdict(self).items()}


def score(model: Network, panel: Panel, sample_rate: int, takes: Sequence[Take]) -> Scores:
    """Runs every take from rest and compares."""
    outputs = render_takes(model, panel, sample_rate, takes)
    errors = [esr(take.y, y) for take, y in zip(takes, outputs, strict=True)]
    gains = [gain_error_db(take.x, take.y, y, sample_rate) for take, y in zip(takes, outputs, strict=True)]
    means = float(np.mean(errors)), float(np.mean(gains))
    return Scores(float(np.median(errors)), float(np.median(gains)), *means, len(takes))


def render_takes(model: Network, panel: Panel, sample_rate: int, takes: Sequence[Take]) -> list[np.ndarray]:
    """The network's output for every take, float32 (samples,): all takes side by side, a second at a time."""
    controls = mx.array(np.array([panel.normalise(take.setting) for take in takes], np.float32))
    longest = max(len(take.x) for take in takes)
    x = np.stack([np.pad(take.x, (0, longest - len(take.x))) for take in takes])
    state, parts = model.initial_state(controls), []
    for at in range(0, longest, sample_rate):
        y, state = model(mx.array(x[:, at : at + sample_rate]), controls, state)
        mx.eval(y, state)
        parts.append(np.array(y))
    rows = np.concatenate(parts, axis=1)
    return [row[: len(take.x)] for row, take in zip(rows, takes, strict=True)]
