"""Where a search over knobs begins: many settings are tried, descents start from the best that are apart from one another.

Positions are (controls,), -1 to 1 along each knob's travel.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlxopto.controls import Panel, latin_hypercube

SETTLING_S = 0.3  # left out at the start of a recording, because nobody knows what the unit heard before
APART = 0.4  # half travels by which starts differ in one knob at least


def turnable(panel: Panel) -> np.ndarray:
    """(controls,), true for all but switches, on which nothing can descend."""
    return np.array([control.taper != "steps" for control in panel.controls])


def spread(panel: Panel, count: int) -> np.ndarray:
    """Positions all over the panel, (count, controls), the same every time."""
    uniforms = np.random.default_rng(0).random((count, len(panel.controls))).tolist()
    return np.array([panel.normalise(setting) for setting in latin_hypercube(panel, count, uniforms)])


def choose(positions: Sequence[np.ndarray], turnable: np.ndarray, count: int) -> list[int]:
    """Which positions to descend from: the first `count` that are apart, and two with each position of the switches."""
    chosen: list[int] = []
    for index, position in enumerate(positions):
        others = [positions[i] for i in chosen]
        alike = sum(np.array_equal(position[~turnable], other[~turnable]) for other in others)
        new = all(np.abs(position - other).max() >= APART for other in others)
        if new and (len(chosen) < count or alike < min(2, count)):
            chosen.append(index)
    return chosen
