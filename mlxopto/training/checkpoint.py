"""Checkpoints: everything that a training run is, in one file, replaced atomically."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten, tree_unflatten

from mlxopto import files
from mlxopto.errors import RequestError
from mlxopto.formats import documents, safetensors


def save(path: Path, arrays: dict[str, Any], progress: dict[str, Any]) -> None:
    """Writes trees of arrays and a JSON object as one file, whole or not at all; raises WorkError on a full disk."""
    flat = {name: array for name, array in tree_flatten(arrays) if isinstance(array, mx.array) and array.size}
    with files.replacing(path) as temporary:
        safetensors.write(temporary, flat, {"progress": json.dumps(progress)})


def load(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arrays and the JSON object. Arrays without elements are not kept.

    Raises:
        RequestError: no checkpoint, or a damaged one.
    """
    if not path.is_file():
        raise RequestError(f"{path.parent} has no checkpoint to resume from")
    try:
        arrays, metadata = safetensors.read(path)
        progress = documents.parse_json(metadata.get("progress", ""), dict[str, Any], str(path))
        return tree_unflatten(list(arrays.items())), progress
    except (RequestError, ValueError, TypeError, KeyError) as error:
        raise RequestError(f"{path} is damaged and cannot be resumed from: {error}") from error
