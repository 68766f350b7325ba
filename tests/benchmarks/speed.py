"""What the engine costs, beside a textbook compressor in turns of one run, in CPU time of the thread.

python -m tests.benchmarks.speed
"""

from __future__ import annotations

import mlxopto
from mlxopto.speed.engine import BlockTimer, in_turns
from mlxopto.weights import shipped
from tests.benchmarks.results import tell
from tests.benchmarks.test_speed import callback_ns, textbook_ns

BLOCKS = (64, 4096)

if __name__ == "__main__":
    kinds = [(name, channels, block) for name in shipped() for channels in (1, 2) for block in BLOCKS]
    timers = [BlockTimer(mlxopto.load(name), channels, block) for name, channels, block in kinds]
    *costs, plain = in_turns([*map(callback_ns, timers), textbook_ns(4096)])
    rows = [
        (*kind, f"{cost.ns:.1f} +- {cost.spread / 2:.1f}", f"{cost.ns / plain.ns:.2f}")
        for kind, cost in zip(kinds, costs, strict=True)
    ]
    tell(
        "The live callback",
        ["model", "channels", "samples in a block", "ns a sample", "textbook compressors"],
        [*rows, ("textbook compressor, scalar", 1, 4096, f"{plain.ns:.1f} +- {plain.spread / 2:.1f}", "1.00")],
        "no seed: noise",
    )
