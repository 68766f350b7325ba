"""Where the kernels for the GPU run in these tests: on a GPU, and everywhere else as C++."""

from __future__ import annotations

from collections.abc import Iterator

import mlx.core as mx
import pytest

from mlxopto.scan import gpu


@pytest.fixture(params=["emulated", "device"])
def gpu_scan(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """`scan` on the GPU's kernels: "emulated", and on the "device" if there is one."""
    if request.param == "emulated":
        request.getfixturevalue("emulated")
        yield "emulated"
        return
    if not gpu.available():
        pytest.skip("needs a GPU that MLX can use: Apple silicon, or NVIDIA with the extra cuda")
    monkeypatch.setenv("MLXOPTO_SCAN", "gpu")
    with mx.stream(mx.gpu):
        yield "device"
