"""The paper's data sets: pickles NAME_train.pickle and NAME_test.pickle.

Each is a dict of x (1 or n, samples), y (n, samples) and z (n, controls), at 48 kHz.

A pickle is a program. The reader here runs none of it: it admits numpy arrays of numbers, dict, list, tuple, str and numbers, and
builds arrays itself; everything else is refused, named.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mlxopto.controls import Control, Panel
from mlxopto.data.captures import Capture, hold_out, load_panel, measure, problems_of
from mlxopto.data.takes import Take, by_acquaintance, settings_of, shuffled
from mlxopto.errors import RequestError

SAMPLE_RATE = 48000  # of all the sets that the authors published
TRAIN, TEST = "_train.pickle", "_test.pickle"


def load(path: Path) -> Any:
    """What a pickle holds, of the types that the module admits.

    Raises:
        RequestError: the file cannot be read, is cut short or no pickle, or holds anything else.
    """
    try:
        with path.open("rb") as file:
            return _plain(_Reader(file).load())
    except OSError as error:
        raise RequestError(f"{path} cannot be read: {error.strerror}") from error
    except _RefusedError as error:
        raise RequestError(
            f"{path} is refused: it holds {error}, and only arrays of numbers, text and containers are admitted"
        ) from error
    except RecursionError as error:
        raise RequestError(f"{path} is refused: it is nested too deeply") from error
    except Exception as error:  # a damaged pickle can fail in any way at all
        raise RequestError(f"{path} is damaged or no pickle: {error}") from error


class PickleSource:
    """Training data from a folder with one pair of the paper's pickles.

    A device.json beside them names the columns of z; without one they are control_1 and so on, over the range that they have. Test
    settings that were trained on are "seen". Every twelfth training setting (at least one) is held out for validation.

    Args:
        folder: where the pickles are. seed: of the order of training.
    Raises:
        RequestError: not one pair, or arrays that do not fit; each problem by its file.
    """

    sample_rate = SAMPLE_RATE

    def __init__(self, folder: Path, seed: int):
        self.seed = seed
        train, test = _pair(folder)
        rows = {path: _rows(path) for path in (train, test)}
        self.name, self.panel, self.dbu_at_full_scale = _panel(folder, train, list(rows.values()))
        self._train, problems = self._takes(train, rows[train])
        tests, more = self._takes(test, rows[test])
        if problems or more:
            raise RequestError("these recordings cannot be used: " + "; ".join(dict.fromkeys(problems + more)))
        self.test = by_acquaintance(tests, settings_of(self._train))
        self._train, self.validation = hold_out(self._train, seed)
        seconds = sum(len(take.x) for take in self._train) / SAMPLE_RATE
        self.training_settings = len(settings_of(self._train))
        self.description = f"the paper's {self.name}, {self.training_settings} settings, {seconds:.0f} s"

    def sequence(self, index: int) -> Take:
        """In a new random order each time round."""
        return shuffled(self._train, self.seed, index)

    def _takes(self, path: Path, rows: _Rows) -> tuple[list[Take], list[str]]:
        takes, problems = [], []
        for (where, x, y), z in zip(rows.recordings(path), rows.z, strict=True):
            setting = self.panel.setting(dict(zip((c.name for c in self.panel.controls), map(float, z), strict=True)))
            problems += problems_of(measure(x, y), Capture(where, where, setting, "train"))
            takes.append(Take(x, y, setting, str(where), str(where)))
        return takes, problems


@dataclass(frozen=True)
class _Rows:
    x: np.ndarray  # (1 or n, samples)
    y: np.ndarray  # (n, samples)
    z: np.ndarray  # (n, controls)

    def recordings(self, path: Path) -> Iterator[tuple[Path, np.ndarray, np.ndarray]]:
        """Where each row of a file is, x and y, float32 (samples,)."""
        for number, y in enumerate(self.y):
            x = self.x[number if len(self.x) > 1 else 0]
            yield Path(f"{path}, row {number + 1}"), x.astype(np.float32), y.astype(np.float32)


def recordings(folder: Path) -> Iterator[tuple[Path, np.ndarray, np.ndarray]]:
    """Every row of both pickles: where it is, x and y, float32 (samples,).

    Raises:
        RequestError: as `PickleSource`, but for what is wrong with a recording itself.
    """
    for path in _pair(folder):
        yield from _rows(path).recordings(path)


def _pair(folder: Path) -> tuple[Path, Path]:
    trains = sorted(folder.glob(f"*{TRAIN}"))
    if len(trains) != 1:
        raise RequestError(f"{folder} must hold one file *{TRAIN}, found {len(trains)}")
    test = trains[0].with_name(trains[0].name.removesuffix(TRAIN) + TEST)
    if not test.is_file():
        raise RequestError(f"{folder} lacks {test.name} beside {trains[0].name}")
    return trains[0], test


def _rows(path: Path) -> _Rows:
    document = load(path)
    if not isinstance(document, dict) or any(not isinstance(document.get(key), np.ndarray) for key in "xyz"):
        raise RequestError(f"{path} must hold a dict with the arrays x, y and z")
    x, y, z = (np.atleast_2d(document[key]) for key in "xyz")
    for key, array in zip("xyz", (x, y, z), strict=True):
        if array.ndim != 2 or not array.size or not np.isfinite(array).all():
            raise RequestError(f"{path}: {key} must be rows of finite numbers, got the shape {array.shape}")
    if len(x) not in (1, len(y)) or x.shape[1] != y.shape[1] or len(z) != len(y):
        raise RequestError(f"{path}: x {x.shape}, y {y.shape} and z {z.shape} do not fit one another")
    return _Rows(x, y, z)


def _panel(folder: Path, train: Path, rows: list[_Rows]) -> tuple[str, Panel, float | None]:
    columns = rows[0].z.shape[1]
    if any(part.z.shape[1] != columns for part in rows):
        raise RequestError(f"{folder}: train and test have different numbers of controls")
    if (folder / "device.json").is_file():
        name, panel, level = load_panel(folder / "device.json")
        if len(panel.controls) != columns:
            raise RequestError(f"{folder / 'device.json'} has {len(panel.controls)} controls, {train} has {columns}")
        return name, panel, level
    values = np.concatenate([part.z for part in rows])
    low, high = values.min(axis=0), values.max(axis=0)
    controls = [
        Control(f"control_{i + 1}", "", float(low[i]), float(high[i] if high[i] > low[i] else low[i] + 1))
        for i in range(columns)
    ]
    return train.name.removesuffix(TRAIN), Panel(tuple(controls)), None


class _RefusedError(Exception):
    """What a pickle asks for and does not get, in words."""


class _Type:
    """A numpy type that a pickle names: built here, never by numpy's own unpickling."""

    def __init__(self, code: Any, *_flags: Any):
        if not isinstance(code, str) or not re.fullmatch(r"[fiub]\d{1,2}", code):
            raise _RefusedError(f"an array of {code!r}")
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
        raise _RefusedError(f"text encoded as {encoding!r}")
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


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ADMITTED:
            raise _RefusedError(f"{module}.{name}")
        function = _ADMITTED[module, name]
        return function and _Call(function)

    def persistent_load(self, pid: Any) -> Any:
        raise _RefusedError("a reference to something outside")


def _plain(value: Any) -> Any:
    """The value with arrays as numpy's own; nothing else passes."""
    if isinstance(value, _Array):
        return value.value
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_plain(item) for item in value)
    raise _RefusedError(f"a {type(value).__name__}")
