"""Sound files being written in blocks.

libsndfile encodes; a WAV's head is ours, so that it can pass 4 GB and carry metadata.
"""

from __future__ import annotations

import math
import os
import struct
from pathlib import Path

import numpy as np
import soundfile

from mlxopto import files
from mlxopto.audio import layout, metadata
from mlxopto.audio.metadata import NONE, Metadata
from mlxopto.errors import RequestError, WorkError

WRITABLE = {".wav": "WAV", ".aiff": "AIFF", ".aif": "AIFF", ".flac": "FLAC"}
SUBTYPES = ("PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")
_SAMPLE_BYTES = {"PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}
_LARGEST_AIFF = (1 << 32) - (1 << 16)  # bytes
_GUID_REST = bytes.fromhex("000000001000800000aa00389b71")  # of the formats of WAVEFORMATEXTENSIBLE
_WIDE = 0xFFFFFFFF  # stands for a size that the chunk ds64 gives


def subtypes(path: Path) -> list[str]:
    """The sub-types that a file of this name can have.

    Raises:
        RequestError: a suffix that cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix not in WRITABLE:
        raise RequestError(f"{path} must end in {', '.join(WRITABLE)} to be written")
    return [subtype for subtype in SUBTYPES if soundfile.check_format(WRITABLE[suffix], subtype)]


def write(path: Path, samples: np.ndarray, sample_rate: int, subtype: str, force: bool = True) -> None:
    """A whole sound file, float32 (samples,) or (samples, channels); raises as `files.replacing` and `Writer`."""
    columns = samples.reshape(len(samples), -1)
    with files.replacing(path, force) as temporary:
        writer = Writer(temporary, sample_rate, columns.shape[1], len(columns), subtype)
        writer.write(columns)
        writer.close()


class Writer:
    """A sound file being written; float32 (samples, channels) in blocks. Use inside `files.replacing`.

    Args:
        path: the temporary file. samples: how many a channel will come, 0 where that is not known. subtype: of `SUBTYPES`.
        carried: what goes along with the audio.
        `peak` follows what is written, `over` counts samples beyond full scale; an integer subtype flattens them.
    Raises:
        RequestError: a subtype or size that the format does not have.
    """

    def __init__(self, path: Path, sample_rate: int, channels: int, samples: int, subtype: str, carried: Metadata = NONE):
        self.peak, self.over = 0.0, 0
        self._path, self._written, self._carried = path, 0, carried
        self._kind = WRITABLE[path.suffix.lower()]
        if not soundfile.check_format(self._kind, subtype):
            raise RequestError(f"{self._kind} does not have the sub-type {subtype}; it has {', '.join(subtypes(path))}")
        if self._kind == "AIFF" and samples * channels * _SAMPLE_BYTES[subtype] > _LARGEST_AIFF:
            raise RequestError("AIFF files end at 4 GB; write WAV or FLAC instead")
        self._wave = _Wave(path, sample_rate, channels, samples, subtype, carried) if self._kind == "WAV" else None
        try:
            if self._wave:
                self._sound = soundfile.SoundFile(self._wave, "w", sample_rate, channels, subtype, "LITTLE", "RAW")
            else:
                self._sound = soundfile.SoundFile(
                    os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "w", sample_rate, channels, subtype, format=self._kind
                )
        except soundfile.LibsndfileError as error:
            raise RequestError(f"{self._kind} files cannot have {channels} channels at {sample_rate} Hz") from error
        if not self._wave and self._kind != carried.kind:
            for name, text in carried.tags.items():
                setattr(self._sound, name, text)

    def write(self, block: np.ndarray) -> None:
        """Appends a block.

        Raises:
            WorkError: the disk is full, or a number that is not finite.
        """
        if not len(block):
            return
        magnitude = np.abs(block)
        peak = float(magnitude.max())  # not finite where any sample is not
        if not math.isfinite(peak):
            raise WorkError(f"{self._path.name} would hold numbers that are not finite: the input is far beyond full scale")
        self.peak = max(self.peak, peak)
        self.over += int(np.count_nonzero(magnitude > 1.0))
        try:
            self._sound.write(block)  # libsndfile flattens what an integer cannot hold, `over` says so
        except (soundfile.LibsndfileError, AssertionError) as error:  # a short write is an assertion in soundfile
            raise self._full() from error
        self._written += len(block)

    def abandon(self) -> None:
        """Ends a file that nobody will want."""
        self._sound.close()
        if self._wave:
            self._wave.abandon()

    def close(self) -> None:
        """Ends the file.

        Raises:
            WorkError: what is on the disk is not all that was written.
        """
        try:
            self._sound.close()
            if self._wave:
                self._wave.close(self._written)
            elif self._kind == self._carried.kind:
                {"AIFF": metadata.add_to_aiff, "FLAC": metadata.add_to_flac}[self._kind](self._path, self._carried)
            with soundfile.SoundFile(os.open(self._path, os.O_RDONLY), closefd=True) as sound:
                complete = sound.frames == self._written
        except (OSError, soundfile.LibsndfileError):
            complete = False
        if not complete:
            raise self._full()

    def _full(self) -> WorkError:
        return WorkError(f"{self._path.parent} takes no more data, its disk may be full")


class _Wave:
    """The file around a WAV's samples: its head with room for sizes beyond 4 GB, and the chunks that accompany them.

    To libsndfile it is a file that holds samples only. A write that fails is short, which libsndfile tells its caller.
    """

    def __init__(self, path: Path, sample_rate: int, channels: int, samples: int, subtype: str, carried: Metadata):
        self._file = path.open("r+b" if path.exists() else "w+b", buffering=0)
        frame = channels * _SAMPLE_BYTES[subtype]
        self._frame, self._is_float = frame, not subtype.startswith("PCM")
        chunks = carried.chunks if carried.kind == "WAV" else ()
        tags = layout.info_list(carried.tags) if carried.kind != "WAV" else b""
        early = [layout.packed(chunk.name, chunk.data, "<") for chunk in chunks if chunk.early]
        self._late = b"".join(layout.packed(chunk.name, chunk.data, "<") for chunk in chunks if not chunk.early)
        self._late += layout.packed(b"LIST", tags, "<") if tags else b""
        self._described = _format(sample_rate, channels, subtype, carried.mask if carried.kind == "WAV" else 0)
        self._early = b"".join(early)
        self._end = self._start = self._file.write(self._head(samples)) or 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: self._start, os.SEEK_CUR: self._file.tell(), os.SEEK_END: self._end}[whence]
        return self._file.seek(base + offset) - self._start

    def tell(self) -> int:
        return self._file.tell() - self._start

    def read(self, count: int) -> bytes:
        return b""

    def write(self, data: bytes) -> int:
        try:
            written = self._file.write(data) or 0
        except OSError:
            return 0
        self._end = max(self._end, self._file.tell())
        return written

    def abandon(self) -> None:
        self._file.close()

    __del__ = abandon

    def close(self, samples: int) -> None:
        """Writes what stands behind the audio, then the head anew; raises OSError."""
        with self._file:
            self._file.seek(0, os.SEEK_END)
            behind = b"\0" * (samples * self._frame % 2) + self._late
            if self._file.write(behind) != len(behind):
                raise OSError("a short write")
            self._file.seek(0)
            self._file.write(self._head(samples))

    def _head(self, samples: int) -> bytes:
        """RIFF, or RF64 (EBU Tech 3306) where a size does not fit into 32 bits."""
        audio = samples * self._frame
        fact = layout.packed(b"fact", struct.pack("<I", min(samples, _WIDE)), "<") if self._is_float else b""
        inner = layout.packed(b"fmt ", self._described, "<") + fact + self._early
        whole = 4 + 36 + len(inner) + 8 + audio + audio % 2 + len(self._late)
        if whole < _WIDE:
            room = layout.packed(b"JUNK", bytes(28), "<")
            return b"RIFF" + struct.pack("<I", whole) + b"WAVE" + room + inner + b"data" + struct.pack("<I", audio)
        sizes = layout.packed(b"ds64", struct.pack("<QQQI", whole, audio, samples, 0), "<")
        return b"RF64" + struct.pack("<I", _WIDE) + b"WAVE" + sizes + inner + b"data" + struct.pack("<I", _WIDE)


def _format(sample_rate: int, channels: int, subtype: str, mask: int) -> bytes:
    """The chunk fmt; extensible only where there is a mask of channels to keep."""
    tag, size = (1 if subtype.startswith("PCM") else 3), _SAMPLE_BYTES[subtype]
    frame = channels * size
    head = struct.pack("<HHIIHH", 0xFFFE if mask else tag, channels, sample_rate, sample_rate * frame & _WIDE, frame, 8 * size)
    if not mask:
        return head
    return head + struct.pack("<HHIH", 22, 8 * size, mask, tag) + _GUID_REST
