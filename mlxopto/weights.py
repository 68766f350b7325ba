"""Weights files: safetensors with metadata that says everything needed to run the network. Loading never runs code."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten, tree_unflatten

from mlxopto import files
from mlxopto.controls import Control, Panel
from mlxopto.errors import RequestError
from mlxopto.formats import documents, safetensors
from mlxopto.golden import Golden, golden
from mlxopto.models import Network, build
from mlxopto.text import quoted, shown

# Counts what the numbers in a file mean: raised when a constant or a layer of an architecture changes, so that no file is read
# as something else. 1: mlxopto 0.10 and before. 2: with a golden vector. 3: opto with a cell in place of its blocks.
FORMAT = 3
_GOLDEN = "golden."
SUFFIX = ".safetensors"
_PACKAGE = "mlxopto_weights"


@dataclass(frozen=True)
class Card:
    """What a weights file says about itself."""

    name: str  # the device: cl1b, la2a, the user's unit
    architecture: str
    config: Mapping[str, Any]
    sample_rate: int
    panel: Panel
    dbu_at_full_scale: float | None = None
    training: Mapping[str, Any] = field(default_factory=dict)  # data description and hash, command, steps
    test: Mapping[str, Any] = field(default_factory=dict)  # errors on seen and unseen settings
    licence: str = "MIT"
    created: str = ""
    mlxopto: str = ""


def save(path: Path, model: Network, card: Card) -> None:
    """Writes a weights file with a golden vector of the network, whole or not at all.

    Raises:
        WorkError: the disk is full or the folder closed.
    """
    document = {**asdict(card), "panel": [asdict(control) for control in card.panel.controls]}
    metadata = {"mlxopto_format": str(FORMAT), "card": json.dumps(document)}
    with files.replacing(path) as temporary:
        arrays = dict(tree_flatten(model.parameters()))
        proof = {_GOLDEN + name: mx.array(array) for name, array in vars(golden(model)).items()}
        safetensors.write(temporary, {**arrays, **proof}, metadata)


def load(path: Path) -> tuple[Network, Card]:
    """The network and its card.

    Raises:
        RequestError: no such file, cut short, no weights file of ours, another format, or shapes that do not fit; said plainly.
    """
    model, card, _ = load_with_golden(path)
    return model, card


def load_with_golden(path: Path) -> tuple[Network, Card, Golden]:
    """The network, its card and its golden vector; raises as `load`."""
    arrays, card = _read(path)
    known = _golden(path, arrays, card)
    try:
        model = build(card.architecture, card.config)
    except RequestError as error:
        raise RequestError(f"{path}: {error}") from error
    wanted = {name: array.shape for name, array in tree_flatten(model.parameters())}
    if set(arrays) != set(wanted):
        odd = sorted(set(arrays) ^ set(wanted))
        raise RequestError(
            f"{path} does not fit the architecture {card.architecture}: {shown(odd[0])[:40]} is missing or unknown"
        )
    for name, array in arrays.items():
        if array.shape != wanted[name]:
            raise RequestError(f"{path} has the wrong shape for {name}: {array.shape}, {wanted[name]} is needed")
        if array.dtype != mx.float32:
            raise RequestError(f"{path} has numbers of the type {array.dtype} in {name}, float32 is needed")
        if not bool(mx.isfinite(array).all()):
            raise RequestError(f"{path} has a number that is not finite in {name}")
    model.update(tree_unflatten(list(arrays.items())))
    mx.eval(model.parameters())
    return model, card, known


def card(path: Path) -> Card:
    """The card alone; raises as `load`."""
    return _read(path)[1]


def find(name: str) -> Path:
    """The weights file for a name that is shipped ("cl1b") or a path.

    Raises:
        RequestError: neither.
    """
    shipped_files = shipped()
    if name in shipped_files:
        return shipped_files[name]
    path = Path(name)
    if os.path.isfile(path / f"weights{SUFFIX}"):  # noqa: PTH113  pathlib raises for a name that is too long
        return path / f"weights{SUFFIX}"
    if not os.path.isfile(path):  # noqa: PTH113
        raise RequestError(
            f"there is no model {quoted(name)}: the shipped models are {', '.join(shipped_files)}, or give a weights file"
        )
    return path


def shipped() -> dict[str, Path]:
    """The weights files that come with the package, by name."""
    folder = Path(str(resources.files(_PACKAGE)))
    return {path.stem: path for path in sorted(folder.glob(f"*{SUFFIX}"))}


@dataclass(frozen=True)
class _Document:
    """A card as JSON has it."""

    name: str
    architecture: str
    config: dict[str, Any]
    sample_rate: int
    panel: list[Control]
    dbu_at_full_scale: float | None = None
    training: dict[str, Any] = field(default_factory=dict)
    test: dict[str, Any] = field(default_factory=dict)
    licence: str = ""
    created: str = ""
    mlxopto: str = ""


def _golden(path: Path, arrays: dict[str, mx.array], card: Card) -> Golden:
    """Takes the golden vector out of a file's arrays; raises RequestError where it is none."""
    shapes = {"sound": (card.sample_rate,), "output": (card.sample_rate,)}
    found = {}
    for name in (part.name for part in dataclasses.fields(Golden)):
        array = arrays.pop(_GOLDEN + name, None)
        if array is None or array.dtype != mx.float32 or array.shape != shapes.get(name, (len(card.panel.controls),)):
            raise RequestError(
                f"{path} has no golden vector that fits its network: {_GOLDEN}{name} is missing or of another shape"
            )
        found[name] = np.array(array)
        if not np.isfinite(found[name]).all():
            raise RequestError(f"{path} has a number that is not finite in {_GOLDEN}{name}")
    return Golden(**found)


def _read(path: Path) -> tuple[dict[str, mx.array], Card]:
    arrays, metadata = safetensors.read(path)
    if "mlxopto_format" not in metadata:
        raise RequestError(f"{path} is not a weights file of mlxopto: it has no mlxopto_format in its metadata")
    if (found := metadata["mlxopto_format"]) != str(FORMAT):
        older = found.isdecimal() and len(found) < 5 and int(found) < FORMAT
        remedy = "train the model again, or run it with the mlxopto that wrote it" if older else "upgrade mlxopto"
        raise RequestError(
            f"{path} has the weights format {shown(found)[:40]}, this version of mlxopto reads {FORMAT}; {remedy}"
        )
    document = documents.parse_json(metadata.get("card", ""), _Document, f"{path}, its card")
    config = document.config
    if (config.get("controls"), config.get("sample_rate")) != (len(document.panel), document.sample_rate):
        raise RequestError(f"{path} has metadata that cannot be understood: the network does not fit the panel and sample rate")
    fields = {name: getattr(document, name) for name in (field.name for field in dataclasses.fields(_Document))}
    # a file does not choose where another one is written
    return arrays, Card(**{**fields, "name": files.plain_name(document.name, "model"), "panel": Panel(tuple(document.panel))})
