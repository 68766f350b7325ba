"""JSON and TOML files as checked data: bounded in size and depth, every value of the type that its schema, a dataclass, gives
it.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import tomllib
import types
import typing
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Union

from mlxopto import files
from mlxopto.errors import RequestError
from mlxopto.text import quoted, shown

LARGEST_JSON, LARGEST_TOML = 1 << 24, 1 << 18  # bytes: a manifest of 50,000 takes, a preset of 5,000 lines
DEEPEST = 24  # containers within one another
LARGEST_WHOLE = 1 << 63
_NAMES: dict[Any, str] = {float: "a number", int: "a whole number", str: "text", bool: "true or false"}


def read_json(path: Path, kind: Any, others: bool = False) -> Any:
    """What a JSON file holds, as `typed` gives it.

    Raises:
        RequestError: a file that cannot be read, no JSON, or a value that does not fit `kind`, named.
    """
    return parse_json(files.read_bytes(path, LARGEST_JSON), kind, str(path), others)


def parse_json(data: bytes | str, kind: Any, where: str, others: bool = False) -> Any:
    """JSON from `where` as `typed` gives it; raises as `read_json`."""
    text = data if isinstance(data, str) else _decoded(data, f"{where} is not JSON")
    try:
        document = json.loads(text, parse_constant=lambda _: None)  # NaN, which JSON does not have, is no number
    except (ValueError, RecursionError) as error:
        raise RequestError(f"{where} is not JSON: {_said(error)}") from error
    _check(document, where)
    return typed(document, kind, where, others)


def read_toml(path: Path, kind: Any) -> Any:
    """What a TOML file holds; raises as `read_json`."""
    text = _decoded(files.read_bytes(path, LARGEST_TOML), f"{path} is not TOML")
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"{path} is not TOML: {_said(error)}") from error
    _check(document, str(path))
    return typed(document, kind, str(path))


def typed(value: Any, kind: Any, where: str, others: bool = False) -> Any:
    """The value as `kind`: float, int, str, bool, None, unions, list[...], tuple[...], dict[str, ...], dataclasses of these,
    Any.

    Args:
        where: what the value is called in an error. others: allow keys that a dataclass does not have, and leave them out.
    Raises:
        RequestError: another type, a number that is not finite, a key that is missing or unknown; named.
    """
    return _typed(value, kind, _Place(where, "", others))


@dataclasses.dataclass(frozen=True)
class _Place:
    """Where a value stands in a document, for errors: what it is in, its own name there."""

    around: str
    name: str
    others: bool

    def __str__(self) -> str:
        return f"{self.around}: {self.name}" if self.name else self.around

    def key(self, name: str) -> _Place:
        """A value in this object."""
        return _Place(f"{self.around}, {self.name}" if self.name else self.around, name, self.others)

    def one(self, which: str) -> _Place:
        """An object among several."""
        return _Place(f"{self.around}, {self.name.removesuffix('s') or 'entry'} {which}", "", self.others)

    def must_be(self, fits: bool, what: str, value: Any) -> None:
        if not fits:
            raise RequestError(f"{self} must be {what}, got {quoted(value)}")


def _typed(value: Any, kind: Any, place: _Place) -> Any:
    if kind is Any:
        return value
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        return _one_of(value, arguments, place)
    if origin in (list, tuple):
        place.must_be(isinstance(value, list), "a list", value)
        items = [_typed(item, arguments[0], place.one(str(number))) for number, item in enumerate(value, 1)]
        return tuple(items) if origin is tuple else items
    if origin in (dict, Mapping):
        place.must_be(isinstance(value, dict), "an object", value)
        inner = place.one if dataclasses.is_dataclass(arguments[1]) else place.key
        return {key: _typed(item, arguments[1], inner(shown(key)[:40])) for key, item in value.items()}
    return _object(value, kind, place) if dataclasses.is_dataclass(kind) else _plain(value, kind, place)


def _one_of(value: Any, kinds: tuple[Any, ...], place: _Place) -> Any:
    """As the first that fits; where only one is not None, its error says more than that none does."""
    given = [kind for kind in kinds if kind is not type(None)]
    if value is None and len(given) < len(kinds):
        return None
    for kind in given:
        if len(given) == 1 or _fits(value, kind):
            return _typed(value, kind, place)
    place.must_be(False, " or ".join(_NAMES.get(kind, "an object") for kind in given), value)
    return None


def _fits(value: Any, kind: Any) -> bool:
    if isinstance(value, bool) or kind is bool:
        return isinstance(value, bool) and kind is bool
    return isinstance(value, int | float if kind is float else kind)


def _plain(value: Any, kind: type, place: _Place) -> Any:
    place.must_be(_fits(value, kind), _NAMES[kind], value)
    if kind is float:
        try:
            value = float(value)
        except OverflowError:
            value = math.inf
        place.must_be(math.isfinite(value), "a finite number", value)
    elif kind is int:
        place.must_be(abs(value) < LARGEST_WHOLE, "a whole number of 64 bits", value)
    return value


def _object(value: Any, kind: Any, place: _Place) -> Any:
    place.must_be(isinstance(value, dict), "an object", value)
    hints, fields = _hints(kind), {field.name: field for field in dataclasses.fields(kind) if field.init}
    if unknown := [key for key in value if key not in fields and not place.others]:
        raise RequestError(f"{place} has {quoted(unknown[0])}; it may have {', '.join(fields)}")
    for name, field in fields.items():
        if name not in value and field.default is field.default_factory is dataclasses.MISSING:
            near = difflib.get_close_matches(name, [key[:40] for key in value], 1)
            raise RequestError(f"{place} lacks the key {name!r}" + (f" (it has {quoted(near[0])})" if near else ""))
    found = {name: _typed(value[name], hints[name], place.key(name)) for name in fields if name in value}
    try:
        return kind(**found)
    except RequestError as error:
        raise RequestError(f"{place}: {error}") from error


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _decoded(data: bytes, complaint: str) -> str:
    """UTF-8, with or without a byte order mark."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in data[:4]:
        raise RequestError(f"{complaint}: it may be UTF-16 or UTF-32; save it as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RequestError(f"{complaint}: byte {error.start} is no UTF-8 text; save it as UTF-8") from error


def _said(error: Exception) -> str:
    """What a parser says, short."""
    return "it is nested too deeply" if isinstance(error, RecursionError) else shown(str(error))[:80]


def _check(value: Any, where: str, depth: int = 0) -> None:
    """Refuses what nests too deeply, and text that no file can hold."""
    if depth > DEEPEST:
        raise RequestError(f"{where} is nested too deeply: more than {DEEPEST} levels")
    if isinstance(value, dict):
        for key in value:
            _check(key, where, depth)
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            _check(item, where, depth + 1)
    elif isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise RequestError(f"{where} has half a character in {quoted(value)}") from error
