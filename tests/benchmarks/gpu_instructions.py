"""What the selective scan costs an NVIDIA GPU in instructions, read from machine code: `python -m
tests.benchmarks.gpu_instructions`.

Needs nvcc and nvdisasm on the path, and no GPU. A scan takes one power of two (MUFU) for each state of each step, so that a
loop's instructions over its MUFU are the instructions for a state and a step.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path

import mlx.core as mx

from tests.scan import dialects, emulator
from tests.scan.test_dialects import CUDA_HEAD

ISSUED_A_SECOND = 132 * 4 * 1.755e9  # by an H100: multiprocessors, schedulers, clock; each instruction serves 32 threads
COPIED_A_SECOND = 3.0e12  # bytes, by an H100
STEPS, CHANNELS, STATES = 32 * 65536, 16, 16


def loops(machine_code: str) -> list[tuple[int, int]]:
    """(instructions, MUFU) of every loop, by its backward branch."""
    found: list[tuple[int, int]] = []
    names: list[str] = []
    labels: dict[str, int] = {}
    for line in machine_code.splitlines():
        if label := re.match(r"\s*(\.L\w+):", line):
            labels[label[1]] = len(names)
        elif instruction := re.search(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+ )?\s*([A-Z0-9_]+)(.*)", line):
            names.append(instruction[1])
            target = re.search(r"`\((\.L\w+)\)", instruction[2])
            if names[-1] == "BRA" and target and labels.get(target[1], len(names)) < len(names) - 1:
                body = names[labels[target[1]] :]
                found.append((len(body), body.count("MUFU")))
    return found


def main() -> None:
    """Prints each kernel's loops, the sum and the bounds."""
    total = 0.0
    for kernel in emulator.KERNELS:
        if not kernel.name.startswith("selective"):
            continue
        with tempfile.TemporaryDirectory() as folder:
            source, binary = Path(folder) / "kernel.cu", Path(folder) / "kernel.cubin"
            source.write_text(
                CUDA_HEAD + dialects.program(kernel, "cuda", mx.float32, dialects.constants(kernel, CHANNELS, STATES))
            )
            subprocess.run(["nvcc", "-arch=sm_90", "-cubin", "-o", binary, source], check=True)
            code = subprocess.run(["nvdisasm", "-c", binary], capture_output=True, text=True, check=True).stdout
        states = [(size, powers) for size, powers in loops(code) if powers]
        costs = sorted(size / powers for size, powers in states)
        if (
            kernel.name == "selective_gradients"
        ):  # the loop over tiles of 8 steps, and 3/4 of the steps computed once more before
            size, powers = next(loop for loop in states if loop[1] == 32)
            cost = size / powers + 0.75 * costs[0]
        else:
            cost = costs[0]
        total += cost
        print(f"{kernel.name:22s} {cost:6.1f} instructions for each state of each step")
    issue = total * STEPS * CHANNELS * STATES / 32 / ISSUED_A_SECOND
    memory = 4 * STEPS * (12 * CHANNELS + 8 * STATES + CHANNELS * STATES / 16) / COPIED_A_SECOND
    print(f"{'all':22s} {total:6.1f}")
    print(f"batch 32, time 65536 on an H100: {1e3 * issue:.2f} ms to issue them, {1e3 * memory:.2f} ms to move the bytes")


if __name__ == "__main__":
    main()
