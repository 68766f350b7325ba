"""Reading and writing sound files in blocks: constant memory, no silent clipping, resampling or channel mixing, no half-written file."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from mlxopto.errors import RequestError, WorkError

READABLE = frozenset(f".{name.lower()}" for name in soundfile.available_formats()) | {".aif", ".mp3", ".oga"}
WRITABLE = {".wav": "WAV", ".aiff": "AIFF", ".aif": "AIFF", ".flac": "FLAC"}
SUBTYPES = ("PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")
BLOCK = 1 << 16
_SAMPLE_BYTES = {"PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}
# libsndfile's log of a WAV or AIFF whose audio chunk is longer than the file; it would read what is there without a word
_CUT_SHORT = re.compile(r"^ ?(?:data|SSND) : (\d+) \(should be (\d+)\)", re.MULTILINE)
_UNKNOWN_BYTES = (1 << 32) - (1 << 16)  # written by streaming encoders that cannot go back to the header
_LARGEST_BYTES = (1 << 32) - (1 << 16)


@dataclass(frozen=True)
class SoundInfo:
    """What a file's header says: rate in Hz, samples a channel."""

    path: Path
    sample_rate: int
    channels: int
    samples: int
    subtype: str


def info(path: Path) -> SoundInfo:
    """The header of a sound file that can be read.

    Raises:
        RequestError: missing, a folder, empty, not audio, or of no length.
    """
    with _open(path) as sound:
        if sound.frames <= 0:
            raise RequestError(f"{path} holds no audio: its length is 0 samples")
        cut = _CUT_SHORT.search(sound.extra_info)
        if cut and int(cut[1]) < _UNKNOWN_BYTES:
            raise RequestError(f"{path} is cut short: its header promises {cut[1]} bytes of audio, {cut[2]} are there")
        return SoundInfo(path, sound.samplerate, sound.channels, sound.frames, sound.subtype)


def read_blocks(path: Path, block: int = BLOCK, start: int = 0, end: int | None = None) -> Iterator[np.ndarray]:
    """The file's samples in blocks, float32 (samples, channels); from sample `start` to before `end` where they are given.

    Raises:
        RequestError: as `info`; a sample that is NaN or infinite; fewer samples than the header promises.
    """
    with _open(path) as sound:
        last = sound.frames if end is None else min(end, sound.frames)
        at = min(start, last)
        sound.seek(at)
        while at < last:
            try:
                part = sound.read(min(block, last - at), dtype="float32", always_2d=True)
            except soundfile.LibsndfileError as error:
                raise RequestError(f"{path} is damaged or cut short: it cannot be read past sample {at}") from error
            if not len(part):
                raise RequestError(f"{path} is cut short: its header promises {sound.frames} samples, {at} are there")
            if not np.isfinite(part).all():
                bad = at + int(np.argwhere(~np.isfinite(part))[0][0])
                raise RequestError(f"{path} has a sample that is not a number or infinite, at sample {bad}")
            at += len(part)
            yield part


def read(path: Path) -> tuple[np.ndarray, int]:
    """A whole file, float32 (samples, channels), and its sample rate; raises as `read_blocks`."""
    sample_rate = info(path).sample_rate
    return np.concatenate(list(read_blocks(path))), sample_rate


def read_part(path: Path, start: int, samples: int) -> np.ndarray:
    """Some of a file, float32 (samples, channels); raises as `read_blocks`, also where the file ends before."""
    parts = list(read_blocks(path, start=start, end=start + samples))
    part = np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)
    if len(part) < samples:
        raise RequestError(f"{path} ends at {start + len(part)} samples, {start + samples} are needed")
    return part


def subtypes(path: Path) -> list[str]:
    """The sub-types that a file of this name can have.

    Raises:
        RequestError: a suffix that cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix not in WRITABLE:
        raise RequestError(f"{path} must end in {', '.join(WRITABLE)} to be written")
    return [subtype for subtype in SUBTYPES if soundfile.check_format(WRITABLE[suffix], subtype)]


def check_writable(path: Path, force: bool) -> None:
    """Refuses what cannot be created.

    Raises:
        RequestError: a folder or (unless `force`) a file is there, or the folder around it is missing or closed to writing.
    """
    if path.is_dir():
        raise RequestError(f"{path} is a folder, the output must be a file")
    if path.exists() and not force:
        raise RequestError(f"{path} exists already; give another name, or --force to replace it")
    if not path.parent.is_dir():
        raise RequestError(f"the output folder {path.parent} does not exist")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise RequestError(f"the output folder {path.parent} cannot be written to")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` that takes its place when the block ends well, and vanishes when it does not.

    Raises:
        WorkError: the system refuses a write (a full disk, say).
    """
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    except OSError as error:
        raise WorkError(f"{path} cannot be written: {error.strerror}") from error
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        temporary.replace(path)
    except (OSError, soundfile.LibsndfileError) as error:
        raise WorkError(f"{path} cannot be written: {getattr(error, 'strerror', None) or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


class Writer:
    """A sound file being written; float32 (samples, channels) in blocks. Use inside `replacing`.

    Args:
        path: the temporary file. samples: how many a channel will come. subtype: of `SUBTYPES`.
        `peak` follows what is written, `over` counts samples beyond full scale; an integer subtype flattens them.
    Raises:
        RequestError: a subtype or size that the format does not have.
    """

    def __init__(self, path: Path, sample_rate: int, channels: int, samples: int, subtype: str):
        self.peak, self.over = 0.0, 0
        kind = WRITABLE[path.suffix.lower()]
        if not soundfile.check_format(kind, subtype):
            raise RequestError(f"{kind} does not have the sub-type {subtype}; it has {', '.join(subtypes(path))}")
        if samples * channels * _SAMPLE_BYTES[subtype] > _LARGEST_BYTES and kind != "FLAC":
            if kind != "WAV":
                raise RequestError(f"{kind} files end at 4 GB; write WAV or FLAC instead")
            kind = "RF64"  # the WAV whose header counts bytes in 64 bits
        try:
            self._sound = soundfile.SoundFile(path, "w", sample_rate, channels, subtype, format=kind)
        except soundfile.LibsndfileError as error:
            raise RequestError(f"{kind} files cannot have {channels} channels at {sample_rate} Hz") from error
        self._path, self._written = path, 0

    def write(self, block: np.ndarray) -> None:
        """Appends a block.

        Raises:
            WorkError: the disk is full.
        """
        if not len(block):
            return
        magnitude = np.abs(block)
        if not np.isfinite(magnitude).all():
            raise WorkError(f"{self._path.name} would hold numbers that are not finite: the input is far beyond full scale")
        self.peak = max(self.peak, float(magnitude.max()))
        self.over += int(np.count_nonzero(magnitude > 1.0))
        try:
            self._sound.write(block)  # libsndfile flattens what an integer cannot hold, `over` says so
        except (soundfile.LibsndfileError, AssertionError) as error:  # a short write is an assertion in soundfile
            raise WorkError(f"{self._path.parent} takes no more data, its disk may be full") from error
        self._written += len(block)

    def abandon(self) -> None:
        """Ends a file that nobody will want."""
        self._sound.close()

    def close(self) -> None:
        """Ends the file.

        Raises:
            WorkError: what is on the disk is not all that was written.
        """
        self._sound.close()
        try:
            complete = soundfile.info(str(self._path)).frames == self._written
        except soundfile.LibsndfileError:
            complete = False
        if not complete:
            raise WorkError(f"{self._path.parent} takes no more data, its disk may be full")


class Resampler:
    """Streaming sample-rate conversion (soxr, highest quality) whose output has exactly the length and alignment that it should.

    Args:
        length: samples a channel that will come in. length_out: that will come out, round(length output / input) when not given.
    """

    def __init__(self, input_rate: int, output_rate: int, channels: int, length: int, length_out: int | None = None):
        self._stream = soxr.ResampleStream(input_rate, output_rate, channels, dtype="float32", quality="VHQ")
        self.length_out = round(length * output_rate / input_rate) if length_out is None else length_out
        self._left = self.length_out
        self._channels = channels

    def __call__(self, block: np.ndarray, last: bool) -> np.ndarray:
        """float32 (samples, channels) in and out; `last` flushes."""
        out = self._stream.resample_chunk(np.ascontiguousarray(block), last=last).reshape(-1, self._channels)[: self._left]
        self._left -= len(out)
        if last and self._left > 0:
            out = np.concatenate([out, np.zeros((self._left, self._channels), np.float32)])
            self._left = 0
        return out


@contextmanager
def _open(path: Path) -> Iterator[soundfile.SoundFile]:
    if path.is_dir():
        raise RequestError(f"{path} is a folder, a sound file is needed")
    try:
        if path.stat().st_size == 0:
            raise RequestError(f"{path} is empty")
        sound = soundfile.SoundFile(path)
    except OSError as error:
        raise RequestError(f"{path} cannot be opened: {error.strerror}") from error
    except (soundfile.LibsndfileError, TypeError) as error:
        raise RequestError(f"{path} is not a sound file that can be read: {_reason(error)}") from error
    with sound:
        yield sound


def _reason(error: Exception) -> str:
    text = getattr(error, "error_string", None) or str(error)
    return text.strip().rstrip(".")
