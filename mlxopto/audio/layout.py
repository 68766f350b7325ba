"""WAV and AIFF files as chunks. Sizes in a header are claims: the file's own size decides.

A size of 32 bits counts on from 0 at 4 GiB; recorders that die leave 0 or what they last wrote; encoders that write into a pipe
leave one of the sizes of `_PLACEHOLDERS`.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

MOST_CHUNKS, LARGEST_CHUNK, LARGEST_IN_ALL = 1000, 1 << 24, 1 << 26  # number and bytes of chunks that are carried along
_PLACEHOLDERS = (range(0x7FFF0000, 0x80000001), range(0xFFFF0000, 0x100000000))
_TRAILERS = (b"ID3", b"TAG", b"APETAGEX")  # tags behind a file that is complete
_LOOK = 1 << 16  # bytes at both ends of what may be audio
_UNFINISHED_S = 0.1  # as much audio as this beyond what the header says is no padding
_OF_AUDIO = {  # chunks that describe the samples, and are made anew with them
    "WAVE": {b"fmt ", b"data", b"fact", b"ds64", b"PEAK", b"levl", b"JUNK", b"junk", b"PAD ", b"FLLR", b"bpad", b"slnt"},
    "AIFF": {b"COMM", b"SSND", b"FVER", b"PEAK"},
}
_ENCODINGS = {
    ("WAVE", 1, 8): "PCM_U8", ("WAVE", 1, 16): "PCM_16", ("WAVE", 1, 24): "PCM_24", ("WAVE", 1, 32): "PCM_32",
    ("WAVE", 3, 32): "FLOAT",
    ("WAVE", 3, 64): "DOUBLE", ("WAVE", 6, 8): "ALAW", ("WAVE", 7, 8): "ULAW",
    ("AIFF", 1, 8): "PCM_S8", ("AIFF", 1, 16): "PCM_16", ("AIFF", 1, 24): "PCM_24", ("AIFF", 1, 32): "PCM_32",
}  # fmt: skip


_AU_ENCODINGS = {
    1: ("ULAW", 1),
    2: ("PCM_S8", 1),
    3: ("PCM_16", 2),
    4: ("PCM_24", 3),
    5: ("PCM_32", 4),
    6: ("FLOAT", 4),
    7: ("DOUBLE", 8),
    27: ("ALAW", 1),
}


@dataclass(frozen=True)
class Chunk:
    """A chunk that accompanies audio, with the bytes that it holds; `early`: it stands before the audio."""

    name: bytes
    data: bytes
    early: bool


@dataclass(frozen=True)
class Layout:
    """Where the audio of a file lies, in bytes, and what the header claims of it.

    rate in Hz; subtype: None where only its codec knows.
    """

    form: str  # WAVE, AIFF or AU
    at: int
    promised: int
    there: int
    frame: int  # bytes of a sample in all channels
    channels: int
    rate: int
    subtype: str | None
    mask: int  # of channels, 0 where none is given
    chunks: tuple[Chunk, ...]
    left_out: tuple[str, ...]  # names of chunks that are too many or too large to be carried along

    @property
    def cut(self) -> bool:
        """Whether the end of the audio is missing."""
        return self.promised > self.there and not _is_placeholder(self.promised)

    @property
    def misled(self) -> str | None:
        """In words, how the header misleads about the audio that is there; None where it does not."""
        if self.promised == self.there:
            return None
        if self.cut:
            return "promises more"
        if self.promised == 0 or _is_placeholder(self.promised):
            return "was not finished"
        return "counts only to 4 GiB" if (self.there - self.promised) % (1 << 32) == 0 else "does not tell all of the audio"


def read(file: BinaryIO) -> Layout | None:
    """The layout of a WAV or AIFF file; None of any other, and of one that ends before its audio."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(12)
    if head[:4] == b".snd":
        return _au(file, size)
    form = {b"RIFFWAVE": "WAVE", b"RF64WAVE": "WAVE", b"FORMAIFF": "AIFF", b"FORMAIFC": "AIFF"}.get(head[:4] + head[8:])
    if form is None:
        return None
    order = "<" if form == "WAVE" else ">"
    described, wide, accompanying = None, {}, _Accompanying(form)
    for name, at, claimed in _walk(file, 12, size, order):
        if name == b"ds64":
            sizes = _bytes(file, at, 24)
            wide[b"data"] = struct.unpack("<Q", sizes[8:16])[0] if len(sizes) == 24 else 0
        elif name in (b"fmt ", b"COMM"):
            described = _bytes(file, at, min(claimed, 64))
        elif name in (b"data", b"SSND"):
            start = at if form == "WAVE" else at + 8
            if described is None or start > size:
                return None
            promised = wide.get(name, claimed) if claimed == 0xFFFFFFFF else max(0, claimed - (start - at))
            return _layout(file, form, head[8:] == b"AIFC", described, start, promised, size, accompanying)
        else:
            accompanying.add(file, name, at, claimed, early=True)
    return None


def _au(file: BinaryIO, size: int) -> Layout | None:
    """An AU file: its size, where it is known, stands in six words at the front."""
    words = _bytes(file, 0, 24)
    if len(words) < 24:
        return None
    at, promised, encoding, rate, channels = struct.unpack(">IIIII", words[4:])
    if encoding not in _AU_ENCODINGS or not channels or at < 24 or at > size:
        return None
    subtype, width = _AU_ENCODINGS[encoding]
    known = promised and not _is_placeholder(promised)
    there = min(promised, size - at) if known and abs(size - at - promised) < _LOOK and promised >= size - at - 8 else size - at
    return Layout("AU", at, promised, there, channels * width, channels, rate, subtype, 0, (), ())


def info_list(strings: dict[str, str]) -> bytes:
    """A LIST chunk's data of the tags that RIFF knows, by libsndfile's names of them; empty without any."""
    entries = [(name, strings[key].encode() + b"\0") for key, name in INFO.items() if key in strings]
    return b"INFO" + b"".join(packed(name, data, "<") for name, data in entries) if entries else b""


INFO = {  # of a LIST chunk, by libsndfile's names
    "title": b"INAM", "artist": b"IART", "album": b"IPRD", "comment": b"ICMT", "date": b"ICRD", "genre": b"IGNR",
    "copyright": b"ICOP",
    "software": b"ISFT", "tracknumber": b"ITRK",
}  # fmt: skip


def info_names(data: bytes) -> set[bytes]:
    """Names of the entries of a LIST chunk's INFO."""
    names, at = set(), 4
    while at + 8 <= len(data):
        names.add(data[at : at + 4])
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8 + size + size % 2
    return names


def packed(name: bytes, data: bytes, order: str) -> bytes:
    """A chunk as bytes, padded to an even length; order < for WAV, > for AIFF."""
    return name + struct.pack(f"{order}I", len(data)) + data + b"\0" * (len(data) % 2)


class _Accompanying:
    """Collects chunks that are no audio, within bounds."""

    def __init__(self, form: str):
        self._skip = _OF_AUDIO[form]
        self.chunks: list[Chunk] = []
        self.left_out: list[str] = []
        self._bytes = 0

    def add(self, file: BinaryIO, name: bytes, at: int, size: int, early: bool) -> None:
        if name in self._skip:
            return
        if len(self.chunks) >= MOST_CHUNKS or size > LARGEST_CHUNK or self._bytes + size > LARGEST_IN_ALL:
            if len(self.left_out) < MOST_CHUNKS:
                self.left_out.append(name.decode().strip())
            return
        self._bytes += size
        self.chunks.append(Chunk(name, _bytes(file, at, size), early))


def _layout(
    file: BinaryIO,
    form: str,
    compressed: bool,
    described: bytes,
    at: int,
    promised: int,
    size: int,
    accompanying: _Accompanying,
) -> Layout | None:
    found = _described(form, compressed, described)
    if found is None:
        return None
    channels, rate, frame, subtype, mask = found
    there = _audio_bytes(file, form, at, promised, size, rate * frame)
    if there <= promised and at + promised <= size:  # what stands behind audio of a length that is known
        for name, start, claimed in _walk(file, at + promised + promised % 2, size, "<" if form == "WAVE" else ">"):
            accompanying.add(file, name, start, min(claimed, size - start), early=False)
    chunks, left_out = tuple(accompanying.chunks), tuple(accompanying.left_out)
    return Layout(form, at, promised, there, frame, channels, rate, subtype, mask, chunks, left_out)


def _audio_bytes(file: BinaryIO, form: str, at: int, promised: int, size: int, a_second: int) -> int:
    """How much audio there is, whatever the header promises."""
    left = size - at
    if promised >= left:
        return left
    behind = at + promised + promised % 2
    if behind >= size or _is_chain(file, behind, size, "<" if form == "WAVE" else ">"):
        return promised
    if not _is_placeholder(promised) and left - promised >= 1 << 32:
        return promised + ((left - promised) >> 32 << 32)
    if left - promised < _UNFINISHED_S * a_second or _bytes(file, behind, 8).startswith(_TRAILERS):
        return promised
    if not any(_bytes(file, behind, _LOOK)) and not any(_bytes(file, max(behind, size - _LOOK), _LOOK)):
        return promised  # room that was never written to
    return left


def _is_placeholder(size: int) -> bool:
    return any(size in sizes for sizes in _PLACEHOLDERS) or size > 1 << 62


def _is_chain(file: BinaryIO, at: int, size: int, order: str) -> bool:
    """Whether whole chunks follow one another from there to the end of the file, but for padding."""
    end = at
    for _, start, claimed in _walk(file, at, size, order):
        end = start + claimed
    return end > at and end >= size - 8 and end <= size


def _walk(file: BinaryIO, at: int, size: int, order: str) -> Iterator[tuple[bytes, int, int]]:
    """Name, place and claimed size of chunk after chunk, as long as they have names."""
    for _ in range(2 * MOST_CHUNKS):
        head = _bytes(file, at, 8)
        if len(head) < 8 or not all(32 <= letter < 127 for letter in head[:4]):
            return
        (claimed,) = struct.unpack(f"{order}I", head[4:])
        yield head[:4], at + 8, claimed
        at += 8 + claimed + claimed % 2
        if at > size:
            return


def _described(form: str, compressed: bool, data: bytes) -> tuple[int, int, int, str | None, int] | None:
    """Channels, rate, bytes a frame, sub-type and channel mask of a fmt or COMM chunk; None where it is cut short
    or makes no sense.
    """
    if form == "WAVE":
        if len(data) < 16:
            return None
        tag, channels, rate, _, frame, bits = struct.unpack("<HHIIHH", data[:16])
        mask = 0
        if tag == 0xFFFE and len(data) >= 26:
            (mask,), (tag,) = struct.unpack("<I", data[20:24]), struct.unpack("<H", data[24:26])
        subtype = _ENCODINGS.get((form, tag, bits))
        whole = frame == channels * bits // 8
        return (channels, rate, frame, subtype if whole else None, mask) if channels and frame else None
    if len(data) < 18:
        return None
    channels, _, bits, exponent, mantissa = struct.unpack(">HIHHQ", data[:18])
    rate = int(mantissa * 2.0 ** (exponent - 16383 - 63)) if exponent < 16383 + 32 else 0
    kind = data[18:22] if compressed else b"NONE"
    subtype = {b"NONE": _ENCODINGS.get((form, 1, bits)), b"fl32": "FLOAT", b"FL32": "FLOAT", b"fl64": "DOUBLE"}.get(kind)
    frame = channels * -(-bits // 8)
    return (channels, rate, frame, subtype, 0) if frame else None


def _bytes(file: BinaryIO, at: int, count: int) -> bytes:
    file.seek(at)
    return file.read(count)
