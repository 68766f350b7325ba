"""Where the kernels for the GPU run in these tests: on a GPU, and everywhere else as C++."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import mlx.core as mx
import pytest

from mlxopto.scan import gpu
from tests.scan import emulator


@pytest.fixture(scope="session")
def _program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[emulator.Emulator]:
    if sys.platform == "darwin":
        pytest.skip("fibers and the address sanitizer need Linux; on a Mac the GPU itself runs these tests")
    found = emulator.compiler()
    if found is None:
        pytest.skip("needs a C++ compiler (c++, g++ or clang++)")
    running = emulator.Emulator(tmp_path_factory.mktemp("emulator"), found)
    yield running
    running.close()


@pytest.fixture
def emulated(_program: emulator.Emulator, monkeypatch: pytest.MonkeyPatch) -> emulator.Emulator:
    """The kernels as C++ under sanitizers: `scan` chooses the GPU, and its launches go to the emulator."""
    for module in emulator.MODULES:
        monkeypatch.setattr(module, "launch", _program.launch)
    monkeypatch.setattr(gpu, "available", lambda: True)
    monkeypatch.setenv("MLXOPTO_SCAN", "gpu")
    _program.order, _program.bytes = 0, 0
    return _program


@pytest.fixture(params=["emulated", "device"])
def gpu_scan(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`scan` on the GPU's kernels: emulated, and on the GPU if there is one."""
    if request.param == "emulated":
        request.getfixturevalue("emulated")
        yield
        return
    if not gpu.available():
        pytest.skip("needs a GPU that MLX can use: Apple silicon, or NVIDIA with the extra cuda")
    monkeypatch.setenv("MLXOPTO_SCAN", "gpu")
    with mx.stream(mx.gpu):
        yield
