"""Streaming sample-rate conversion that keeps length and alignment."""

from __future__ import annotations

import numpy as np
import soxr


class Resampler:
    """Streaming sample-rate conversion (soxr, highest quality) whose output has exactly the length and alignment that it
    should.

    Args:
        length: samples a channel that will come in. length_out: that will come out, round(length output / input) when not
        given.
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
