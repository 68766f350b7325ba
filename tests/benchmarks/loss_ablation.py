"""Which loss: the same network, data, seed and steps with the waveform term alone, the gain term alone, and both.

    python tests/benchmarks/loss_ablation.py [STEPS]

Prints a table of errors on validation settings of the virtual LA-2A.
"""

from __future__ import annotations

import sys

import mlx.core as mx

from mlxopto.data.virtual import VirtualSource
from mlxopto.devices import device
from mlxopto.training.config import TrainConfig
from mlxopto.training.trainer import Trainer
from tests.benchmarks.results import tell

LOSSES = {"waveform alone": 0.0, "gain alone": 1.0, "both": 0.5}


def main(steps: int) -> None:
    with mx.stream(mx.cpu):
        source = VirtualSource(device("la2a"), 48000, 0, settings=128, takes=16, pool_s=180)
        rows = []
        for name, share in LOSSES.items():
            trainer = Trainer(TrainConfig(device="la2a", steps=steps, gain_share=share), source)
            for _ in range(steps):
                trainer.advance()
            scores = trainer.validate()
            trainer.close()
            gains = (f"{scores.gain_error_db_rms:.2f}", f"{scores.gain_error_db_mean:.2f}")
            rows.append((name, f"{scores.esr_median:.2e}", f"{scores.esr_mean:.2e}", *gains))
        columns = ["loss", "ESR, median", "mean", "gain error, median", "mean"]
        tell(f"The loss, {steps} steps", columns, rows, "one seed")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1500)
