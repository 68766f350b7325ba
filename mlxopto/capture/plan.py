"""Which settings are recorded, and which takes at each."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mlxopto.controls import Control, Panel, Setting
from mlxopto.data.captures import MEASURED

MOST_REPEATED = 1000  # in a row, until nothing new is expected
STRETCH = 1.15  # how far the sequence reaches beyond the travel, so that ends are recorded too, and not only come near to
SEEN_SHARE = 0.5  # of a take's length has one for the test on seen settings


@dataclass(frozen=True)
class PlannedTake:
    """One recording to be made.

    split: train, val, seen, unseen or measure. seed: of its programme material. again: it repeats the take before, because what
    differs between the two no model can learn.
    """

    setting: Setting
    split: str
    seconds: float
    seed: int
    again: bool = False


def settings(panel: Panel) -> Iterator[Setting]:
    """Settings that fill the panel evenly, however many are taken; a person can set them, none comes twice.

    A Halton sequence, one prime a control, with its digits mixed so that the first settings are not in line. It ends when all
    that can be set has been.
    """
    known = {tuple(middle(panel).values())}  # which validation has
    repeated, index = 0, 1  # the first of the sequence is at the low end of everything
    while repeated < MOST_REPEATED:
        setting = {c.name: _at(c, _share(index, base)) for c, base in zip(panel.controls, _primes(), strict=False)}
        index += 1
        repeated = repeated + 1 if tuple(setting.values()) in known else 0
        if not repeated:
            known.add(tuple(setting.values()))
            yield setting


def middle(panel: Panel) -> Setting:
    """The panel's defaults, as a person can set them: where the set-up is made and validation recorded."""
    return {control.name: settable(control, control.start) for control in panel.controls}


def takes(panel: Panel, chosen: Sequence[Setting], seconds: float, measured_s: float = 0.0) -> list[PlannedTake]:
    """Validation twice at the panel's defaults, then the chosen settings: one in four for the test, another also on unheard
    material.

    Args:
        measured_s: of the passage by which the unit is measured, at the defaults too; 0 for none.
    """
    plan = [PlannedTake(middle(panel), "val", seconds, 0, again) for again in (False, True)]
    plan += [PlannedTake(middle(panel), MEASURED, measured_s, 0)] if measured_s else []
    mixed = np.random.default_rng(0).permutation(len(chosen)).tolist()
    share = len(chosen) // 4
    unseen, seen = mixed[:share], mixed[share : 2 * share]
    for number, setting in enumerate(chosen):
        plan.append(PlannedTake(setting, "unseen" if number in unseen else "train", seconds, 2 * number + 1))
        if number in seen:
            plan.append(PlannedTake(setting, "seen", SEEN_SHARE * seconds, 2 * number + 2))
    return plan


def more(chosen: Sequence[Setting], seconds: float, seed: int) -> list[PlannedTake]:
    """Further training takes; `seed` is the first that no other take has."""
    return [PlannedTake(setting, "train", seconds, seed + number) for number, setting in enumerate(chosen)]


def settable(control: Control, value: float) -> float:
    """The value, as finely as a person can set it: two digits on a log taper, a position of a switch, else some hundredths of
    the range.
    """
    if control.taper == "steps":
        return min(_positions(control), key=lambda position: abs(position - value))
    finest = abs(value) / 10 if control.taper == "log" else (control.high - control.low) / 20
    step = 10.0 ** math.floor(math.log10(finest)) if finest else 1.0
    rounded = round(round(value / step) * step, 12)
    return min(max(rounded, control.low), control.high)


def _at(control: Control, share: float) -> float:
    if control.taper == "steps":
        positions = _positions(control)
        return positions[math.floor(share * len(positions))]
    position = STRETCH * (2 * share - 1)
    return settable(control, control.denormalise(min(1.0, max(-1.0, position))))


def _positions(control: Control) -> list[float]:
    """Of a switch: the labelled ones, or every whole number."""
    return sorted(set(control.positions.values())) or [float(n) for n in range(round(control.low), round(control.high) + 1)]


def _share(index: int, base: int) -> float:
    """The van der Corput sequence, 0 to 1: the index's digits behind the point, last first, each times some 0.6 of the base."""
    mixing, share, weight = round(0.6 * base) if base > 3 else 1, 0.0, 1.0
    while index:
        index, digit = divmod(index, base)
        weight /= base
        share += weight * (digit * mixing % base)
    return share


def _primes() -> Iterator[int]:
    return (number for number in itertools.count(2) if all(number % k for k in range(2, number)))
