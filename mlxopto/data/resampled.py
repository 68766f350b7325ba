"""Training data at another sample rate than they were recorded at."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import soxr

from mlxopto.data.takes import Source, Take

KEPT = 64  # sequences that need not be resampled again


class ResampledSource:
    """A source, every take of which is resampled (soxr, highest quality) to the rate of the network that learns from it.

    Args:
        source: the recordings. sample_rate: Hz.
    """

    def __init__(self, source: Source, sample_rate: int):
        self.name, self.panel, self.training_settings = source.name, source.panel, source.training_settings
        self.dbu_at_full_scale, self.sample_rate = source.dbu_at_full_scale, sample_rate
        self.description = f"{source.description}, resampled from {source.sample_rate} Hz"
        told = f"recordings at {source.sample_rate} Hz are resampled to the {sample_rate} Hz of the model that is begun with"
        self.remarks = (*source.remarks, told)
        self._source = source
        self.validation = [self._resampled(take) for take in source.validation]
        self.test = {split: [self._resampled(take) for take in takes] for split, takes in source.test.items()}
        self._sequence = lru_cache(KEPT)(lambda index: self._resampled(source.sequence(index)))

    def sequence(self, index: int) -> Take:
        """As the source's."""
        return self._sequence(index)

    def _resampled(self, take: Take) -> Take:
        x, y = (soxr.resample(signal, self._source.sample_rate, self.sample_rate, quality="VHQ") for signal in (take.x, take.y))
        count = min(len(x), len(y))
        return replace(take, x=np.ascontiguousarray(x[:count]), y=np.ascontiguousarray(y[:count]))
