"""Training data from a virtual device: an endless supply of sequences at a fixed set of settings."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import soxr

from mlxopto import audio
from mlxopto.controls import Setting, latin_hypercube
from mlxopto.data import program
from mlxopto.data.takes import Take
from mlxopto.devices import Device
from mlxopto.errors import RequestError

SEQUENCE_S = (6.0, 20.0)
TAKE_S = 10.0
MIN_MATERIAL_S = 60.0
EXPOSURES = 0.15  # of the passages that are trained on
_TRAIN, _VALIDATION, _TEST = 0, 1, 2

Material = tuple[np.ndarray, np.ndarray, np.ndarray]  # for training, validation and test


class VirtualSource:
    """Programme material through a virtual device.

    Training uses `settings` points of a Latin hypercube over the panel; validation and the unseen test use points of
    other hypercubes, the seen test uses training settings; each part has material of its own.

    Args:
        device: the unit. sample_rate: Hz. seed: of settings, material and sequences. settings: how many to train on.
        takes: how many unseen test settings; half as many seen ones and for validation. pool_s: seconds of synthetic training
        material. material: the user's own recordings for training, validation and test, float32 each; synthetic when not given.
    """

    def __init__(
        self,
        device: Device,
        sample_rate: int,
        seed: int,
        settings: int = 512,
        takes: int = 24,
        pool_s: float = 600.0,
        material: Material | None = None,
    ):
        self.device, self.sample_rate, self.seed = device, sample_rate, seed
        self.name, self.panel = device.name, device.panel
        self.dbu_at_full_scale: float | None = device.dbu_at_full_scale
        self.training_settings = settings
        self.remarks: tuple[str, ...] = ()
        self.settings = self._hypercube(settings, _TRAIN)
        self.description = (
            f"{device.title}, {settings} settings, {'own' if material is not None else 'synthetic'} programme material"
        )
        self.pool, validation, test = self._material(pool_s, takes, material)
        seen = [self.settings[i] for i in np.linspace(0, settings - 1, takes // 2).astype(int)]
        self.validation = self._takes(self._hypercube(takes // 2, _VALIDATION), validation)
        self.test = {"seen": self._takes(seen, test), "unseen": self._takes(self._hypercube(takes, _TEST), test)}

    def sequence(self, index: int) -> Take:
        """The index-th training sequence: a stretch of the pool at a random level, through the device at a training setting."""
        rng = np.random.default_rng([self.seed, _TRAIN, index])
        length = round(rng.uniform(*SEQUENCE_S) * self.sample_rate)
        start = rng.integers(0, max(1, len(self.pool) - length))
        level = 10 ** (rng.uniform(-9, 3) / 20)
        return self._take(
            self.pool[start : start + length] * np.float32(level), self.settings[rng.integers(len(self.settings))]
        )

    def _take(self, x: np.ndarray, setting: Setting) -> Take:
        return Take(x, self.device.process(x, self.sample_rate, setting), setting)

    def _takes(self, settings: list[Setting], material: np.ndarray) -> list[Take]:
        length = min(round(TAKE_S * self.sample_rate), len(material))
        starts = np.linspace(0, len(material) - length, len(settings)).astype(int)
        with ThreadPoolExecutor() as pool:
            return list(
                pool.map(lambda at: self._take(material[at[0] : at[0] + length], at[1]), zip(starts, settings, strict=True))
            )

    def _hypercube(self, count: int, part: int) -> list[Setting]:
        uniforms = np.random.default_rng([self.seed, 1, part]).random((count, len(self.panel.controls)))
        return latin_hypercube(self.panel, count, uniforms.tolist())

    def _material(self, pool_s: float, takes: int, own: Material | None) -> Material:
        if own is not None:
            return own
        lengths = (pool_s, TAKE_S * takes / 2, TAKE_S * takes)
        seeds = [np.random.SeedSequence([self.seed, 2, part]) for part in (_TRAIN, _VALIDATION, _TEST)]
        train, validation, test = (
            program.generate(length, self.sample_rate, seed, share)
            for length, seed, share in zip(lengths, seeds, (EXPOSURES, 0.0, 0.0), strict=True)
        )
        return train, validation, test


def read_material(folder: Path, sample_rate: int) -> Material:
    """All sound files of a folder at that rate for training, validation and test: 70, 15 and 15 % of each file in time.

    Channels follow each other within a part; nothing is mixed.

    Raises:
        RequestError: no folder, no sound file in it, one that cannot be read, or less than a minute in all.
    """
    if not folder.is_dir():
        raise RequestError(f"{folder} is not a folder with programme material")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in audio.READABLE and path.is_file())
    parts: tuple[list[np.ndarray], ...] = ([], [], [])
    for path in files:
        samples, rate = audio.read(path)
        if rate != sample_rate:
            samples = soxr.resample(samples, rate, sample_rate, quality="VHQ").reshape(-1, samples.shape[1])
        for part, piece in zip(parts, np.split(samples, [round(0.7 * len(samples)), round(0.85 * len(samples))]), strict=True):
            part.extend(piece.T)
    seconds = sum(len(piece) for part in parts for piece in part) / sample_rate
    if seconds < MIN_MATERIAL_S:
        raise RequestError(f"{folder} holds {seconds:.1f} s of sound, at least {MIN_MATERIAL_S:.0f} s are needed")
    train, validation, test = (np.concatenate(part).astype(np.float32) for part in parts)
    return train, validation, test
