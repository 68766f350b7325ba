"""What every source of training data gives: sequences to learn from, and takes to validate and test on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from mlxopto.controls import Panel, Setting

Item = TypeVar("Item")


@dataclass(frozen=True)
class Take:
    """Input and target at one setting: float32 (samples,) each, aligned, both starting with the device at rest; where they came
    from.
    """

    x: np.ndarray
    y: np.ndarray
    setting: Setting
    input: str = ""
    target: str = ""


def shuffled(items: Sequence[Item], seed: int, index: int) -> Item:
    """The item at a place of an endless walk that goes through all of them, each time round in a new random order."""
    epoch, place = divmod(index, len(items))
    return items[np.random.default_rng([seed, epoch]).permutation(len(items))[place]]


def settings_of(takes: Iterable[Take]) -> set[tuple[tuple[str, float], ...]]:
    """The different settings."""
    return {tuple(take.setting.items()) for take in takes}


def split_by_known_settings(takes: Iterable[Take], known: set[tuple[tuple[str, float], ...]]) -> dict[str, list[Take]]:
    """Test takes as "seen" and "unseen": whether their settings are known."""
    split: dict[str, list[Take]] = {"seen": [], "unseen": []}
    for take in takes:
        split["seen" if tuple(take.setting.items()) in known else "unseen"].append(take)
    return split


class Source(Protocol):
    """Training data. `sequence(i)` depends on i and the source's seed only, so that an interrupted run can go on."""

    name: str  # of the device
    panel: Panel
    training_settings: int  # how many different settings the sequences have
    sample_rate: int
    description: str
    dbu_at_full_scale: float | None
    remarks: tuple[str, ...]  # what may be odd about recordings that can be used
    validation: list[Take]
    test: dict[str, list[Take]]  # "seen" and "unseen" settings, both on material never trained on

    def sequence(self, index: int) -> Take: ...
