"""Panels of well-known hardware as it is printed, for `mlxopto capture init --preset`."""

from __future__ import annotations

from collections.abc import Mapping

from mlxopto.controls import Control, Panel
from mlxopto.devices import cl1b, la2a


def _switch(name: str, unit: str, *labels: str, default: int = 0) -> Control:
    positions = {label: float(number) for number, label in enumerate(labels)}
    return Control(name, unit, 0, len(labels) - 1, taper="steps", default=default, positions=positions)


PANELS: Mapping[str, Panel] = {
    "la2a": la2a.PANEL,
    "cl1b": cl1b.PANEL,
    "1176": Panel(
        (
            Control("input", "dB", -48, 0, default=-24),
            Control("attack", "", 1, 7, default=4),
            Control("release", "", 1, 7, default=4),
            _switch("ratio", ":1", "x4", "x8", "x12", "x20"),
        )
    ),
    "vca-bus": Panel(
        (
            Control("threshold", "dB", -15, 15, default=0),
            _switch("ratio", ":1", "x2", "x4", "x10", default=1),
            _switch("attack", "ms", "ms0.1", "ms0.3", "ms1", "ms3", "ms10", "ms30", default=3),
            _switch("release", "s", "s0.1", "s0.3", "s0.6", "s1.2", "auto", default=1),
        )
    ),
}
