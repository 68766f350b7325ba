"""One kernel text, handed to MLX as Metal or as CUDA."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import mlx.core as mx

SIMD = 32  # threads that run in step and can shuffle, on every GPU that MLX knows

# MLX declares what a Metal kernel is told about its position only if the body names it
POSITION = {
    "metal": "const uint3 position = thread_position_in_threadgroup, place = threadgroup_position_in_grid;\n",
    "cuda": "const uint3 position = threadIdx, place = blockIdx;\n",
}


@dataclass(frozen=True)
class Kernel:
    """A file in `mlxopto/scan/kernels`: the names of its arrays, in order, and which of them have the type T (else float)."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    typed: tuple[str, ...] = ()

    @property
    def body(self) -> str:
        """The text of the kernel's function."""
        return text(f"{self.name}.h")


def text(file: str) -> str:
    """A file in `mlxopto/scan/kernels`."""
    return (resources.files("mlxopto.scan") / "kernels" / file).read_text()


def available() -> bool:
    """Whether MLX has a GPU here that the kernels run on."""
    return mx.metal.is_available() or mx.cuda.is_available()


def launch(
    kernel: Kernel,
    inputs: Sequence[mx.array],
    shapes: Sequence[tuple[int, ...]],
    groups: tuple[int, int],
    threads: int,
    dtype: mx.Dtype = mx.float32,
    **constants: Any,
) -> list[mx.array]:
    """The kernel's outputs, lazily.

    Args:
        inputs, shapes: in the order of the kernel's inputs and outputs.
        groups: thread groups along x and y, each of `threads` threads, a multiple of 32.
        dtype: T. constants: what the text takes as known when it is compiled.
    """
    return _compiled(kernel, "metal" if mx.metal.is_available() else "cuda")(
        inputs=list(inputs),
        template=[("T", dtype), ("THREADS", threads), ("SIMD", SIMD), *constants.items()],
        grid=(groups[0] * threads, groups[1], 1),
        threadgroup=(threads, 1, 1),
        output_shapes=list(shapes),
        output_dtypes=[dtype if name in kernel.typed else mx.float32 for name in kernel.outputs],
    )


@cache
def _compiled(kernel: Kernel, dialect: str) -> Any:
    """MLX's callable. Its name holds a hash, because MLX keeps CUDA kernels on disk by their name alone."""
    header = text(f"dialect_{dialect}.h") + text("arithmetic.h")
    source = POSITION[dialect] + kernel.body
    digest = hashlib.sha256((header + source).encode()).hexdigest()[:12]
    make = mx.fast.metal_kernel if dialect == "metal" else mx.fast.cuda_kernel
    return make(
        name=f"mlxopto_{kernel.name}_{digest}",
        input_names=list(kernel.inputs),
        output_names=list(kernel.outputs),
        header=header,
        source=source,
    )
