"""Sound files: read and written in blocks of constant memory, no silent clipping, resampling, cutting or channel mixing."""

from mlxopto.audio.metadata import Metadata
from mlxopto.audio.reading import BLOCK, READABLE, SoundInfo, info, read, read_blocks, read_part
from mlxopto.audio.resampling import Resampler
from mlxopto.audio.writing import SUBTYPES, WRITABLE, Writer, subtypes, write

__all__ = [
    "BLOCK", "READABLE", "SUBTYPES", "WRITABLE", "Metadata", "Resampler", "SoundInfo", "Writer", "info", "read", "read_blocks",
    "read_part", "subtypes", "write",
]  # fmt: skip
