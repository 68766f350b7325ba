"""What every source of training data gives: sequences to learn from, and takes to validate and test on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mlxopto.controls import Panel, Setting


@dataclass(frozen=True)
class Take:
    """Input and target at one setting: float32 (samples,) each, aligned, both starting with the device at rest; where they came from."""

    x: np.ndarray
    y: np.ndarray
    setting: Setting
    input: str = ""
    target: str = ""


class Source(Protocol):
    """Training data. `sequence(i)` depends on i and the source's seed only, so that an interrupted run can go on."""

    name: str  # of the device
    panel: Panel
    training_settings: int  # how many different settings the sequences have
    sample_rate: int
    description: str
    dbu_at_full_scale: float | None
    validation: list[Take]
    test: dict[str, list[Take]]  # "seen" and "unseen" settings, both on material never trained on

    def sequence(self, index: int) -> Take: ...
