"""Sound files as blocks of samples.

libsndfile decodes; where a header misleads about the length, the file's own size decides.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from mlxopto import files
from mlxopto.audio import layout
from mlxopto.audio.layout import Layout
from mlxopto.errors import RequestError

READABLE = frozenset(f".{name.lower()}" for name in soundfile.available_formats()) | {".aif", ".mp3", ".oga"}
BLOCK = 1 << 16  # samples, all channels together
RATES = (1000, 768_000)  # Hz; what a header says beyond is no sound
MOST_CHANNELS = 256
MOST_SAMPLES = 1 << 27  # of all channels, read at once: 512 MB
# libsndfile's log of a file whose audio chunk is longer than the file, in formats of which `layout` knows nothing
_CUT_SHORT = re.compile(r"^ ?(?:data|SSND|riff) : (\d+) \(should be (\d+)\)", re.MULTILINE)
_UNKNOWN = 1 << 62  # a length that a stream's header does not give
LOUDEST = 1e12  # of a sample; beyond is damage, not sound


@dataclass(frozen=True)
class SoundInfo:
    """What a file holds: rate in Hz, samples a channel; in `remark` how its header misleads about that, if it does."""

    path: Path
    sample_rate: int
    channels: int
    samples: int
    subtype: str
    remark: str = ""


def info(path: Path) -> SoundInfo:
    """What is in a sound file that can be read.

    Raises:
        RequestError: missing, a folder, empty, not audio, of no length, or of a rate or number of channels that no sound has.
    """
    with _open(path) as (sound, found):
        _check(path, sound, found)
        samples = _length(sound, path)
        if samples <= 0:
            raise RequestError(f"{path} holds no audio: its length is 0 samples")
        remark = ""
        if found and found.misled:
            remark = f"{path}: its header {found.misled}; all {samples / sound.samplerate:.1f} s that are there are read"
        return SoundInfo(path, sound.samplerate, sound.channels, samples, sound.subtype, remark)


def read_blocks(path: Path, block: int = BLOCK, start: int = 0, end: int | None = None) -> Iterator[np.ndarray]:
    """The file's samples in blocks, float32 (samples, channels); from sample `start` to before `end` where they are given.

    Raises:
        RequestError: as `info`; a sample that is NaN or infinite; fewer samples than the header promises.
    """
    with _open(path) as (sound, found):
        _check(path, sound, found)
        length = _length(sound, path)
        last = length if end is None else min(end, length)
        at = min(start, last)
        _skip(sound, path, at)
        while at < last:
            part = _part(sound, path, at, min(block, last - at))
            if not len(part):
                raise RequestError(f"{path} is cut short: its header promises {length} samples, {at} are there")
            if not (np.abs(part) <= LOUDEST).all():
                bad = int(np.argwhere(~(np.abs(part) <= LOUDEST))[0][0])
                what = "far beyond any sound" if np.isfinite(part[bad]).all() else "not a number or infinite"
                raise RequestError(f"{path} has a sample that is {what}, at sample {at + bad}")
            at += len(part)
            yield part


def read(path: Path) -> tuple[np.ndarray, int]:
    """A whole file, float32 (samples, channels), and its sample rate; raises as `read_part`."""
    head = info(path)
    return read_part(path, 0, head.samples), head.sample_rate


def read_part(path: Path, start: int, samples: int) -> np.ndarray:
    """Some of a file, float32 (samples, channels).

    Raises:
        RequestError: as `read_blocks`, also where the file ends before, or where that is more than fits into memory.
    """
    channels = info(path).channels
    if samples * channels > MOST_SAMPLES:
        raise RequestError(
            f"{path} is too long to be read at once: {samples} samples, at most {MOST_SAMPLES // channels}; cut it"
        )
    part, at = np.empty((samples, channels), np.float32), 0
    for block in read_blocks(path, max(1, BLOCK // channels), start, start + samples):
        part[at : at + len(block)] = block
        at += len(block)
    if at < samples:
        raise RequestError(f"{path} ends at {start + at} samples, {start + samples} are needed")
    return part


@contextmanager
def _open(path: Path) -> Iterator[tuple[soundfile.SoundFile, Layout | None]]:
    """An open file, and its layout where that is known.

    By its descriptor: libsndfile is handed no names, which may be of any bytes.
    """
    if files.check_readable(path) == 0:
        raise RequestError(f"{path} is empty")
    with ExitStack() as opened:
        try:
            file = opened.enter_context(path.open("rb"))
            found = layout.read(file)
            raw = found and found.misled and _raw(path, file, found)
            sound = raw or _decoder(path)
        except OSError as error:
            raise RequestError(f"{path} cannot be opened: {error.strerror}") from error
        except (soundfile.LibsndfileError, TypeError, ValueError) as error:
            raise RequestError(f"{path} is not a sound file that can be read: {_reason(error)}") from error
        try:
            yield opened.enter_context(sound), found
        except soundfile.LibsndfileError as error:
            raise RequestError(f"{path} is damaged or cut short: {_reason(error)}") from error


def _decoder(path: Path) -> soundfile.SoundFile:
    """libsndfile's own view of a file; one of unknown length cannot seek, though it says so."""
    sound = soundfile.SoundFile(os.open(path, os.O_RDONLY), closefd=True)
    if sound.frames >= _UNKNOWN:
        sound.seekable = lambda: False
    return sound


def _raw(path: Path, file: BinaryIO, found: Layout) -> soundfile.SoundFile:
    """The audio that is there, past a header that says otherwise.

    Raises:
        RequestError: a file that was cut, or a codec whose audio cannot be read without its header.
    """
    if found.cut:
        raise RequestError(f"{path} is cut short: its header promises {found.promised} bytes of audio, {found.there} are there")
    if found.subtype is None or found.rate <= 0:
        raise RequestError(f"{path} cannot be read: its header {found.misled}, and its codec needs it")
    order = "LITTLE" if found.form == "WAVE" else "BIG"
    window = _Window(file, found.at, found.there // found.frame * found.frame)
    return soundfile.SoundFile(window, "r", found.rate, found.channels, found.subtype, order, "RAW")


class _Window:
    """A part of a file as a file, as far as libsndfile asks for one."""

    def __init__(self, file: BinaryIO, start: int, size: int):
        self._file, self._start, self._size = file, start, size
        self._file.seek(start)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self.tell(), os.SEEK_END: self._size}[whence]
        return self._file.seek(self._start + max(0, base + offset)) - self._start

    def tell(self) -> int:
        return self._file.tell() - self._start

    def read(self, count: int) -> bytes:
        return self._file.read(max(0, min(count, self._size - self.tell())))

    def write(self, data: bytes) -> int:
        return 0


def _check(path: Path, sound: soundfile.SoundFile, found: Layout | None) -> None:
    """Refuses what no sound can be: it would only cost memory."""
    low, high = RATES
    if not low <= sound.samplerate <= high:
        raise RequestError(f"{path} says that its rate is {sound.samplerate} Hz, sound has {low} to {high}")
    if sound.channels > MOST_CHANNELS:
        raise RequestError(f"{path} says that it has {sound.channels} channels, at most {MOST_CHANNELS} are read")
    cut = None if found else _CUT_SHORT.search(sound.extra_info)
    if cut:
        raise RequestError(f"{path} is cut short: its header promises {cut[1]} bytes of audio, {cut[2]} are there")


def _length(sound: soundfile.SoundFile, path: Path) -> int:
    """Samples a channel; counted, in a second pass because the first cannot go back, where a stream's header gives none."""
    if sound.frames < _UNKNOWN:
        return int(sound.frames)
    count, block = 0, np.empty((BLOCK // sound.channels + 1, sound.channels), np.float32)
    with _decoder(path) as other:
        while got := len(other.read(out=block)):
            count += got
    return count


def _skip(sound: soundfile.SoundFile, path: Path, samples: int) -> None:
    """Goes to a sample; by reading where a codec cannot seek."""
    if samples and sound.seekable():
        sound.seek(samples)
        return
    at = 0
    while at < samples:
        got = len(_part(sound, path, at, min(BLOCK, samples - at)))
        if not got:
            return
        at += got


def _part(sound: soundfile.SoundFile, path: Path, at: int, samples: int) -> np.ndarray:
    try:
        return sound.read(samples, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise RequestError(f"{path} is damaged or cut short: it cannot be read past sample {at}") from error


def _reason(error: Exception) -> str:
    text = getattr(error, "error_string", None) or str(error)
    return text.strip().rstrip(".")
