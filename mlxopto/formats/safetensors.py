"""safetensors files: arrays and text in one file.

What the header claims is compared with the file before anything is allocated.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import mlx.core as mx

from mlxopto import files
from mlxopto.errors import RequestError
from mlxopto.formats import documents
from mlxopto.text import quoted

LARGEST_HEADER, MOST_ARRAYS = 1 << 24, 20_000
_BYTES = {
    "F64": 8,
    "I64": 8,
    "U64": 8,
    "F32": 4,
    "I32": 4,
    "U32": 4,
    "F16": 2,
    "BF16": 2,
    "I16": 2,
    "U16": 2,
    "I8": 1,
    "U8": 1,
    "BOOL": 1,
}
_NAME = re.compile(
    r"[A-Za-z_]\w{0,63}(\.([A-Za-z_]\w{0,63}|\d{1,3})){0,15}", re.ASCII
)  # of modules within modules, and places in lists


def write(path: Path, arrays: dict[str, mx.array], metadata: dict[str, str]) -> None:
    """Raises OSError where MLX raises RuntimeError: when a write fails."""
    try:
        mx.save_safetensors(str(path), arrays, metadata)
    except RuntimeError as error:
        raise OSError(None, "its disk may be full") from error


def read(path: Path) -> tuple[dict[str, mx.array], dict[str, str]]:
    """Arrays, evaluated so that the file may be replaced afterwards, and metadata.

    Raises:
        RequestError: no such file, cut short, or a header that does not fit what is there.
    """
    size = files.check_readable(path, "read")
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(LARGEST_HEADER, size - 8):
                raise RequestError(f"{path} is not a weights file, or is cut short")
            header = file.read(length)
        _check(documents.parse_json(header, dict[str, dict[str, Any] | None], f"the header of {path}"), path, size - 8 - length)
        loaded: Any = mx.load(str(path), format="safetensors", return_metadata=True)
        mx.eval(loaded[0])
    except OSError as error:
        raise RequestError(f"{path} cannot be read: {error.strerror}") from error
    except (RuntimeError, ValueError) as error:
        raise RequestError(f"{path} is not a weights file, or is cut short") from error
    return loaded


def _check(header: dict[str, dict[str, Any] | None], path: Path, room: int) -> None:
    """Refuses names, types, shapes and places that are not those of arrays in `room` bytes."""
    if len(header) > MOST_ARRAYS:
        raise RequestError(f"{path} has {len(header)} arrays, at most {MOST_ARRAYS} are read")
    for name, entry in header.items():
        if name == "__metadata__":
            documents.typed(entry or {}, dict[str, str], f"the metadata of {path}")
            continue
        entry = entry or {}
        kind, shape, place = entry.get("dtype", ""), entry.get("shape", []), entry.get("data_offsets", [])
        fits = _NAME.fullmatch(name) and isinstance(kind, str) and kind in _BYTES and _whole(shape, 8) and _whole(place, 2)
        if not fits or len(place) != 2:
            raise RequestError(f"{path} is not a weights file: the entry {quoted(name)} of its header makes no sense")
        if not place[1] - place[0] == _BYTES[kind] * math.prod(shape) or place[1] > room:
            raise RequestError(f"{path} is not a weights file, or is cut short: {quoted(name)} is not where its header says")


def _whole(numbers: Any, most: int) -> bool:
    """Whether that is a list of so many sizes at most."""
    if not isinstance(numbers, list) or len(numbers) > most:
        return False
    return all(isinstance(number, int) and not isinstance(number, bool) and 0 <= number < 1 << 48 for number in numbers)
