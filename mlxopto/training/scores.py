"""How well a network does on a set of takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import mlx.core as mx
import numpy as np

from mlxopto.controls import Panel, Setting
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

    def rounded(self) -> dict[str, float | None]:
        """As JSON, four digits."""
        return {name: value if isinstance(value, int) else _rounded(value) for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Errors:
    """Of each take: its setting, its ESR and its RMS gain error in dB."""

    settings: list[Setting]
    esr: list[float]
    gain_error_db: list[float]

    def scores(self) -> Scores:
        """Medians and means."""
        esr, gain = np.array(self.esr), np.array(self.gain_error_db)
        return Scores(
            float(np.median(esr)), float(np.median(gain)), float(np.mean(esr)), float(np.mean(gain)), len(self.settings)
        )

    def rows(self) -> list[dict[str, Any]]:
        """As JSON, a take a row."""
        return [
            {"controls": dict(setting), "esr": _rounded(esr), "gain_error_db": _rounded(gain)}
            for setting, esr, gain in zip(self.settings, self.esr, self.gain_error_db, strict=True)
        ]


def _rounded(value: float) -> float | None:
    """To four digits; None, as JSON has it, for what is no number."""
    return float(f"{value:.4g}") if np.isfinite(value) else None


def errors(model: Network, panel: Panel, sample_rate: int, takes: Sequence[Take]) -> Errors:
    """Runs every take from rest and compares."""
    outputs = render_takes(model, panel, sample_rate, takes)
    esrs = [esr(take.y, y) for take, y in zip(takes, outputs, strict=True)]
    gains = [gain_error_db(take.x, take.y, y, sample_rate) for take, y in zip(takes, outputs, strict=True)]
    return Errors([take.setting for take in takes], esrs, gains)


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
