"""What one of two ranks does in tests/training/test_ranks.py: trains, saves, goes on from the checkpoint; the first tells the
losses.

python -m tests.training.two_ranks FOLDER, under mlx.launch -n 2 or by itself with twice the batch.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import mlx.core as mx

from mlxopto.data.virtual import VirtualSource
from mlxopto.devices import device
from mlxopto.training import checkpoint
from mlxopto.training.config import TrainConfig
from mlxopto.training.ranks import Ranks
from mlxopto.training.trainer import Trainer

BATCH, BEFORE, AFTER = 4, 12, 8  # sequences in all; steps before and after the checkpoint


def losses(folder: Path, ranks: Ranks) -> list[float]:
    """Of every step, with a new trainer from the checkpoint in the middle."""
    source = VirtualSource(device("la2a"), 48000, 0, settings=6, takes=2, pool_s=30.0)
    config = TrainConfig(device="la2a", steps=BEFORE + AFTER, engine="cpu", batch=BATCH // ranks.size, frames=128)
    found = []
    trainer = Trainer(config, source, ranks)
    for _ in range(BEFORE):
        found.append(float(trainer.advance().loss))
    arrays, progress = trainer.arrays(), trainer.progress()
    trainer.close()
    if ranks.first:
        checkpoint.save(folder / "checkpoint.safetensors", arrays, progress)
    ranks.barrier()
    resumed = Trainer(config, source, ranks)
    resumed.restore(*checkpoint.load(folder / "checkpoint.safetensors"))
    for _ in range(AFTER):
        found.append(float(resumed.advance().loss))
    resumed.close()
    return found


if __name__ == "__main__":
    mx.set_default_device(mx.cpu)
    launched = Ranks.launched()
    found = losses(Path(sys.argv[1]), launched)
    if launched.first:
        (Path(sys.argv[1]) / "losses.json").write_text(json.dumps({"ranks": launched.size, "losses": found}))
