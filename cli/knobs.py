"""The control options that several commands share, and how they become a setting."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlxopto.controls import Setting
from mlxopto.errors import RequestError

from .display import console
from .options import flag, option

if TYPE_CHECKING:  # imported when a command runs: --help must not wait for MLX
    from mlxopto.compressor import Compressor
    from mlxopto.compressor import Mix as Mixed
    from mlxopto.presets import Preset

DEFAULT_MODEL = "cl1b"
CONTROLS, SOUND = "Controls", "Sound"  # panels of the help text
Model = Annotated[str | None, typer.Option(help="A shipped model's name, a weights file or a run folder. [default: cl1b]")]
PresetFile = Annotated[
    Path | None, typer.Option("--preset", help="TOML file with a model and its settings; other options change it.")
]
Link = Annotated[
    str | None,
    option("off: each channel for itself; max: the loudest leads; mean: by mean power. [default: max]", SOUND),
]
Mix = Annotated[float | None, option("0 dry to 1 wet. [default: 1]", SOUND)]
Makeup = Annotated[str | None, option("Gain of the wet signal in dB. [default: 0]", SOUND)]
Attack = Annotated[str | None, option("3ms, 0.5s, or a position such as fast, medium, slow.", CONTROLS)]
Release = Annotated[str | None, option("80ms, 2s, or a position such as fast, medium, slow.", CONTROLS)]
Threshold = Annotated[str | None, option("-20dBu, in the panel's unit.", CONTROLS)]
Ratio = Annotated[str | None, option("4:1 or 4.", CONTROLS)]
PeakReduction = Annotated[str | None, option("0 to 100, or light, medium, heavy.", CONTROLS)]
Mode = Annotated[str | None, option("compress or limit.", CONTROLS)]
Set = Annotated[
    list[str] | None,
    option("Any control by name; repeatable.", CONTROLS, "--set", metavar="NAME=VALUE"),
]
Extrapolate = Annotated[bool, flag("--extrapolate", "Allow values outside the range that the model was trained on.", CONTROLS)]


def gather(
    attack: str | None,
    release: str | None,
    threshold: str | None,
    ratio: str | None,
    peak_reduction: str | None,
    mode: str | None,
    sets: list[str] | None,
) -> dict[str, str]:
    """The controls given on the command line, by name, as text.

    Raises:
        RequestError: a --set that is not NAME=VALUE, or one control given twice.
    """
    options = {
        "attack": attack,
        "release": release,
        "threshold": threshold,
        "ratio": ratio,
        "peak_reduction": peak_reduction,
        "mode": mode,
    }
    given = {name: text for name, text in options.items() if text is not None}
    for item in sets or []:
        name, equals, text = item.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not name or not text.strip():
            raise RequestError(f"--set must be NAME=VALUE, got {item!r}")
        if name in given:
            raise RequestError(f"{name} is given twice: {given[name]} and {text}")
        given[name] = text
    return given


def model_name(model: str | None, preset: Preset | None) -> str:
    """The model asked for, otherwise the preset's, otherwise the default."""
    return model or (preset.model if preset else DEFAULT_MODEL)


def choose(model: str | None, preset: Preset | None, given: dict[str, str], extrapolate: bool) -> tuple[Compressor, Setting]:
    """The model, and the setting that the preset and then the options make; warns of controls beyond what it was trained on."""
    from mlxopto import compressor as compressors

    compressor = compressors.load(model_name(model, preset))
    wanted = {**(preset.controls if preset else {}), **given}
    setting = compressor.setting(wanted, extrapolate=extrapolate)
    for name, text in wanted.items():
        if "dbfs" in text.lower() and compressor.panel[name].unit == "dBu":
            told = compressor.panel[name].format(setting[name])
            console.print(f"{name} {text} is {told}: full scale is {compressor.card.dbu_at_full_scale:+g} dBu for this model")
    for control in compressor.panel.controls:
        value = setting[control.name]
        if not control.low <= value <= control.high:
            told = f"{control.name} {control.format(value)} is outside {control.accepts()}, which the model was trained on"
            console.print(f"warning: {told}")
    return compressor, setting


def load_preset(path: Path | None) -> Preset | None:
    """The preset of `--preset`, if there is one."""
    from mlxopto import presets

    return None if path is None else presets.load(path)


def mixed(preset: Preset | None, mix: float | None, makeup: str | None) -> Mixed:
    """Mix and make-up: as given, otherwise the preset's, otherwise fully wet."""
    from mlxopto.compressor import FULLY_WET
    from mlxopto.compressor import Mix as Mixed

    base = Mixed(preset.mix, preset.makeup_db) if preset else FULLY_WET
    return Mixed(base.mix if mix is None else mix, base.makeup_db if makeup is None else _decibels(makeup))


def _decibels(text: str) -> float:
    number = text.strip().lower().removesuffix("db").strip()
    try:
        return float(number)
    except ValueError:
        raise RequestError(f"makeup must be -60 to 60 dB, got {text!r}") from None
