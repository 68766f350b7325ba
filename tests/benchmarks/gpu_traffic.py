"""What a GPU's memory must move for a sample of audio, counted from the graph of `opto`: `python -m
tests.benchmarks.gpu_traffic`.

Operation by operation, as the engine gpu runs it: every output is written and every input read once, views are free. Needs no
GPU, and measures none.
"""

from __future__ import annotations

import collections
import os

import mlx.core as mx


class Bare:
    """A function with its own gradient, without the gradient: MLX cannot export those."""

    def __init__(self, function):
        self.function = function

    def __call__(self, *args):
        return self.function(*args)

    def vjp(self, gradient):
        return gradient


mx.custom_function = Bare

import mlxopto  # noqa: E402
from mlxopto.nn import functional  # noqa: E402
from mlxopto.scan import gpu  # noqa: E402
from tests.scan import emulator  # noqa: E402

SAMPLES = 1 << 16
VIEWS = {"Reshape", "Slice", "Split", "Transpose", "Broadcast", "ExpandDims", "Squeeze", "Flatten", "Unflatten", "AsStrided"}
BANDWIDTH = {"M2 (100 GB/s)": 100, "M2 Max (400 GB/s)": 400, "H100 (3,350 GB/s)": 3350}  # as their makers say


def count() -> dict[str, int]:
    """Bytes by operation, for one forward pass over SAMPLES samples."""
    moved: dict[str, int] = collections.Counter()

    def launch(kernel, inputs, shapes, groups, threads, dtype=mx.float32, **constants):
        for array in inputs:
            moved[f"kernel {kernel.name}"] += array.nbytes
        outputs = [mx.zeros(shape) for shape in shapes]
        moved[f"kernel {kernel.name}"] += sum(array.nbytes for array in outputs)
        return outputs

    for module in emulator.MODULES:
        module.launch = launch
    gpu.obstacle = lambda name: None
    functional.runs_native = lambda x: False
    os.environ["MLXOPTO_SCAN"] = "gpu"
    mx.disable_compile()
    compressor = mlxopto.load("cl1b")
    knobs = mx.array([compressor.panel.normalise(compressor.panel.setting({}))])

    def see(event: dict) -> None:
        if event["type"] == "primitive" and event["name"] not in VIEWS:
            for _, shape, dtype in (*event["inputs"], *event["outputs"]):
                size = 1
                for length in shape:
                    size *= length
                moved[event["name"]] += size * dtype.size

    mx.export_function(see, lambda x: compressor.model(x, knobs)[0], mx.zeros((1, SAMPLES)))
    return moved


if __name__ == "__main__":
    moved = count()
    for name, size in sorted(moved.items(), key=lambda item: -item[1])[:14]:
        print(f"{name:32s} {size / SAMPLES:8.1f} bytes a sample")
    total = sum(moved.values()) / SAMPLES
    print(f"{'all':32s} {total:8.1f}; the audio itself is 8")
    for name, bandwidth in BANDWIDTH.items():
        print(f"{name}: at least {total / bandwidth:.2f} ns a sample, {1e9 / 48000 / (total / bandwidth):,.0f} times real time")
