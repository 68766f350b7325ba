"""Presets: small TOML files with a model, its settings, and which MIDI controllers move them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mlxopto import files
from mlxopto.errors import RequestError
from mlxopto.formats import documents
from mlxopto.text import quoted


@dataclass(frozen=True)
class Preset:
    """model: a name or path, as `--model` takes it. controls: text as `Control.parse` reads it.

    midi: controller number by control.
    """

    model: str
    controls: Mapping[str, str]
    mix: float = 1.0
    makeup_db: float = 0.0
    midi: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Document:
    """A preset as TOML has it."""

    model: str
    controls: dict[str, str | int | float] = field(default_factory=dict)
    mix: float = 1.0
    makeup_db: float = 0.0
    midi: dict[str, int] = field(default_factory=dict)


def load(path: Path) -> Preset:
    """A preset file. What its values mean to a panel is checked by who uses them.

    Raises:
        RequestError: no such file, no TOML, or entries that a preset does not have.
    """
    document = documents.read_toml(path, _Document)
    for name, number in document.midi.items():
        if not 0 <= number <= 127:
            raise RequestError(f"{path} gives {quoted(name)} the MIDI controller {quoted(number)}; they are 0 to 127")
    controls = {name: str(value) for name, value in document.controls.items()}
    return Preset(document.model, controls, document.mix, document.makeup_db, document.midi)


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
    files.write_text(path, "\n".join(lines) + "\n", force)


def _quoted(text: str) -> str:
    """A TOML string: as in JSON, but for the one control character that JSON leaves bare."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
