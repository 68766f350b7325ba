"""npz files: numpy arrays in a zip archive. What archive and arrays claim is compared before anything is allocated."""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from pathlib import Path

import numpy as np

from mlxopto import files
from mlxopto.errors import RequestError
from mlxopto.text import quoted, shown

LARGEST_FILE, LARGEST_IN_ALL, MOST_ARRAYS = 1 << 28, 1 << 27, 1000  # bytes as stored and unpacked; arrays
_LARGEST_HEADER = 10_000  # bytes
_ENCRYPTED = 1  # a flag of the archive's


def read(path: Path) -> dict[str, np.ndarray]:
    """The arrays by their names, as float32.

    Raises:
        RequestError: not such a file, damaged, encrypted, or with anything but arrays of numbers that fit into memory.
    """
    files.check_readable(path, "read")
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) > MOST_ARRAYS or sum(member.file_size for member in members) > LARGEST_IN_ALL:
                raise RequestError(
                    f"{path} cannot be read as an npz file: it holds more than {MOST_ARRAYS} arrays or "
                    f"{LARGEST_IN_ALL >> 20} MB"
                )
            return {member.filename.removesuffix(".npy"): _array(path, archive, member) for member in members}
    except OSError as error:
        raise RequestError(f"{path} cannot be read: {error.strerror or shown(str(error))[:80]}") from error
    except (ValueError, EOFError, RuntimeError, NotImplementedError, SyntaxError, zipfile.BadZipFile, zlib.error) as error:
        raise RequestError(f"{path} cannot be read as an npz file: {shown(str(error))[:80]}") from error


def _array(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    name = quoted(member.filename)
    if member.flag_bits & _ENCRYPTED:
        raise RequestError(f"{path} cannot be read as an npz file: {name} in it is encrypted")
    data = io.BytesIO(archive.read(member))
    version = np.lib.format.read_magic(data)
    if version == (1, 0):
        shape, fortran, kind = np.lib.format.read_array_header_1_0(data, max_header_size=_LARGEST_HEADER)
    elif version == (2, 0):
        shape, fortran, kind = np.lib.format.read_array_header_2_0(data, max_header_size=_LARGEST_HEADER)
    else:
        raise RequestError(f"{path} cannot be read as an npz file: {name} in it is an array of another version")
    if kind.hasobject or kind.kind not in "fiub":
        raise RequestError(
            f"{path} cannot be read as an npz file: {name} in it is an array of {quoted(str(kind))}, only numbers are admitted"
        )
    left = len(data.getbuffer()) - data.tell()
    if math.prod(shape) * kind.itemsize != left or min(shape, default=0) < 0:
        raise RequestError(
            f"{path} cannot be read as an npz file: {name} in it says that its shape is {quoted(shape)}, which is "
            "not what is there"
        )
    with np.errstate(over="ignore"):
        return np.frombuffer(data.read(), kind).reshape(shape, order="F" if fortran else "C").astype(np.float32)
