"""Files and folders on disk: written whole or not at all, never over another's by accident, and by one process at a time."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from mlxopto.errors import RequestError, WorkError
from mlxopto.text import shown

LONGEST_NAME, LONGEST_PLAIN = (
    64,
    200,
)  # characters of a name that is made from what another file says, and of one that it may say
_LOCK = ".mlxopto-lock"
_TEMPORARY = re.compile(r"\..{0,32}-mlxopto-(\d{1,9})-[0-9a-f]{16}(\.\w*)?", re.ASCII | re.DOTALL)


def check_writable(path: Path, force: bool) -> None:
    """Refuses what cannot be created.

    Raises:
        RequestError: a folder, a device or (unless `force`) a file is there, or the folder around it is missing or closed to
        writing.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        mode = None
    except (OSError, ValueError) as error:  # a name that is too long, a loop of links
        raise RequestError(f"{path} cannot be written: {_reason(error)}") from error
    if mode is not None and stat.S_ISDIR(mode):
        raise RequestError(f"{path} is a folder, the output must be a file")
    if mode is not None and not stat.S_ISREG(mode):
        raise RequestError(f"{path} is not a regular file, the output must be one")
    if not force and os.path.lexists(path):
        raise _taken(path)
    if not path.parent.is_dir():
        raise RequestError(f"the output folder {path.parent} does not exist")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise RequestError(f"the output folder {path.parent} cannot be written to")


@contextmanager
def replacing(path: Path, force: bool = True) -> Iterator[Path]:
    """A temporary file beside `path` that takes its place when the block ends well, and vanishes when it does not.

    Its name tells which process it belongs to, so that what a killed one left is removed by the next that writes there.

    Raises:
        RequestError: a file has appeared at `path` meanwhile, unless `force`.
        WorkError: the system refuses a write (a full disk, say).
    """
    temporary = path.parent / f".{path.stem[:32]}-mlxopto-{os.getpid()}-{secrets.token_hex(8)}{path.suffix[:16]}"
    _sweep_once(path.parent)
    try:
        descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
    except OSError as error:
        raise WorkError(f"{path} cannot be written: {_reason(error)}") from error
    try:
        _lock(descriptor)  # says to other machines on a shared disk that its process is alive
        yield temporary
        _name(temporary, path, force)
    except OSError as error:
        raise WorkError(f"{path} cannot be written: {_reason(error)}") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        os.close(descriptor)


def write_text(path: Path, text: str, force: bool = True) -> None:
    """A text file in UTF-8; raises as `replacing`."""
    with replacing(path, force) as temporary:
        temporary.write_text(text, encoding="utf-8")


def check_readable(path: Path, how: str = "opened") -> int:
    """The size of a file in bytes.

    Raises:
        RequestError: missing, a folder, or something that reading might never end of, such as a pipe.
    """
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        raise RequestError(f"{path} cannot be {how}: {_reason(error)}") from error
    if stat.S_ISDIR(found.st_mode):
        raise RequestError(f"{path} is a folder, a file is needed")
    if not stat.S_ISREG(found.st_mode):
        raise RequestError(f"{path} is not a regular file")
    return found.st_size


def read_bytes(path: Path, most: int) -> bytes:
    """What a file holds.

    Raises:
        RequestError: as `check_readable`, a file of more than `most` bytes, or one that is closed to reading.
    """
    if (size := check_readable(path, "read")) > most:
        raise RequestError(f"{path} has {size} bytes, files of its kind have at most {most}")
    try:
        return path.read_bytes()
    except OSError as error:
        raise RequestError(f"{path} cannot be read: {_reason(error)}") from error


def is_unused(folder: Path) -> bool:
    """Whether there is no such folder, or nothing in it but what a killed process left half written, which is removed."""
    if not os.path.lexists(folder):
        return True
    if not folder.is_dir():
        return False
    sweep(folder)
    return all(path.name == _LOCK for path in folder.iterdir())


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keeps other processes of ours from working in a folder meanwhile; the lock of a killed one holds nobody up.

    Raises:
        RequestError: another process works in it.
        WorkError: the folder cannot be written to.
    """
    path = folder / _LOCK
    try:
        descriptor = _open_lock(path)
    except BlockingIOError as error:
        raise RequestError(f"{folder} is in use by {_holder(path)}; wait for its end, or name another folder") from error
    except OSError as error:
        raise WorkError(f"{folder} cannot be written to: {_reason(error)}") from error
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()
        os.close(descriptor)


def sweep(folder: Path) -> None:
    """Removes the temporary files of processes that are gone."""
    with suppress(OSError):
        for path in folder.iterdir():
            match = _TEMPORARY.fullmatch(path.name)
            if match and not _runs(int(match[1])) and _is_free(path):
                path.unlink(missing_ok=True)


def plain_name(text: str, otherwise: str) -> str:
    """What a file says, as a file's name: without folders, dots and control characters, at most `LONGEST_NAME` characters."""
    name = re.sub(r"[\\/.:]+", "-", shown(text)).strip(" -")[:LONGEST_NAME]
    return name or otherwise


def is_plain_name(text: str) -> bool:
    """Whether a file or folder of that name lies in the folder that it is put into."""
    return text not in ("", ".", "..") and "/" not in text and text.isprintable() and len(text) <= LONGEST_PLAIN


def _name(temporary: Path, path: Path, force: bool) -> None:
    """Gives a finished file its name; a hard link, because that fails where a file is there already."""
    if not force:
        try:
            os.link(temporary, path)
            return
        except FileExistsError:
            raise _taken(path) from None
        except OSError:  # a file system without hard links
            if os.path.lexists(path):
                raise _taken(path) from None
    temporary.replace(path)


def _taken(path: Path) -> RequestError:
    return RequestError(f"{path} exists already; give another name, or --force to replace it")


@cache
def _sweep_once(folder: Path) -> None:
    sweep(folder)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


def _is_free(path: Path) -> bool:
    """Whether no process, here or on another machine, holds the file."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        return _lock(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Whether the lock could be had; it could where the file system has none."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _open_lock(path: Path) -> int:
    """A descriptor that holds the lock and names this process; raises BlockingIOError where another holds it."""
    while True:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o666)
        try:
            if not _lock(descriptor):
                raise BlockingIOError
            if path.stat().st_ino == os.fstat(descriptor).st_ino:  # it has not been removed by its last holder meanwhile
                os.ftruncate(descriptor, 0)
                os.write(descriptor, str(os.getpid()).encode())
                return descriptor
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _holder(path: Path) -> str:
    try:
        return f"process {int(path.read_text()[:20])}"
    except (OSError, ValueError):
        return "another process"


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
