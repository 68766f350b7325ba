"""Weights files: safetensors with metadata that says everything needed to run the network. Loading never runs code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten, tree_unflatten

from mlxopto import files
from mlxopto.controls import Control, Panel
from mlxopto.errors import RequestError
from mlxopto.models import Network, build

FORMAT = 1
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
    """Writes a weights file, whole or not at all.

    Raises:
        WorkError: the disk is full or the folder closed.
    """
    document = {**asdict(card), "panel": [asdict(control) for control in card.panel.controls]}
    metadata = {"mlxopto_format": str(FORMAT), "card": json.dumps(document)}
    with files.replacing(path) as temporary:
        write_safetensors(temporary, dict(tree_flatten(model.parameters())), metadata)


def load(path: Path) -> tuple[Network, Card]:
    """The network and its card.

    Raises:
        RequestError: no such file, cut short, no weights file of ours, a newer format, or shapes that do not fit; said plainly.
    """
    arrays, card = _read(path)
    model = build(card.architecture, card.config)
    wanted = {name: array.shape for name, array in tree_flatten(model.parameters())}
    if set(arrays) != set(wanted):
        odd = sorted(set(arrays) ^ set(wanted))
        raise RequestError(
            f"{path} does not fit the architecture {card.architecture}: {odd[0]} is missing or unknown, as in files of other versions"
        )
    for name, array in arrays.items():
        if array.shape != wanted[name]:
            raise RequestError(f"{path} has the wrong shape for {name}: {array.shape}, {wanted[name]} is needed")
        if not bool(mx.isfinite(array).all()):
            raise RequestError(f"{path} has a number that is not finite in {name}")
    model.update(tree_unflatten(list(arrays.items())))
    mx.eval(model.parameters())
    return model, card


def find(name: str) -> Path:
    """The weights file for a name that is shipped ("cl1b") or a path.

    Raises:
        RequestError: neither.
    """
    shipped_files = shipped()
    if name in shipped_files:
        return shipped_files[name]
    path = Path(name)
    if path.is_dir() and (path / f"weights{SUFFIX}").is_file():
        return path / f"weights{SUFFIX}"
    if not path.is_file():
        raise RequestError(
            f"there is no model {name!r}: the shipped models are {', '.join(shipped_files)}, or give a weights file"
        )
    return path


def shipped() -> dict[str, Path]:
    """The weights files that come with the package, by name."""
    folder = Path(str(resources.files(_PACKAGE)))
    return {path.stem: path for path in sorted(folder.glob(f"*{SUFFIX}"))}


def write_safetensors(path: Path, arrays: dict[str, mx.array], metadata: dict[str, str]) -> None:
    """Raises OSError where MLX raises RuntimeError: when a write fails."""
    try:
        mx.save_safetensors(str(path), arrays, metadata)
    except RuntimeError as error:
        raise OSError(None, "its disk may be full") from error


def read_safetensors(path: Path) -> tuple[dict[str, mx.array], dict[str, str]]:
    """Arrays, evaluated so that the file may be replaced afterwards, and metadata.

    Raises:
        RuntimeError, ValueError: not such a file, or cut short.
    """
    loaded: Any = mx.load(str(path), format="safetensors", return_metadata=True)
    mx.eval(loaded[0])
    return loaded


def _read(path: Path) -> tuple[dict[str, mx.array], Card]:
    if not path.is_file():
        raise RequestError(f"{path} is not a file; a weights file ({SUFFIX}) is needed")
    try:
        arrays, metadata = read_safetensors(path)
    except (RuntimeError, ValueError) as error:
        raise RequestError(f"{path} is not a weights file, or is cut short") from error
    if "mlxopto_format" not in metadata:
        raise RequestError(f"{path} is not a weights file of mlxopto: it has no mlxopto_format in its metadata")
    if metadata["mlxopto_format"] != str(FORMAT):
        raise RequestError(
            f"{path} has the weights format {metadata['mlxopto_format']}, this version of mlxopto reads {FORMAT}; upgrade mlxopto"
        )
    try:
        document = json.loads(metadata["card"])
        panel = Panel(tuple(Control(**control) for control in document.pop("panel")))
        card = Card(**document, panel=panel)
        if card.config["controls"] != len(panel.controls) or card.config["sample_rate"] != card.sample_rate:
            raise ValueError("the network does not fit the panel and sample rate")
        return arrays, card
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RequestError(f"{path} has metadata that cannot be understood: {error}") from error
