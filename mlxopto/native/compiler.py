"""How native code is compiled, and where it is kept so that only the first start waits for it.

numba's own cache notices that the file of a kernel has changed, but not that what the kernel calls has, and runs whatever
somebody puts into its folder. So the cache is ours: a folder for each version of all native code, in `~/.cache/mlxopto` (on
macOS `~/Library/Caches/mlxopto`, or below XDG_CACHE_HOME or NUMBA_CACHE_DIR), which belongs to the user alone, and files with a
digest, so that a damaged one is compiled anew.
"""

from __future__ import annotations

import ctypes
import hashlib
import inspect
import os
import pickle
import re
import secrets
import shutil
import stat
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numba
from numba._dynfunc import make_function
from numba.core.ccallback import CFunc
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler, CompileResult

from mlxopto.errors import Notice
from mlxopto.native import compiling

# the rooms of native code, and of what it takes constants from
_ROOT = Path(__file__).parents[1]
_ROOMS = (
    "native",
    "scan/cpu",
    "nn",
    "models",
    "devices",
    "engine",
    "portaudio",
    "live",
    "capture",
    "metrics",
)
_KEPT_S = 14 * 86400.0  # versions not made for so long are removed when a new one is
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_DIGEST_BYTES = 32


def kernel(function: Callable[..., Any]) -> Any:
    """Compiles a function that Python calls: without the interpreter lock, kept.

    No fast-math: LLVM compiles a loop twice, with vectors and without, and chooses by where the arrays happen to lie in memory.
    Only strict arithmetic gives the same bits on both ways, and so from one process to the next.
    """
    compiled = numba.njit(nogil=True, error_model="numpy", no_cfunc_wrapper=True)(function)
    compiled._cache = _Kept(function)
    return compiled


def inner(function: Callable[..., Any]) -> Any:
    """Compiles a function that only kernels call, as a part of them.

    It gets no machine code of its own, which would take most of the time of a first start.
    """
    options = {"error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True, "forceinline": True}
    return numba.njit(pipeline_class=_InnerCompiler, **options)(function)


def native_callback(signature: Any) -> Callable[[Callable[..., Any]], NativeCallback]:
    """Declares a function that C calls."""
    return lambda function: NativeCallback(signature, function)


class NativeCallback:
    """A function that C calls at its `address`, compiled when that is asked for."""

    def __init__(self, signature: Any, function: Callable[..., Any]):
        compiled: Any = CFunc(function, (signature.args, signature.return_type), {}, {"nopython": True, "error_model": "numpy"})
        compiled._cache = _Kept(function)
        self._compiled = compiled

    @cached_property
    def address(self) -> int:
        """Of the machine code."""
        self._compiled.compile()
        return int(self._compiled.address)


class _InnerLibrary(JITCodeLibrary):
    """The code of an inner function as it comes from numba: kernels link it in, and are optimised as a whole."""

    def _optimize_functions(self, module: Any) -> None:
        module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalized = True


class _InnerCompiler(Compiler):
    """Stops before machine code, and lets kernels know the function all the same."""

    def compile_extra(self, function: Callable[..., Any]) -> Any:
        target = self.state.targetctx
        self.state.library, self.state.flags.no_compile = _InnerLibrary(target.codegen(), function.__qualname__), True
        found = super().compile_extra(function)
        entry = make_function(
            sys.modules[function.__module__], function.__name__, "", _address_of_refusal, found.environment, (found.library,)
        )
        target.insert_user_function(entry, found.fndesc, [found.library])
        return found._replace(entry_point=entry)


# what Python reaches that calls an inner function, which kernels only can: it calls what is not callable, a TypeError
_address_of_refusal = ctypes.cast(ctypes.pythonapi.PyObject_CallNoArgs, ctypes.c_void_p).value or 0


class _Kept:
    """What numba asks of a cache, for one function."""

    def __init__(self, function: Callable[..., Any]):
        self._name = f"{function.__module__}.{function.__qualname__}"[-80:]
        self._code = hashlib.sha256(function.__code__.co_code + _source(function)).digest()

    @property
    def cache_path(self) -> str:
        """For numba's statistics."""
        return str(_folder())

    def load_overload(self, signature: Any, target: Any) -> Any:
        """The compiled function for these types, or None where it must be compiled."""
        target.refresh()
        try:
            payload = _unsealed(self._path(signature, target.codegen()))
            found = payload and CompileResult._rebuild(target, *payload)
        except Exception:  # whatever is wrong with it, compiling puts it right
            found = None
        if not found:
            compiling.tell(True)
        return found

    def save_overload(self, signature: Any, compiled: Any) -> None:
        """Keeps a compiled function, where there is a place for it."""
        compiling.tell(False)
        path = self._path(signature, compiled.codegen)
        if path is not None and not compiled.library.has_dynamic_globals:
            _seal(path, compiled._reduce())

    def _path(self, signature: Any, codegen: Any) -> Path | None:
        folder = _folder()
        key = repr((self._code, str(signature), codegen.magic_tuple(), numba.__version__, sys.version_info[:2]))
        return folder and folder / f"{self._name}-{hashlib.sha256(key.encode()).hexdigest()[:24]}"


def _unsealed(path: Path | None) -> Any:
    """What was sealed; None of a file that is missing or damaged. Its folder is nobody else's, so that it may be unpickled."""
    if path is None or not path.is_file():
        return None
    data = path.read_bytes()
    whole = hashlib.sha256(data[_DIGEST_BYTES:]).digest() == data[:_DIGEST_BYTES]
    return pickle.loads(data[_DIGEST_BYTES:]) if whole else None


def _seal(path: Path, payload: Any) -> None:
    """Writes with a digest, whole or, on a full disk, not at all."""
    data = numba.core.serialize.dumps(payload)
    temporary = path.with_name(f".{secrets.token_hex(8)}")
    try:
        temporary.write_bytes(hashlib.sha256(data).digest() + data)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)


@cache
def _source(function: Callable[..., Any]) -> bytes:
    """The text around a function outside of this package, of whose rooms the folder knows."""
    path = Path(inspect.getfile(function))
    return b"" if path.is_relative_to(_ROOT) else path.read_bytes()


@cache
def _folder() -> Path | None:
    """The cache of this version of the native code; None, which is said, where nothing can be kept."""
    files = sorted(path for room in _ROOMS for path in (_ROOT / room).rglob("*.py"))
    version = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]
    obstacles = []
    for place in _places():
        try:
            _take(place)
            _forget_old(place, version)
            (place / version).mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            obstacles.append(f"{place} {error.strerror or error}")
            continue
        if obstacles:
            warnings.warn(f"compiled code is kept in {place}: {obstacles[0]}", Notice, stacklevel=2)
        return place / version
    warnings.warn(f"compiled code is not kept, every start compiles it: {obstacles[0]}", Notice, stacklevel=2)
    return None


def _places() -> list[Path]:
    """Where the cache may be, the best first; the last is for users without a home."""
    chosen = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME")
    try:
        home = Path(chosen) if chosen else Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
        places = [home / "mlxopto"] if home.is_absolute() else []
    except RuntimeError:  # no home
        places = []
    return [*places, Path(tempfile.gettempdir()) / f"mlxopto-{os.getuid()}"]


def _take(folder: Path) -> None:
    """Makes a folder, or makes sure that it is the user's alone; raises OSError, in words, where it is not.

    One that others could write to, as older versions made them, is closed to them, and the versions in it are dropped.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.stat()
    if found.st_uid != os.geteuid():
        raise OSError("belongs to another user")
    if found.st_mode & _OTHERS_WRITE:
        if not all(map(_is_version, folder.iterdir())):
            raise OSError("can be written to by others, and holds what is none of mlxopto's")
        folder.chmod(0o700)
        for version in folder.iterdir():
            _remove(version)
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise OSError("cannot be written to")


def _forget_old(versions: Path, version: str) -> None:
    if not (versions / version).exists():
        for old in versions.iterdir():
            if _is_version(old) and time.time() - old.lstat().st_mtime > _KEPT_S:
                _remove(old)


def _is_version(path: Path) -> bool:
    return re.fullmatch("[0-9a-f]{16}", path.name) is not None


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
