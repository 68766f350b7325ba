"""What bench --gpu measures, in a small form on the CPU: every row is there and its figures agree."""

import mlx.core as mx
import numpy as np
import pytest

import mlxopto
from mlxopto import scan
from mlxopto.speed import gpu

SMALL = gpu.Sizes(
    copied=1 << 20,
    batch=2,
    time=64,
    channels=4,
    states=3,
    gated_time=16,
    hidden=4,
    training=(2,),
    frames=8,
    render_s=1,
    repeats=2,
)


def test_every_row_is_measured(monkeypatch):
    """With the CPU in the GPU's place; its kernels cannot be compiled into a graph."""
    monkeypatch.setattr("mlxopto.engine.choice.gpu_obstacle", lambda: None)
    monkeypatch.setattr(mx, "gpu", mx.cpu)
    monkeypatch.setenv("MLXOPTO_SCAN", "cpu")
    told = []
    mx.disable_compile()
    try:
        rows = gpu.rows(mlxopto.load("cl1b"), SMALL, told.append)
    finally:
        mx.enable_compile()
    assert [row["what"] for row in rows] == [
        "copy",
        "selective scan forward",
        "selective scan forward + backward",
        "forward + backward by MLX operations",
        "gru forward + backward",
        "lstm forward + backward",
        "training step of opto",
        "gpu engine, cl1b",
        "cpu engine, cl1b",
    ]
    assert all(row["ms"] > 0 for row in rows)
    copy, _, both = rows[:3]
    assert copy["gb_per_s"] == pytest.approx(8 * SMALL.copied / copy["ms"] / 1e6, rel=0.01)
    assert both["share_of_copy"] == pytest.approx(both["gb_per_s"] / copy["gb_per_s"], abs=1e-3)
    assert "MB held" in both["speed"]
    assert rows[3]["speed"].startswith("kernels are")


def test_the_scan_by_mlx_operations_is_the_scan():
    mx.random.seed(3)
    total, gradients = gpu._plain_scan(SMALL)()
    mx.random.seed(3)
    args = gpu._arguments(SMALL)
    weights = mx.random.normal(args[0].shape)
    expected, theirs = mx.value_and_grad(lambda *a: (scan.selective_scan(*a)[0] * weights).sum(), tuple(range(6)))(*args[:6])
    assert float(total) == pytest.approx(float(expected), rel=1e-4)
    for a, b in zip(gradients, theirs, strict=True):
        np.testing.assert_allclose(np.array(a), np.array(b), rtol=1e-3, atol=1e-3)


def test_the_count_of_bytes_is_what_the_kernels_move(emulated):
    sizes = gpu.Sizes(batch=1, time=512, channels=16, states=16)
    _, both = gpu._selective(sizes)
    emulated.bytes = 0
    mx.eval(both())
    counted = 4 * sizes.batch * sizes.time * float((gpu._FORWARD + gpu._BACKWARD) @ gpu._terms(sizes))
    carries = 9 * 16 * 16 * 4 * sizes.time / 64  # at the shortest chunk; the longer chunks of a filled GPU need an eighth
    assert counted == pytest.approx(emulated.bytes - carries, rel=0.03)
