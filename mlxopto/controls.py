"""Knobs and switches: declared once, with name, unit, range, taper and named positions; parsed, checked, normalised."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mlxopto.errors import RequestError

TAPERS = ("linear", "log", "steps")
TIME_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_NUMBER = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(.*?)\s*")

Setting = dict[str, float]


@dataclass(frozen=True)
class Control:
    """One knob or switch, in the unit printed on its panel.

    Args:
        name: lower case with underscores. unit: ms, s, dB, dBu, :1, % or any words (then only shown).
        low, high: the range, low < high. taper: linear, log (both ends positive) or steps (whole numbers).
        default: where the knob stands when nobody sets it; the middle of the travel when not given.
        positions: names for values, such as {"fast": 3.0}; on a switch, its labels.
    Raises:
        RequestError: a declaration that contradicts itself.
    """

    name: str
    unit: str
    low: float
    high: float
    taper: str = "linear"
    default: float | None = None
    positions: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", self.name):
            raise RequestError(f"a control's name must be lower-case letters, digits and underscores, got {self.name!r}")
        if self.taper not in TAPERS:
            raise RequestError(f"the taper of {self.name} must be one of {', '.join(TAPERS)}, got {self.taper!r}")
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise RequestError(f"the range of {self.name} must rise, got {self.low} to {self.high}")
        if self.taper == "steps" and (self.low != round(self.low) or self.high != round(self.high)):
            raise RequestError(f"{self.name} has steps, so its range must be whole numbers, got {self.low} to {self.high}")
        if self.taper == "log" and self.low <= 0:
            raise RequestError(f"{self.name} has a log taper, so its range must be above 0, got {self.low} to {self.high}")
        if self.default is None:
            object.__setattr__(self, "default", self.denormalise(0.0))
        for label in self.positions:
            if _NUMBER.fullmatch(label) or not label.strip():
                raise RequestError(f"a position of {self.name} needs a name that is not a number, got {label!r}")
        labels = {label.strip().lower(): self.check(value) for label, value in self.positions.items()}
        object.__setattr__(self, "positions", labels)
        self.check(self.start)

    @property
    def start(self) -> float:
        """The default, never None."""
        assert self.default is not None
        return self.default

    def parse(self, text: str, *, extrapolate: bool = False) -> float:
        """A value from "3ms", "0.5 s", "4:1", "-20dBu", "65" or a named position.

        Raises:
            RequestError: text that is no value of this control, or a value outside its range unless `extrapolate`.
        """
        label = text.strip().lower()
        if label in self.positions:
            return self.positions[label]
        match = _NUMBER.fullmatch(text)
        if not match or not math.isfinite(float(match[1])):
            raise RequestError(f"{self.name} must be {self.accepts()}, got {text!r}")
        value, unit = float(match[1]), match[2]
        if unit and unit.lower() != self.unit.lower():
            value = self._convert(value, unit, text)
        return self.check(value, extrapolate=extrapolate)

    def check(self, value: float, *, extrapolate: bool = False) -> float:
        """The value, as a float.

        Raises:
            RequestError: not finite, outside the range (unless `extrapolate`), or between the steps of a switch.
        """
        value = float(value)
        inside = self.low <= value <= self.high or (extrapolate and self.taper != "steps")
        if not math.isfinite(value) or not inside or (self.taper == "log" and value <= 0):
            raise RequestError(f"{self.name} must be {self.accepts()}, got {self.format(value)}")
        if self.taper == "steps" and value != round(value):
            raise RequestError(f"{self.name} must be {self.accepts()}, got {self.format(value)}")
        return value

    def format(self, value: float) -> str:
        """The value as people write it; `parse` gives exactly it back."""
        for label, position in self.positions.items():
            if self.taper == "steps" and position == value:
                return label
        number = repr(float(value)).removesuffix(".0")
        if self.unit == ":1":
            return f"{number}:1"
        return f"{number} {self.unit}" if self.unit in ("ms", "s", "dB", "dBu", "%") else number

    def accepts(self) -> str:
        """What a user may give: the range in the unit and the named positions."""
        labels = ", ".join(self.positions)
        if self.taper == "steps" and labels:
            return f"one of {labels}"
        text = f"{self.format(self.low)} to {self.format(self.high)}"
        return f"{text} or {labels}" if labels else text

    def normalise(self, value: float) -> float:
        """-1 at the low end, 1 at the high end, straight along the taper."""
        low, high = self.travel
        return 2 * (self._along(value) - low) / (high - low) - 1

    def denormalise(self, position: float) -> float:
        """The value at a position from -1 to 1; the nearest step of a switch."""
        low, high = self.travel
        along = low + (high - low) * (position + 1) / 2
        value = math.exp(along) if self.taper == "log" else along
        value = float(round(value)) if self.taper == "steps" else value
        return min(max(value, self.low), self.high)

    @property
    def travel(self) -> tuple[float, float]:
        """The ends of the range as the taper runs: logarithms on a log taper."""
        return self._along(self.low), self._along(self.high)

    def _along(self, value: float) -> float:
        return math.log(value) if self.taper == "log" else value

    def _convert(self, value: float, unit: str, text: str) -> float:
        if self.unit in TIME_UNITS and unit.lower() in TIME_UNITS:
            return value * TIME_UNITS[unit.lower()] / TIME_UNITS[self.unit]
        raise RequestError(f"{self.name} must be {self.accepts()}, got {text!r}")


@dataclass(frozen=True)
class Panel:
    """The controls of a device, in order."""

    controls: tuple[Control, ...]

    def __post_init__(self) -> None:
        names = [control.name for control in self.controls]
        if len(set(names)) < len(names):
            raise RequestError(f"a panel must name each control once, got {', '.join(names)}")

    def __getitem__(self, name: str) -> Control:
        for control in self.controls:
            if control.name == name:
                return control
        have = ", ".join(control.name for control in self.controls) or "none"
        raise RequestError(f"there is no control {name!r} here; the controls are {have}")

    def setting(self, values: Mapping[str, float | str], *, extrapolate: bool = False) -> Setting:
        """A value for every control: the given ones (text in any form that `Control.parse` reads), the rest at their defaults.

        Raises:
            RequestError: an unknown control or a value that it does not accept.
        """
        setting = {control.name: control.start for control in self.controls}
        for name, value in values.items():
            control = self[name]
            if isinstance(value, str):
                setting[name] = control.parse(value, extrapolate=extrapolate)
            else:
                setting[name] = control.check(value, extrapolate=extrapolate)
        return setting

    def in_units(self, setting: Setting) -> dict[str, dict[str, Any]]:
        """{name: {"value", "unit"}}, as JSON has a setting."""
        return {control.name: {"value": setting[control.name], "unit": control.unit} for control in self.controls}

    def normalise(self, setting: Mapping[str, float]) -> list[float]:
        """The network's view of a setting: -1 to 1 for each control, in panel order."""
        return [control.normalise(setting[control.name]) for control in self.controls]


def latin_hypercube(panel: Panel, count: int, uniforms: Iterable[Iterable[float]]) -> list[Setting]:
    """`count` settings that cover each knob's travel evenly, from rows of numbers in [0, 1), one row a setting, one column a control.

    The ranks of a column, not its values, place the settings, each in the middle of its own slice.
    """
    columns = list(zip(*uniforms, strict=True))
    ranks = [{row: rank for rank, row in enumerate(sorted(range(count), key=column.__getitem__))} for column in columns]
    return [
        {control.name: control.denormalise(2 * (ranks[i][row] + 0.5) / count - 1) for i, control in enumerate(panel.controls)}
        for row in range(count)
    ]
