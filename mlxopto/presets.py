"""Presets: small TOML files with a model, its settings, and which MIDI controllers move them."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlxopto import files
from mlxopto.errors import RequestError

_KEYS = {"model", "controls", "mix", "makeup_db", "midi"}


@dataclass(frozen=True)
class Preset:
    """model: a name or path, as `--model` takes it. controls: text as `Control.parse` reads it. midi: controller number by control."""

    model: str
    controls: Mapping[str, str]
    mix: float = 1.0
    makeup_db: float = 0.0
    midi: Mapping[str, int] = field(default_factory=dict)


def load(path: Path) -> Preset:
    """A preset file. What its values mean to a panel is checked by who uses them.

    Raises:
        RequestError: no such file, no TOML, or entries that a preset does not have.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RequestError(f"the preset {path} cannot be read: {error.strerror}") from error
    except (
        ValueError,
        RecursionError,
    ) as error:  # TOMLDecodeError is a ValueError; so are bad UTF-8 and numbers of 5,000 digits
        raise RequestError(f"the preset {path} is not TOML: {error}") from error
    unknown = sorted(set(document) - _KEYS)
    if unknown:
        raise RequestError(f"the preset {path} has {unknown[0]!r}; a preset has {', '.join(sorted(_KEYS))}")
    if not isinstance(document.get("model"), str):
        raise RequestError(f'the preset {path} must name its model, such as model = "cl1b"')
    midi = _table(path, document, "midi", int)
    for name, number in midi.items():
        if not 0 <= number <= 127:
            raise RequestError(f"the preset {path} gives {name} the MIDI controller {number}; they are 0 to 127")
    return Preset(
        model=document["model"],
        controls={name: str(value) for name, value in _table(path, document, "controls", str, int, float).items()},
        mix=_number(path, document, "mix", 1.0),
        makeup_db=_number(path, document, "makeup_db", 0.0),
        midi=midi,
    )


def save(path: Path, preset: Preset, force: bool = False) -> None:
    """Writes a preset file, whole or not at all.

    Raises:
        RequestError: a path that cannot be written, or one that exists unless `force`.
        WorkError: the disk is full.
    """
    files.check_writable(path, force)
    lines = [
        f"model = {_quoted(preset.model)}",
        f"mix = {preset.mix!r}",
        f"makeup_db = {preset.makeup_db!r}",
    ]
    lines += ["", "[controls]", *(f"{name} = {_quoted(text)}" for name, text in preset.controls.items())]
    if preset.midi:
        lines += ["", "[midi]", *(f"{name} = {number}" for name, number in preset.midi.items())]
    with files.replacing(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _quoted(text: str) -> str:
    """A TOML string: as in JSON, but for the one control character that JSON leaves bare."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _table(path: Path, document: Mapping[str, Any], name: str, *kinds: type) -> dict[str, Any]:
    table = document.get(name, {})
    if not isinstance(table, dict):
        raise RequestError(f"the preset {path} must have {name} as a table, [{name}]")
    for key, value in table.items():
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise RequestError(f"the preset {path} has {key} = {value!r} in [{name}], which cannot be used")
    return table


def _number(path: Path, document: Mapping[str, Any], name: str, default: float) -> float:
    value = document.get(name, default)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise RequestError(f"the preset {path} must have a number as {name}, got {value!r}")
    try:
        return float(value)
    except OverflowError as error:
        raise RequestError(f"the preset {path} has a {name} that is too large") from error
