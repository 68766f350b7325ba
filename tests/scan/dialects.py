"""The kernels as the whole programs that MLX makes of them, for compilers that need no GPU: nvcc, and clang in place of
Metal's.
"""

from __future__ import annotations

import re

import mlx.core as mx

from mlxopto.scan.gpu import sizes
from mlxopto.scan.gpu.launch import POSITION, SIMD, Kernel, text

# what MLX 0.32 calls its types in CUDA and in Metal
TYPES = {
    "cuda": {mx.float32: "float", mx.float16: "__half", mx.bfloat16: "__nv_bfloat16"},
    "metal": {mx.float32: "float", mx.float16: "half", mx.bfloat16: "bfloat"},
}


def constants(kernel: Kernel, width: int = 16, states: int = 16, hidden: int = 32) -> dict[str, int | bool]:
    """Typical values of what the kernel's text takes as known."""
    gated = kernel.name.startswith(("gru", "lstm"))
    threads = {"gru": 3 * hidden, "lstm": 4 * hidden}.get(kernel.name.partition("_")[0], width * sizes.lanes(states))
    every = {
        "THREADS": sizes.group(threads) if gated or kernel.name.startswith("selective") else 64,
        "SIMD": SIMD, "D": width, "N": states, "H": hidden, "K": 3, "LANES": sizes.lanes(states), "STATES": sizes.STATES,
        "CHUNK": 512, "ZOH": True, "REVERSE": True, "KEEP": sizes.KEEP, "TILE": sizes.TILE, "AHEAD": sizes.AHEAD,
    }  # fmt: skip
    return {name: value for name, value in every.items() if re.search(rf"\b{name}\b", kernel.body)}


def program(kernel: Kernel, dialect: str, dtype: mx.Dtype, known: dict[str, int | bool]) -> str:
    """The text that MLX compiles, in the shape of its generators: signature, constants, body."""
    types = TYPES[dialect]
    arguments = []
    for name in kernel.inputs:
        kind = types[dtype] if name in kernel.typed else "float"
        arguments.append(f"const device {kind}* {name}" if dialect == "metal" else f"const {kind}* {name}")
        if f"{name}_shape" in kernel.body:
            arguments.append(f"const constant int* {name}_shape" if dialect == "metal" else f"const Shape {name}_shape")
    for name in kernel.outputs:
        kind = types[dtype] if name in kernel.typed else "float"
        arguments.append(f"device {kind}* {name}" if dialect == "metal" else f"{kind}* {name}")
    if dialect == "metal":
        arguments += ["uint3 thread_position_in_threadgroup", "uint3 threadgroup_position_in_grid"]
    lines = [f"  using T = {types[dtype]};"]
    for name, value in known.items():
        kind, word = ("bool", str(value).lower()) if isinstance(value, bool) else ("int", str(value))
        lines.append(f"  constexpr {kind} {name} = {word};")
    body = "\n".join([*lines, POSITION[dialect], kernel.body])
    head = text(f"dialect_{dialect}.h") + text("arithmetic.h")
    mark = "" if dialect == "metal" else "__global__ "  # clang would take [[kernel]] for the poisoned word
    return f"{head}\n{mark}void {kernel.name}({', '.join(arguments)}) {{\n{body}\n}}\n"
