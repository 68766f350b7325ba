"""Pickles of arrays, read without running anything of theirs.

A pickle is a program. The reader here admits numpy arrays of numbers, dict, list, tuple, str and numbers, and builds arrays
itself; everything else is refused, named. Its length is bounded before it is walked, and what it shares is looked at once.
"""

from __future__ import annotations

import pickle
import pickletools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np

from mlxopto import files
from mlxopto.errors import RequestError
from mlxopto.text import quoted, shown

MOST_STEPS = 200_000  # of a pickle's program; a data set of thousands of arrays has as many
# what numpy's pickles of all versions and protocols are made of
_STEPS = {
    *(
        "PROTO",
        "FRAME",
        "STOP",
        "MARK",
        "POP",
        "POP_MARK",
        "DUP",
        "NONE",
        "NEWTRUE",
        "NEWFALSE",
        "INT",
        "LONG",
        "LONG1",
        "BININT",
    ),
    *(
        "BININT1",
        "BININT2",
        "FLOAT",
        "BINFLOAT",
        "STRING",
        "BINSTRING",
        "SHORT_BINSTRING",
        "UNICODE",
        "SHORT_BINUNICODE",
        "BINUNICODE",
    ),
    *(
        "BINUNICODE8",
        "SHORT_BINBYTES",
        "BINBYTES",
        "BINBYTES8",
        "BYTEARRAY8",
        "EMPTY_DICT",
        "DICT",
        "SETITEM",
        "SETITEMS",
        "EMPTY_LIST",
    ),
    *(
        "LIST",
        "APPEND",
        "APPENDS",
        "EMPTY_TUPLE",
        "TUPLE",
        "TUPLE1",
        "TUPLE2",
        "TUPLE3",
        "GLOBAL",
        "STACK_GLOBAL",
        "REDUCE",
        "BUILD",
    ),
    *("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE", "GET", "BINGET", "LONG_BINGET"),
}


def load(path: Path) -> Any:
    """What a pickle holds, of the types that the module admits.

    Raises:
        RequestError: the file cannot be read, is cut short or no pickle, or holds anything else.
    """
    files.check_readable(path, "read")
    try:
        with path.open("rb") as file:
            _check_steps(file)
            file.seek(0)
            return _plain(_Reader(file).load(), {})
    except OSError as error:
        raise RequestError(f"{path} cannot be read: {error.strerror}") from error
    except _RefusedError as error:
        raise RequestError(
            f"{path} is refused: it holds {error}, and only arrays of numbers, text and containers are admitted"
        ) from error
    except RecursionError as error:
        raise RequestError(f"{path} is refused: it is nested too deeply") from error
    except Exception as error:  # a damaged pickle can fail in any way at all
        raise RequestError(f"{path} is damaged or no pickle: {shown(str(error))[:80]}") from error


def _check_steps(file: BinaryIO) -> None:
    """Refuses a program with other steps, with too many, or with a memory larger than it is long."""
    for number, (step, argument, _) in enumerate(pickletools.genops(file)):
        if step.name not in _STEPS:
            raise _RefusedError("a set" if "SET" in step.name or step.name == "ADDITEMS" else f"the step {step.name}")
        if number >= MOST_STEPS or (
            step.name in ("PUT", "BINPUT", "LONG_BINPUT") and not 0 <= int(argument or 0) <= MOST_STEPS
        ):
            raise _RefusedError("too much")


class _RefusedError(Exception):
    """What a pickle asks for and does not get, in words."""


class _Type:
    """A numpy type that a pickle names: built here, never by numpy's own unpickling."""

    def __init__(self, code: Any, *_flags: Any):
        if not isinstance(code, str) or not re.fullmatch(r"[fiub]\d{1,2}", code):
            raise _RefusedError(f"an array of {quoted(code)}")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: Any) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        if order not in ("<", ">", "=", "|") or any(part is not None for part in state[2:5]):
            raise _RefusedError("an unusual type of array")
        self.dtype = self.dtype.newbyteorder(order)


class _Array:
    """An array that a pickle builds."""

    def __init__(self) -> None:
        self.value = np.zeros(0)

    def __setstate__(self, state: Any) -> None:
        _version, shape, kind, fortran, raw = state
        self.value = _from_bytes(raw, kind, shape, "F" if fortran else "C")


def _from_bytes(raw: Any, kind: Any, shape: Any, order: Any) -> np.ndarray:
    if not isinstance(kind, _Type) or not isinstance(raw, bytes | bytearray) or order not in ("C", "F"):
        raise _RefusedError("an array that is not made of numbers")
    return np.frombuffer(raw, kind.dtype).reshape(shape, order=order)


def _from_buffer(raw: Any, kind: Any, shape: Any, order: Any) -> _Array:
    array = _Array()
    array.value = _from_bytes(raw, kind, shape, order)
    return array


def _scalar(kind: Any, raw: Any) -> float | int:
    return _from_bytes(raw, kind, (1,), "C").tolist()[0]


def _latin1(text: Any, encoding: Any) -> bytes:
    if not isinstance(text, str) or encoding != "latin1":
        raise _RefusedError(f"text encoded as {quoted(encoding)}")
    return text.encode("latin1")


def _nothing(*_arguments: Any) -> _Array:
    return _Array()


class _Call:
    """A function that a pickle may call, and nothing more: it cannot be given attributes."""

    def __init__(self, function: Callable[..., Any]):
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise _RefusedError("a change to a function")


_ADMITTED: dict[tuple[str, str], Callable[..., Any] | None] = {("numpy", "ndarray"): None, ("numpy", "dtype"): _Type}
for _module in ("numpy.core", "numpy._core"):
    _ADMITTED[f"{_module}.multiarray", "_reconstruct"] = _nothing
    _ADMITTED[f"{_module}.multiarray", "scalar"] = _scalar
    _ADMITTED[f"{_module}.numeric", "_frombuffer"] = _from_buffer
_ADMITTED["_codecs", "encode"] = _latin1


_Unpickler: Any = pickle._Unpickler  # the one in Python, whose steps can be looked at


class _Reader(_Unpickler):
    dispatch: ClassVar = dict(_Unpickler.dispatch)

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ADMITTED:
            raise _RefusedError(shown(f"{module[:40]}.{name[:40]}"))
        function = _ADMITTED[module, name]
        return function and _Call(function)

    def persistent_load(self, pid: Any) -> Any:
        raise _RefusedError("a reference to something outside")

    def _check_keys(self, pairs: list[Any]) -> None:
        """A key that is a container may take forever to be hashed."""
        for key in pairs[::2]:
            if not isinstance(key, str | int):
                raise _RefusedError("a key that is no text")

    def load_setitem(self) -> None:
        self._check_keys(self.stack[-2:])
        _Unpickler.load_setitem(self)

    def load_setitems(self) -> None:
        self._check_keys(self.stack)
        _Unpickler.load_setitems(self)

    def load_dict(self) -> None:
        self._check_keys(self.stack)
        _Unpickler.load_dict(self)

    dispatch[pickle.SETITEM[0]], dispatch[pickle.SETITEMS[0]], dispatch[pickle.DICT[0]] = load_setitem, load_setitems, load_dict


def _plain(value: Any, known: dict[int, Any]) -> Any:
    """The value with arrays as numpy's own; nothing else passes. known: what became of containers, which may be shared."""
    if isinstance(value, _Array):
        return value.value
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if not isinstance(value, dict | list | tuple):
        raise _RefusedError(f"a {type(value).__name__}")
    if id(value) not in known:
        if isinstance(value, dict):
            known[id(value)] = {key: _plain(item, known) for key, item in value.items()}
        else:
            known[id(value)] = type(value)(_plain(item, known) for item in value)
    return known[id(value)]
