"""What a sound file carries beside its audio: time reference, markers, loops, tags, pictures, the mask of its channels.

A render keeps length and alignment, so all of it stays true, and is copied byte by byte where the format stays the same.
Another format gets the tags that both know.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import soundfile

from mlxopto import files
from mlxopto.audio import layout
from mlxopto.audio.layout import LARGEST_CHUNK, LARGEST_IN_ALL, MOST_CHUNKS, Chunk
from mlxopto.text import shown

TAGS = ("title", "artist", "album", "comment", "date", "genre", "copyright", "software", "tracknumber")  # that libsndfile knows
_FLAC_KEPT = {2: "application", 4: "tags", 5: "cue sheet", 6: "picture"}  # kinds of blocks that stay true
_FLAC_MAGIC = b"fLaC"


@dataclass(frozen=True)
class Metadata:
    """What accompanies audio.

    kind: WAV, AIFF, FLAC, or empty. chunks: of WAV and AIFF. blocks: (kind, data) of FLAC. mask: of a WAV's channels, 0
    without. tags: text by the names of `TAGS`. left_out: names of what was too much to be carried along.
    """

    kind: str = ""
    chunks: tuple[Chunk, ...] = ()
    blocks: tuple[tuple[int, bytes], ...] = ()
    mask: int = 0
    tags: dict[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()

    def lost_in(self, kind: str) -> list[str]:
        """Names of what a file of another kind cannot keep."""
        lost = [f"{name} (too large)" for name in self.left_out]
        if kind != self.kind:
            lost += [chunk.name.decode().strip() for chunk in self.chunks if not _is_tags(chunk)]
            lost += [_FLAC_KEPT[block] for block, data in self.blocks if block != 4 or _other_tags(data)]
            lost += ["channel mask"] if self.mask and kind != "WAV" else []
        return list(dict.fromkeys(shown(name) for name in lost))

    @staticmethod
    def of(path: Path) -> Metadata:
        """What a sound file carries that is known to be readable; nothing where it cannot be told."""
        tags: dict[str, str] = {}
        with path.open("rb") as file:
            with (
                suppress(soundfile.LibsndfileError, UnicodeError),
                soundfile.SoundFile(os.open(path, os.O_RDONLY), closefd=True) as sound,
            ):
                tags = {name: text for name in TAGS if (text := getattr(sound, name))}
            file.seek(0)
            _skip_id3(file)
            if file.read(4) == _FLAC_MAGIC:
                blocks = tuple((kind, data) for kind, data in _flac_blocks(file) if kind in _FLAC_KEPT)
                return Metadata("FLAC", blocks=blocks, tags=tags)
            found = layout.read(file)
        if found is None or found.form == "AU":
            return Metadata(tags=tags)
        kind = {"WAVE": "WAV", "AIFF": "AIFF"}[found.form]
        return Metadata(kind, found.chunks, mask=found.mask, tags=tags, left_out=found.left_out)


NONE = Metadata()


def add_to_aiff(path: Path, metadata: Metadata) -> None:
    """Puts an AIFF's chunks behind the audio of a new one."""
    if not metadata.chunks:
        return
    with path.open("r+b") as file:
        end = file.seek(0, 2)
        file.write(b"\0" * (end % 2) + b"".join(layout.packed(chunk.name, chunk.data, ">") for chunk in metadata.chunks))
        size = file.tell() - 8
        file.seek(4)
        file.write(size.to_bytes(4, "big"))


def add_to_flac(path: Path, metadata: Metadata) -> None:
    """Puts a FLAC's blocks into the head of a new one, in place of its own tags."""
    if not metadata.blocks:
        return
    with path.open("rb") as file, files.replacing(path) as temporary, temporary.open("r+b") as out:
        file.seek(4)
        own = [(kind, data) for kind, data in _flac_blocks(file) if kind == 0]
        blocks = [*own, *metadata.blocks]
        out.write(_FLAC_MAGIC)
        for place, (kind, data) in enumerate(blocks, 1):
            out.write(bytes([kind | 0x80 * (place == len(blocks))]) + len(data).to_bytes(3, "big") + data)
        while part := file.read(1 << 20):
            out.write(part)


def _flac_blocks(file: BinaryIO) -> list[tuple[int, bytes]]:
    """Kind and data of each, from behind the magic word; the file then stands at the first frame."""
    blocks, room = [], LARGEST_IN_ALL
    for _ in range(MOST_CHUNKS):
        head = file.read(4)
        if len(head) < 4:
            break
        data = file.read(int.from_bytes(head[1:], "big"))
        room -= len(data)
        if len(data) <= LARGEST_CHUNK and room >= 0:
            blocks.append((head[0] & 0x7F, data))
        if head[0] & 0x80:
            break
    return blocks


def _is_tags(chunk: Chunk) -> bool:
    """Whether libsndfile reads all that it says as `TAGS`."""
    if chunk.data[:4] == b"INFO":
        return layout.info_names(chunk.data) <= set(layout.INFO.values())
    return chunk.name in (b"NAME", b"AUTH", b"(c) ", b"ANNO")


def _skip_id3(file: BinaryIO) -> None:
    """Goes past a tag that some programs put before a FLAC."""
    head = file.read(10)
    size = sum((byte & 0x7F) << (7 * place) for place, byte in enumerate(reversed(head[6:])))
    file.seek(10 + size if head[:3] == b"ID3" else 0)


def _other_tags(data: bytes) -> bool:
    """Whether a FLAC's comments hold more than `TAGS`: a vendor, then texts, each with its length before it."""
    with suppress(ValueError):
        at = 4 + int.from_bytes(data[:4], "little")
        for _ in range(min(int.from_bytes(data[at : at + 4], "little"), MOST_CHUNKS)):
            size = int.from_bytes(data[at + 4 : at + 8], "little")
            name = data[at + 8 : at + 8 + size].partition(b"=")[0].decode("latin1").lower()
            if name not in (*TAGS, "encoder"):
                return True
            at += 4 + size
    return False
