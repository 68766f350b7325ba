"""The GPU kernels without a GPU: their text compiled as C++ through `shim.h`, with address and undefined-behaviour sanitizers.

`Emulator.launch` stands in for `mlxopto.scan.gpu.launch.launch`, so that everything around the kernels is what a GPU would run.
"""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

import mlx.core as mx
import numpy as np

from mlxopto.scan.gpu import ballistics, carry, gru, lstm, one_pole, selective
from mlxopto.scan.gpu.launch import SIMD, Kernel, text

MODULES = (ballistics, carry, gru, lstm, one_pole, selective)
KERNELS = tuple(value for module in MODULES for value in vars(module).values() if isinstance(value, Kernel))
CONSTANTS = (
    "THREADS", "SIMD", "D", "N", "H", "K", "LANES", "STATES", "CHUNK", "ZOH", "REVERSE", "KEEP", "TILE", "AHEAD",
)  # fmt: skip
TYPES = {mx.float32: "float", mx.float16: "_Float16", mx.bfloat16: "bfloat16"}

_MAIN = """
static void read_all(void *to, size_t bytes) {
    if (bytes && std::fread(to, bytes, 1, stdin) != 1) std::exit(0);
}

static int read_int() {
    int32_t value;
    read_all(&value, 4);
    return value;
}

int main() {
    for (;;) {
        const int function = read_int(), threads = read_int(), groups_x = read_int(), groups_y = read_int(), seed = read_int();
        std::vector<int> constants(read_int());
        read_all(constants.data(), constants.size() * 4);
        Arguments arguments{constants.data(), {}, {}};
        std::vector<std::unique_ptr<char[]>> memory; // each array its own allocation of exactly its size
        std::vector<std::vector<int>> shapes(read_int());
        for (auto &shape : shapes) {
            shape.resize(read_int());
            read_all(shape.data(), shape.size() * 4);
            const int bytes = read_int();
            memory.emplace_back(new char[bytes]);
            read_all(memory.back().get(), bytes);
            arguments.arrays.push_back(memory.back().get());
            arguments.shapes.push_back(shape.data());
        }
        std::vector<int> sizes(read_int());
        for (int &bytes : sizes) {
            bytes = read_int();
            memory.emplace_back(new char[bytes]);
            std::memset(memory.back().get(), 0xff, bytes); // not a number, where a kernel does not write
            arguments.arrays.push_back(memory.back().get());
        }
        for (unsigned y = 0; y < unsigned(groups_y); y++) {
            for (unsigned x = 0; x < unsigned(groups_x); x++) {
                shim::run(threads, seed + x + y, [&](unsigned thread) {
                    functions[function](arguments, uint3{thread, 0, 0}, uint3{x, y, 0});
                });
            }
        }
        for (size_t i = 0; i < sizes.size(); i++) {
            std::fwrite(arguments.arrays[shapes.size() + i], 1, sizes[i], stdout);
        }
        std::fflush(stdout);
    }
}
"""


def variants() -> list[tuple[Kernel, mx.Dtype]]:
    """Every kernel in every type that it comes in."""
    return [(kernel, dtype) for kernel in KERNELS for dtype in (TYPES if kernel.typed else [mx.float32])]


def as_function(kernel: Kernel, name: str, element: str) -> str:
    """The kernel as a C++ function of `Arguments`, with T = element.

    Constants are variables, so that one compilation serves all.
    """
    lines = [
        f"static void {name}(const Arguments &arguments, uint3 position, uint3 place) {{",
        f"using T [[maybe_unused]] = {element};",
    ]
    for i, constant in enumerate(CONSTANTS):
        if re.search(rf"\b{constant}\b", kernel.body):
            lines.append(f"const int {constant} = arguments.constants[{i}];")
    for i, array in enumerate((*kernel.inputs, *kernel.outputs)):
        kind = ("const " if array in kernel.inputs else "") + ("T" if array in kernel.typed else "float")
        lines.append(f"{kind} *{array} = static_cast<{kind} *>(arguments.arrays[{i}]);")
        if f"{array}_shape" in kernel.body and array in kernel.inputs:
            lines.append(f"const int *{array}_shape = arguments.shapes[{i}];")
    return "\n".join([*lines, kernel.body, "}", ""])


def program() -> str:
    """The whole C++ program: it reads launches from its standard input and answers with the outputs."""
    functions, names = [], []
    for kernel, dtype in variants():
        names.append(f"{kernel.name}_{len(names)}")
        functions.append(as_function(kernel, names[-1], TYPES[dtype]))
    arguments = "struct Arguments { const int *constants; std::vector<void *> arrays; std::vector<const int *> shapes; };\n"
    table = f"static void (*const functions[])(const Arguments &, uint3, uint3) = {{{', '.join(names)}}};\n"
    return "\n".join(['#include "shim.h"', text("arithmetic.h"), arguments, *functions, table, _MAIN])


class Emulator:
    """Compiles the kernels once and keeps the program running; `order` changes the order in which threads run."""

    def __init__(self, folder: Path, compiler: str):
        source, binary = folder / "kernels.cpp", folder / "kernels"
        source.write_text(program())
        flags = ["-std=c++17", "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-Wall", "-Wextra"]
        quiet = ["-Wno-unused-variable", "-Wno-vla", "-Wno-unused-function", "-Wno-unused-parameter"]
        here = f"-I{Path(__file__).parent}"
        subprocess.run([compiler, *flags, *quiet, "-Werror", here, "-o", binary, source], check=True)
        self._process = subprocess.Popen(
            [binary],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"},
        )
        self.order = 0
        self.bytes = 0  # of all arrays of all launches

    def close(self) -> None:
        """Ends the program."""
        self._process.communicate()

    def launch(
        self,
        kernel: Kernel,
        inputs: Sequence[mx.array],
        shapes: Sequence[tuple[int, ...]],
        groups: tuple[int, int],
        threads: int,
        dtype: mx.Dtype = mx.float32,
        **constants: int | bool,
    ) -> list[mx.array]:
        """As `mlxopto.scan.gpu.launch.launch`, at once.

        Raises:
            AssertionError: an input of a wrong type, or a sanitizer's finding, in its words.
        """
        mx.eval(*inputs)
        types = {name: dtype if name in kernel.typed else mx.float32 for name in (*kernel.inputs, *kernel.outputs)}
        for name, array in zip(kernel.inputs, inputs, strict=True):
            assert array.dtype == types[name], f"{kernel.name}: {name} has the type {array.dtype}"
        assert threads % SIMD == 0, f"{kernel.name}: {threads} threads a group"
        assert set(constants) <= set(CONSTANTS)
        values = {"THREADS": threads, "SIMD": SIMD, **constants}
        for name in CONSTANTS:
            assert name in values or not re.search(rf"^[^/]*\b{name}\b", kernel.body, re.M), (
                f"{kernel.name} is not given {name}"
            )
        header = [variants().index((kernel, dtype if kernel.typed else mx.float32)), threads, *groups, self.order]
        message = [_ints(*header, len(CONSTANTS), *(int(values.get(name, 0)) for name in CONSTANTS), len(inputs))]
        for array in inputs:
            message += [_ints(array.ndim, *array.shape, array.nbytes), bytes(np.ascontiguousarray(np.array(_bits(array))))]
        sizes = [types[name].size * int(np.prod(shape)) for name, shape in zip(kernel.outputs, shapes, strict=True)]
        self.bytes += sum(array.nbytes for array in inputs) + sum(sizes)
        answer = self._ask(b"".join([*message, _ints(len(sizes), *sizes)]), sum(sizes))
        outputs, at = [], 0
        for name, shape, size in zip(kernel.outputs, shapes, sizes, strict=True):
            raw = np.frombuffer(answer[at : at + size], np.float32 if types[name] == mx.float32 else np.uint16).reshape(shape)
            outputs.append(mx.array(raw) if types[name] == mx.float32 else mx.array(raw).view(types[name]))
            at += size
        return outputs

    def _ask(self, message: bytes, size: int) -> bytes:
        try:
            self._process.stdin.write(message)
            self._process.stdin.flush()
            answer = self._process.stdout.read(size)
        except BrokenPipeError:
            answer = b""
        if len(answer) < size:
            raise AssertionError(self._process.stderr.read().decode())
        return answer


def compiler() -> str | None:
    """The machine's C++ compiler."""
    return next((found for name in ("c++", "g++", "clang++") if (found := shutil.which(name))), None)


def _ints(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}i", *values)


def _bits(array: mx.array) -> mx.array:
    return array if array.dtype == mx.float32 else array.view(mx.uint16)
