"""Sound files made byte by byte, as other programs write them."""

from __future__ import annotations

import struct

import numpy as np

RATE = 48000


def chunk(name: bytes, data: bytes, size: int | None = None, order: str = "<") -> bytes:
    """A chunk; `size`: what it claims."""
    return name + struct.pack(f"{order}I", len(data) if size is None else size) + data + b"\0" * (len(data) % 2)


def fmt(channels: int = 1, bits: int = 16, rate: int = RATE, tag: int = 1, extra: bytes = b"") -> bytes:
    """A WAV's description of its samples."""
    frame = channels * bits // 8
    return chunk(b"fmt ", struct.pack("<HHIIHH", tag, channels, rate, rate * frame, frame, bits) + extra)


def riff(*chunks: bytes, size: int | None = None) -> bytes:
    """A WAV of chunks; `size`: what it claims."""
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body) if size is None else size) + body


def aiff(samples: np.ndarray, claimed: int | None = None, *more: bytes) -> bytes:
    """An AIFF of 16 bits; `claimed`: the size of its audio that it claims."""
    data = struct.pack(">II", 0, 0) + (samples * 32767).round().astype(">i2").tobytes()
    rate = struct.pack(">HQ", 16383 + 15, RATE << (63 - 15))
    described = chunk(b"COMM", struct.pack(">hIh", 1, len(samples), 16) + rate, order=">")
    body = b"AIFF" + described + b"".join(more) + chunk(b"SSND", data, claimed, order=">")
    return b"FORM" + struct.pack(">I", len(body)) + body


def pcm(samples: np.ndarray) -> bytes:
    """16 bits, little-endian."""
    return (samples * 32767).round().astype("<i2").tobytes()
