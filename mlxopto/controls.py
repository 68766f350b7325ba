"""Knobs and switches: declared once, with name, unit, range, taper and named positions; parsed, checked, normalised."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

from mlxopto.errors import RequestError
from mlxopto.text import quoted

TAPERS = ("linear", "log", "steps")
TIME_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_NUMBER = re.compile(
    r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,4})?|[+-]?inf(?:inity)?|[+-]?\u221e)\s*(.*?)\s*", re.IGNORECASE
)
_COMMA = re.compile(r"(\d*),(\d+)")  # a decimal comma, or a thousand's
_SPELLINGS = {
    "us": ("us", "usec", "usecs", "microsecond", "microseconds"),
    "ms": ("ms", "msec", "msecs", "millisecond", "milliseconds"),
    "s": ("s", "sec", "secs", "second", "seconds"),
    ":1": (":1", "to 1", ": 1"),
}
_UNITS = {spelling: unit for unit, spellings in _SPELLINGS.items() for spelling in spellings}
_TIMES = re.compile(r"[a-z]?s|.*sec(ond)?s?|min|mins|minutes?|h|hrs?|hours?|days?")  # words that mean a time

FURTHEST = 100.0  # half travels from the middle, to which a value may be extrapolated
LONGEST_WORD = 40  # characters of a name, a unit or a position

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
            raise RequestError(f"a control's name must be lower-case letters, digits and underscores, got {quoted(self.name)}")
        for word in (self.name, self.unit, *self.positions):
            if not word.isprintable() or len(word) > LONGEST_WORD:
                raise RequestError(
                    f"words on a panel must be printable, of at most {LONGEST_WORD} characters, got {quoted(word)}"
                )
        if self.taper not in TAPERS:
            raise RequestError(f"the taper of {self.name} must be one of {', '.join(TAPERS)}, got {quoted(self.taper)}")
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
                raise RequestError(f"a position of {self.name} needs a name that is not a number, got {quoted(label)}")
        labels = {label.strip().lower(): self.check(value) for label, value in self.positions.items()}
        object.__setattr__(self, "positions", labels)
        self.check(self.start)

    @property
    def start(self) -> float:
        """The default, never None."""
        assert self.default is not None
        return self.default

    def parse(self, text: str, *, extrapolate: bool = False, dbu_at_full_scale: float | None = None) -> float:
        """A value from "3ms", "0,5 sec", "4:1", "-20dBu", "65" or a named position.

        Args:
            dbu_at_full_scale: by which dBFS and dBu become one another, where it is known.
        Raises:
            RequestError: text that is no value of this control, or a value outside its range unless `extrapolate`.
        """
        label = text.strip().lower()
        if label in self.positions:
            return self.positions[label]
        plain = _plain_number(text)
        if _COMMA.search(plain):
            raise self._refusal(quoted(text), "whose comma may be a point or stand for a thousand")
        match = _NUMBER.fullmatch(plain)
        if not match:
            raise self._refusal(quoted(text), "which is no number" + (" and no position" if self.positions else ""))
        value, unit = float(match[1].replace("\u221e", "inf")), match[2]
        if unit and _spelt(unit).lower() != _spelt(self.unit).lower():
            value = self._convert(value, unit, text, dbu_at_full_scale)
        return self.check(value, extrapolate=extrapolate)

    def check(self, value: float, *, extrapolate: bool = False) -> float:
        """The value, as a float.

        Raises:
            RequestError: not finite, outside the range (unless `extrapolate`), or between the steps of a switch.
        """
        value = _real(value)
        inside = self.low <= value <= self.high or (extrapolate and self.taper != "steps" and math.isfinite(value))
        if extrapolate and inside and self.taper == "linear" and abs(self.normalise(value)) > FURTHEST:
            raise self._refusal(self.format(value), "which is too far beyond that")
        if not inside or (self.taper == "log" and value <= 0):
            raise self._refusal(self.format(value), "which is no number" if math.isnan(value) else "which is beyond that")
        if self.taper == "steps" and value != round(value):
            raise self._refusal(self.format(value), "which is between two steps")
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

    def _convert(self, value: float, unit: str, text: str, dbu_at_full_scale: float | None) -> float:
        given, own = _spelt(unit), _spelt(self.unit)
        if given in TIME_UNITS and own in TIME_UNITS:
            return value * TIME_UNITS[given] / TIME_UNITS[own]
        if {given.lower(), own.lower()} == {"dbfs", "dbu"}:
            if dbu_at_full_scale is None:
                raise self._refusal(quoted(text), "and how many dBu full scale is, is not known")
            return value + (dbu_at_full_scale if given.lower() == "dbfs" else -dbu_at_full_scale)
        raise self._refusal(quoted(text), f"whose unit {quoted(unit)} does not fit")

    def _refusal(self, given: str, why: str) -> RequestError:
        return RequestError(f"{self.name} must be {self.accepts()}, got {given}, {why}")


def known_unit(unit: str) -> str:
    """A unit as it is spelt here: us, ms and s for times, others as they are.

    Raises:
        RequestError: a unit of time that is none of these.
    """
    spelt = _spelt(unit)
    if spelt not in TIME_UNITS and _TIMES.fullmatch(spelt.lower()):
        raise RequestError(f"the unit of time {quoted(unit)} is not known; us, ms and s are")
    return spelt


def _spelt(unit: str) -> str:
    word = unit.strip().rstrip(".").lower().replace("\u00b5", "u").replace("\u03bc", "u")
    return _UNITS.get(word, unit.strip())


def _plain_number(text: str) -> str:
    """With a minus of ASCII and a decimal point; a comma that may stand for a thousand is left, and so is not understood."""
    text = text.replace("\u2212", "-").replace("\u00a0", " ")
    comma = _COMMA.search(text)
    if comma and not (len(comma[2]) == 3 and comma[1].lstrip("0")):
        text = text.replace(",", ".", 1)
    return text


def _real(value: object) -> float:
    """A number as a float, one that is too large as infinite; raises TypeError for what is none."""
    try:
        return float(value)  # type: ignore[arg-type]
    except OverflowError:
        return math.inf


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
        raise RequestError(f"there is no control {quoted(name)} here; the controls are {have}")

    def setting(
        self, values: Mapping[str, float | str], *, extrapolate: bool = False, dbu_at_full_scale: float | None = None
    ) -> Setting:
        """A value for every control: the given ones (text in any form that `Control.parse` reads), the rest at their defaults.

        Raises:
            RequestError: an unknown control or a value that it does not accept.
            TypeError: a value that is neither a number nor text.
        """
        if not isinstance(values, Mapping):
            raise TypeError(f"a setting must be a mapping of controls to values, got {type(values).__name__}")
        setting = {control.name: control.start for control in self.controls}
        for name, value in values.items():
            control = self[name]
            if isinstance(value, str):
                setting[name] = control.parse(value, extrapolate=extrapolate, dbu_at_full_scale=dbu_at_full_scale)
            elif isinstance(value, Real) and not isinstance(value, bool):
                setting[name] = control.check(value, extrapolate=extrapolate)
            else:
                raise TypeError(f"{name} must be a number or text, got {type(value).__name__}")
        return setting

    def in_units(self, setting: Setting) -> dict[str, dict[str, Any]]:
        """{name: {"value", "unit"}}, as JSON has a setting."""
        return {control.name: {"value": setting[control.name], "unit": control.unit} for control in self.controls}

    def normalise(self, setting: Mapping[str, float]) -> list[float]:
        """The network's view of a setting: -1 to 1 for each control, in panel order."""
        return [control.normalise(setting[control.name]) for control in self.controls]


def latin_hypercube(panel: Panel, count: int, uniforms: Iterable[Iterable[float]]) -> list[Setting]:
    """`count` settings that cover each knob's travel evenly, from rows of numbers in [0, 1), one row a setting, one column a
    control.

    The ranks of a column, not its values, place the settings, each in the middle of its own slice.
    """
    columns = list(zip(*uniforms, strict=True))
    ranks = [{row: rank for rank, row in enumerate(sorted(range(count), key=column.__getitem__))} for column in columns]
    return [
        {control.name: control.denormalise(2 * (ranks[i][row] + 0.5) / count - 1) for i, control in enumerate(panel.controls)}
        for row in range(count)
    ]
