"""Captures folders: recordings of a device, the one data format for them.

    device.json     {"device": name, "controls": [{"name", "unit", "low", "high", "scale": lin | log | int, ...}],
                     "dbu_at_full_scale": optional}
    manifest.json   [{"input", "target": paths relative to the manifest, "controls": {name: {"value", "unit"}},
                     "split": train | val | seen | unseen | measure}]

Other keys are allowed and kept out of the way. Everything is checked when a folder is loaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from mlxopto import audio
from mlxopto.controls import TIME_UNITS, Control, Panel, Setting, known_unit
from mlxopto.data.alignment import align
from mlxopto.data.delay import WORTH, advanced, fraction_late
from mlxopto.data.judgement import Report, judge
from mlxopto.data.takes import Take, settings_of, shuffled
from mlxopto.errors import RequestError, UnusableError
from mlxopto.formats import documents
from mlxopto.text import quoted

DEVICE, MANIFEST = "device.json", "manifest.json"
MEASURED = "measure"  # the split of a recording by which the unit is measured, on which nothing is trained or tested
SPLITS = {"train": "train", "val": "val", "validation": "val", "seen": "seen", "unseen": "unseen", "test": "unseen"}
SPLITS |= {MEASURED: MEASURED}
READ_AHEAD = 8  # files that are kept while captures are read, because several may have one input
_TAPERS = {"lin": "linear", "linear": "linear", "log": "log", "int": "steps", "steps": "steps", "choice": "steps"}


@dataclass(frozen=True)
class Capture:
    """One manifest entry: an input and a target file at one setting."""

    input: Path
    target: Path
    setting: Setting
    split: str


@dataclass(frozen=True)
class _Knob:
    """A control as a device.json has it."""

    name: str
    unit: str
    low: float
    high: float
    scale: str = "lin"
    default: float | None = None
    positions: dict[str, float] = field(default_factory=dict)

    def control(self) -> Control:
        if self.scale not in _TAPERS:
            raise RequestError(f"scale must be one of {', '.join(_TAPERS)}, got {quoted(self.scale)}")
        unit = known_unit(self.unit)
        return Control(self.name, unit, self.low, self.high, _TAPERS[self.scale], self.default, self.positions)


@dataclass(frozen=True)
class _Device:
    device: str
    controls: list[_Knob]
    dbu_at_full_scale: float | None = None


@dataclass(frozen=True)
class _Value:
    value: float
    unit: str | None = None


@dataclass(frozen=True)
class _Entry:
    """An entry of a manifest.json."""

    input: str
    target: str
    controls: dict[str, _Value]
    split: str


def load_panel(path: Path) -> tuple[str, Panel, float | None]:
    """The device's name, its panel and its dBu at full scale from a device.json.

    Raises:
        RequestError: not JSON, or a key that is missing or wrong, named.
    """
    document = documents.read_json(path, _Device, others=True)
    controls = []
    for number, knob in enumerate(document.controls, 1):
        try:
            controls.append(knob.control())
        except RequestError as error:
            raise RequestError(f"{path}, control {number}: {error}") from error
    if not controls:
        raise RequestError(f"{path} declares no control; a device needs at least one")
    return document.device, Panel(tuple(controls)), document.dbu_at_full_scale


def panel_document(name: str, panel: Panel, dbu_at_full_scale: float | None = None) -> dict[str, Any]:
    """What `load_panel` reads, for a device.json."""
    scales = {"linear": "lin", "log": "log", "steps": "int"}
    controls = []
    for control in panel.controls:
        entry = {"name": control.name, "unit": control.unit, "low": control.low, "high": control.high}
        entry |= {"scale": scales[control.taper], "default": control.start}
        controls.append(entry | ({"positions": dict(control.positions)} if control.positions else {}))
    level = {} if dbu_at_full_scale is None else {"dbu_at_full_scale": dbu_at_full_scale}
    return {"device": name, **level, "controls": controls}


def load_manifest(path: Path, panel: Panel) -> list[Capture]:
    """The entries of a manifest.json, their settings checked against the panel.

    Raises:
        RequestError: not JSON, a key that is missing or wrong, a control or value that the panel lacks; entry named.
    """
    entries = documents.read_json(path, list[_Entry], others=True)
    if not entries:
        raise RequestError(f"{path} must hold a list of captures, it is empty")
    return [_capture(path.parent, panel, entry, f"{path}, entry {number}") for number, entry in enumerate(entries, 1)]


def _capture(folder: Path, panel: Panel, entry: _Entry, where: str) -> Capture:
    if entry.split not in SPLITS:
        raise RequestError(f"{where}: split must be one of {', '.join(SPLITS)}, got {quoted(entry.split)}")
    values: dict[str, float | str] = {
        name: _in_panel_unit(panel, name, given.value, given.unit, where) for name, given in entry.controls.items()
    }
    if missing := [control.name for control in panel.controls if control.name not in values]:
        raise RequestError(f"{where} gives no value for {', '.join(missing)}")
    try:
        setting = panel.setting(values)
    except RequestError as error:
        raise RequestError(f"{where}: {error}") from error
    for name in (entry.input, entry.target):
        if not name.isprintable() or len(name) > 1000:
            raise RequestError(f"{where} names no file that can be: {quoted(name)}")
    return Capture(folder / entry.input, folder / entry.target, setting, SPLITS[entry.split])


def read_mono(path: Path) -> tuple[np.ndarray, int]:
    """The samples of a capture's file, float32 (samples,), and their rate.

    Raises:
        RequestError: the file cannot be read, or has several channels.
    """
    samples, rate = audio.read(path)
    if samples.shape[1] != 1:
        raise RequestError(f"{path} has {samples.shape[1]} channels, a capture must be mono")
    return samples[:, 0], rate


def lag_and_polarity(x: np.ndarray, y: np.ndarray) -> tuple[int, int]:
    """By how many samples y comes after x, and 1 or -1; 0 and 1 where that cannot be told, 0 and 0 where one never changes."""
    if not len(x) or not len(y) or np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0, 0
    found = align(x, y)
    return found.lag or 0, found.polarity or 1


def judged(captures: list[Capture]) -> Iterator[tuple[Capture, Report, Take | None, dict[int, Path]]]:
    """Each capture with its report, as a take where it could be read, and the sample rates of its files."""
    recording = lru_cache(READ_AHEAD)(read_mono)
    for capture in captures:
        try:
            (x, rate), (y, target_rate) = recording(capture.input), recording(capture.target)
        except RequestError as error:
            yield capture, Report(str(capture.target), (str(error),)), None, {}
            continue
        rates = {rate: capture.input, target_rate: capture.target}
        if rate != target_rate:
            told = f"{capture.target} has {target_rate} Hz, its input {capture.input} {rate}"
            yield capture, Report(str(capture.target), (told,)), None, rates
            continue
        take = Take(x, y, capture.setting, str(capture.input), str(capture.target))
        yield capture, judge(capture.input, capture.target, x, y, rate), take, rates


def problems_together(folder: Path, captures: list[Capture], rates: dict[int, Path]) -> list[str]:
    """What is wrong with captures as a whole: rates that differ, nothing to train on."""
    problems = []
    if len(rates) > 1:
        problems.append("sample rates differ: " + ", ".join(f"{path} has {rate} Hz" for rate, path in rates.items()))
    if not any(capture.split == "train" for capture in captures):
        problems.append(f"{folder / MANIFEST} has no capture with the split train")
    return problems


class CaptureSource:
    """Training data from a captures folder.

    Trains on the split "train"; tests on "seen" and "unseen". Validates on "val"; where there is none, every twelfth
    training setting (at least one of three or more) is held out for it.

    Args:
        folder: the captures folder. seed: of the order in which captures are played.
    Raises:
        RequestError: anything wrong with the folder, each problem named with its file.
    """

    def __init__(self, folder: Path, seed: int):
        self.folder, self.seed = folder, seed
        if not folder.is_dir():
            raise RequestError(f"{folder} is not a folder; a captures folder holds device.json and manifest.json")
        self.name, self.panel, self.dbu_at_full_scale = load_panel(folder / DEVICE)
        captures = [capture for capture in load_manifest(folder / MANIFEST, self.panel) if capture.split != MEASURED]
        self.sample_rate, takes, self.remarks = _read_all(folder, captures)
        parts: dict[str, list[Take]] = {split: [] for split in ("train", "val", "seen", "unseen")}
        for capture, take in zip(captures, takes, strict=True):
            parts[capture.split].append(take)
        self._train = parts["train"]
        self.validation = parts["val"]
        if not self.validation:
            self._train, self.validation = hold_out(self._train, seed)
        self.test = {"seen": parts["seen"], "unseen": parts["unseen"]}
        seconds = sum(len(take.x) for take in self._train) / self.sample_rate
        self.training_settings = len(settings_of(self._train))
        self.description = f"captures of {self.name}, {self.training_settings} settings, {seconds:.0f} s"

    def sequence(self, index: int) -> Take:
        """Captures in a new random order each time round; up to 16 samples are left out at the start, so that frames fall
        differently.
        """
        take = shuffled(self._train, self.seed, index)
        shift = int(np.random.default_rng([self.seed, 1, index]).integers(16))
        return replace(take, x=take.x[shift:], y=take.y[shift:])


def hold_out(takes: list[Take], seed: int) -> tuple[list[Take], list[Take]]:
    """What is left to train on, and every twelfth setting (at least one) to validate on; none of fewer than three settings."""
    settings = sorted(settings_of(takes))
    if len(settings) < 3:
        return takes, []
    count = max(1, len(settings) // 12)
    chosen = {settings[i] for i in np.random.default_rng([seed, 2]).choice(len(settings), count, replace=False)}
    held = [take for take in takes if tuple(take.setting.items()) in chosen]
    return [take for take in takes if tuple(take.setting.items()) not in chosen], held


def _in_panel_unit(panel: Panel, name: str, value: float, unit: str | None, where: str) -> float:
    """The value in the panel's unit: units of time are converted, any other difference is refused."""
    control = panel[name] if any(control.name == name for control in panel.controls) else None
    if control is None or unit is None or unit == control.unit:
        return value  # an unknown control is refused with the rest of the setting
    given = known_unit(unit)
    if control.unit in TIME_UNITS and given in TIME_UNITS:
        return value * TIME_UNITS[given] / TIME_UNITS[control.unit]
    if given == control.unit:
        return value
    raise RequestError(f"{where}: {name} is in {control.unit!r} on the panel, got the unit {quoted(unit)}")


def _read_all(folder: Path, captures: list[Capture]) -> tuple[int, list[Take], tuple[str, ...]]:
    """The sample rate, every take, and what is remarked of them; raises UnusableError."""
    takes: list[Take] = []
    problems: list[str] = []
    remarks: list[str] = []
    rates: dict[int, Path] = {}
    for _, report, take, found in judged(captures):
        problems += report.problems
        remarks += report.remarks
        rates = {**found, **rates}
        takes += [take] if take else []
    problems += problems_together(folder, captures, rates)
    if problems:
        raise UnusableError("these captures", problems)
    takes, told = _on_the_grid(takes)
    return next(iter(rates)), takes, (*remarks, *told)


def _on_the_grid(takes: list[Take]) -> tuple[list[Take], tuple[str, ...]]:
    """The takes without the fraction of a sample by which the chain of converters is late, one for all, and what is told of
    it.
    """
    late = float(np.median([fraction_late(take.x, take.y) for take in takes])) if takes else 0.0
    if abs(late) < WORTH:
        return takes, ()
    told = f"the recordings are {abs(late):.2f} samples {'late' if late > 0 else 'early'}, which was taken off"
    return [replace(take, y=advanced(take.y, late)) for take in takes], (told,)
