"""The kernels as Metal and as CUDA, read by compilers that need no GPU: what MSL lacks, and what nvcc makes of them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import mlx.core as mx
import pytest

from mlxopto.scan.gpu.launch import Kernel, text
from tests.scan import dialects, emulator

HERE = Path(__file__).parent
VARIANTS = emulator.variants()
CUDA_HEAD = """
#include <cuda_fp16.h>
#include <cuda_bf16.h>
struct Shape { int d[8]; __device__ int operator[](int i) const { return d[i]; } };
"""


def metal_errors(kernel: Kernel, dtype: mx.Dtype, folder: Path, body: str | None = None) -> str:
    """What clang says of a kernel as Metal: nothing, if all is well."""
    found = next((path for name in ("clang++", "clang++-14") if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("needs clang++, which checks Metal's address spaces")
    source = folder / "kernel.cpp"
    whole = dialects.program(kernel, "metal", dtype, dialects.constants(kernel))
    source.write_text('#include "metal_stub.h"\n' + (whole.replace(kernel.body, body) if body else whole))
    flags = ["-x", "c++", "-std=c++14", "-fsyntax-only", "-Wall", "-Wextra", "-Wdouble-promotion", "-Wvla", "-Werror"]
    # of the rest: constants and functions that only other kernels use
    quiet = ["-Wno-unused-variable", "-Wno-unused-function", "-Wno-unused-local-typedef", "-Wno-unused-parameter"]
    quiet += ["-Wno-pass-failed", "-Wno-undefined-inline", "-Wno-unknown-attributes"]
    return subprocess.run([found, *flags, *quiet, f"-I{HERE}", source], capture_output=True, text=True).stderr


@pytest.mark.parametrize(("kernel", "dtype"), VARIANTS, ids=lambda x: getattr(x, "name", str(x)[9:]))
def test_the_metal_text_uses_only_what_metal_has(kernel, dtype, tmp_path):
    assert metal_errors(kernel, dtype, tmp_path) == ""


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("const float third = 1.0 / 3.0f * h[0];", "double"),
        ("const double exact = 0;", "poisoned"),
        ("float *there = sums;", "address_space"),
        ("const float *there = gates;", "device float"),
        ("float row[gates_shape[1]];", "variable length array"),
        ("std::abort();", "poisoned"),
        ("const int thread = 0;", "poisoned"),
    ],
)
def test_the_metal_check_finds_what_metal_lacks(line, complaint, tmp_path):
    kernel = next(k for k in emulator.KERNELS if k.name == "gru_forward")
    assert complaint in metal_errors(kernel, mx.float32, tmp_path, f"{kernel.body}\n{line}\n")


def test_no_function_of_the_kernels_calls_itself():
    """MSL has no recursion. Functions are not declared before they are defined, so that only calls to themselves could be."""
    functions = re.findall(r"FUNCTION \w+ (\w+)\([^)]*\) \{(.*?)\n\}", text("arithmetic.h"), re.S)
    assert {name for name, _ in functions} == {"power_minus_one", "sigmoid", "smaller"}
    for name, body in functions:
        assert not re.search(rf"\b{name}\b", body)


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
@pytest.mark.parametrize(("width", "states", "hidden"), [(16, 16, 32), (64, 16, 64), (3, 128, 33)])
@pytest.mark.parametrize(("kernel", "dtype"), VARIANTS, ids=lambda x: getattr(x, "name", str(x)[9:]))
def test_nvcc_compiles_the_cuda_text_without_spilling_registers(kernel, dtype, width, states, hidden, architecture, tmp_path):
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("needs nvcc, CUDA's compiler")
    source = tmp_path / "kernel.cu"
    source.write_text(CUDA_HEAD + dialects.program(kernel, "cuda", dtype, dialects.constants(kernel, width, states, hidden)))
    command = [nvcc, f"-arch={architecture}", "-cubin", "-Xptxas", "-v", "-o", tmp_path / "kernel.cubin", source]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads" in done.stderr
    registers = int(re.search(r"Used (\d+) registers", done.stderr)[1])
    assert registers <= 128  # 256 threads of the largest group then fit twice into a multiprocessor
