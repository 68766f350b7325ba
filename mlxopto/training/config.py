"""The configuration of a training run, kept in its folder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from mlxopto import files
from mlxopto.errors import RequestError


@dataclass(frozen=True)
class TrainConfig:
    """What a run is: with the same configuration, data and machine, training gives the same weights bit for bit."""

    device: str | None = "cl1b"  # virtual device, or None
    data: str | None = None  # captures folder, or None
    program: str | None = None  # folder with the user's own programme material for a virtual device
    arch: str = "opto"
    minutes: float = 30.0  # aimed at; `steps` is what counts once it is known
    steps: int = 0  # 0: measured from `minutes` when the run starts
    validations: int = 40  # a run, fewer where they would take long
    engine: str = "auto"  # cpu, gpu, or auto: the GPU if there is one; what counts once the run has started is in its folder
    seed: int = 0
    init: str | None = None  # weights to start from
    calibrate: bool = False  # only move the weights of `init` towards the unit, see `mlxopto.training.calibration`
    quick: bool = False
    settings: int | None = None  # of a virtual device to train on; 512, or 128 with `quick`
    batch: int = 12  # sequences side by side, on every rank
    frames: int = 1024  # of back-propagation, 0.34 s; the state is carried on
    learning_rate: float | None = None  # at its highest; the network's own
    gain_share: float = 0.5  # of the gain term in the loss, the waveform term has the rest
    clip_norm: float = 1.0
    weight_decay: float = 0.01
    warmup: int = 200  # steps
    sample_rate: int = 48000  # of a virtual device

    def save(self, path: Path) -> None:
        """Writes JSON, whole or not at all."""
        with files.replacing(path) as temporary:
            temporary.write_text(json.dumps(asdict(self), indent=2) + "\n")

    @staticmethod
    def load(path: Path) -> TrainConfig:
        """Reads what `save` wrote; raises RequestError."""
        try:
            return TrainConfig(**{"engine": "cpu", **json.loads(path.read_text())})  # before 0.3.0 there was no other
        except OSError as error:
            raise RequestError(f"{path.parent} is not a run folder: {path.name} cannot be read") from error
        except (TypeError, ValueError) as error:
            raise RequestError(f"{path} is not the configuration of a run: {error}") from error
