"""The configuration of a training run, kept in its folder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mlxopto import files
from mlxopto.errors import RequestError
from mlxopto.formats import documents

QUICK_MINUTES = 3.0


def _option(default: Any, help: str) -> Any:
    """A field that the command line sets too, with what it says of it."""
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class TrainConfig:
    """What a run is: with the same configuration, data and machine, training gives the same weights bit for bit."""

    device: str | None = _option("cl1b", "A virtual device: cl1b, la2a, fet, vca or digital.")  # or None
    data: str | None = _option(None, "A captures folder instead of a virtual device.")
    program: str | None = _option(None, "A folder of your own recordings as programme material for the virtual device.")
    arch: str = _option(
        "opto",
        "The network: opto, opto_light; of the paper s6_paper, s6_memoryless, s4d, lstm, encoder_decoder, lstm_b, ed_b, tcn_b.",
    )
    minutes: float = _option(30.0, "How long to train on this machine.")  # aimed at; `steps` counts once it is known
    steps: int = _option(0, "How many steps instead of minutes.")  # 0: measured from `minutes` when the run starts
    validations: int = 40  # a run, fewer where they would take long
    engine: str = _option("auto", "cpu, gpu, or auto: the GPU if there is one.")  # in a run folder, what was chosen
    seed: int = _option(0, "Of weights, settings, material and order.")
    init: str | None = _option(None, "Start from these weights (a shipped model's name or a file), with a fresh schedule.")
    calibrate: bool = _option(  # see `mlxopto.training.calibration`
        False,
        "Move --init towards the unit in --data by a few numbers only: a few minutes, from 2 s of recording at one setting.",
    )
    quick: bool = _option(False, f"Less data and {QUICK_MINUTES:.0f} minutes: clearly worse, good for trying out.")
    settings: int | None = None  # of a virtual device to train on; 512, or 128 with `quick`
    batch: int = 12  # sequences side by side, on every rank
    frames: int = 1024  # of back-propagation, as the network counts them, 0.7 s of opto; the state is carried on
    learning_rate: float | None = None  # at its highest; the network's own
    gain_share: float = 0.5  # of the gain term in the loss, the waveform term has the rest
    clip_norm: float = 1.0
    weight_decay: float = 0.01
    warmup: int = 200  # steps
    sample_rate: int = 48000  # of a virtual device

    def save(self, path: Path) -> None:
        """Writes JSON, whole or not at all."""
        files.write_text(path, json.dumps(asdict(self), indent=2) + "\n")

    @staticmethod
    def load(path: Path) -> TrainConfig:
        """Reads what `save` wrote.

        Raises:
            RequestError: no such file, or one that no version of `save` wrote.
        """
        if not path.is_file():
            raise RequestError(f"{path.parent} is not a run folder: {path.name} cannot be read")
        document: dict[str, Any] = documents.read_json(path, dict[str, Any])
        found: TrainConfig = documents.typed(
            {"engine": "cpu", **document}, TrainConfig, str(path)
        )  # before 0.3.0 there was no other
        return found.checked(str(path))

    def checked(self, where: str) -> TrainConfig:
        """Itself; raises RequestError where a number makes no sense. `where`: the file that it is from."""
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise RequestError(f"{where}: {name} must be {low:g} to {high:g}, got {value:g}")
        return self


_RANGES = (
    ("minutes", 0, 100_000), ("steps", 0, 10**9), ("validations", 1, 10**6), ("seed", 0, 2**31 - 1), ("batch", 1, 4096),
    ("frames", 1, 1 << 20), ("gain_share", 0, 1), ("clip_norm", 0, 1e9), ("weight_decay", 0, 1), ("warmup", 0, 10**9),
    ("sample_rate", 1000, 768_000), ("settings", 1, 100_000),
)  # fmt: skip
