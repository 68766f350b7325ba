"""The data that a run trains on."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from mlxopto import weights
from mlxopto.data.formats import open_folder
from mlxopto.data.resampled import ResampledSource
from mlxopto.data.takes import Source
from mlxopto.data.virtual import VirtualSource, read_material
from mlxopto.devices import device
from mlxopto.training.config import TrainConfig


def open_source(config: TrainConfig) -> Source:
    """The training data that a configuration names.

    Raises:
        RequestError: no such device, or captures or material that cannot be used.
    """
    if config.data:
        source = open_folder(Path(config.data), config.seed)
        rate = weights.card(weights.find(config.init)).sample_rate if config.init else source.sample_rate
        return source if source.sample_rate == rate else ResampledSource(source, rate)
    material = read_material(Path(config.program), config.sample_rate) if config.program else None
    size: dict[str, Any] = {"settings": 128, "takes": 12, "pool_s": 180} if config.quick else {}
    if config.settings:
        size["settings"] = config.settings
    return VirtualSource(device(config.device or ""), config.sample_rate, config.seed, material=material, **size)


def fingerprint(source: Source) -> str:
    """A hash of what a source will give: its first sequence and its validation and test takes."""
    digest = hashlib.sha256(source.description.encode())
    takes = [source.sequence(0), *source.validation, *(take for split in source.test.values() for take in split)]
    for take in takes:
        digest.update(take.x.tobytes())
        digest.update(take.y.tobytes())
        digest.update(repr(sorted(take.setting.items())).encode())
    return digest.hexdigest()
