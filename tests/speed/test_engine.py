"""What bench measures, in a small form: promised fields, and figures that agree with one another."""

import time

import numpy as np
import pytest

import mlxopto
from mlxopto.speed import engine, pictures
from mlxopto.speed.peers import Peer


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(engine, "BLOCKS", (64, 1024))
    monkeypatch.setattr(engine, "LENGTHS", (1024, 4096))
    monkeypatch.setattr(engine, "LONGEST_TRAINING", 1024)
    return mlxopto.load("cl1b")


@pytest.mark.clock
def test_all_fields_are_there_and_the_picture_is_drawn(small, tmp_path, monkeypatch):
    def work_for_a_millisecond() -> None:
        start = time.process_time_ns()
        while time.process_time_ns() < start + 1_000_000:
            pass

    worker = Peer("worker", 64, work_for_a_millisecond)
    monkeypatch.setattr(engine.peers, "installed", lambda block: ([worker], ["nothing else."]))
    told = []
    found, absent = engine.peer_rows(small, told.append)
    result = {
        "machine": engine.machine(),
        "engine": engine.engine_rows(small, told.append),
        "mlx": engine.mlx_rows(small, told.append),
        "startup": engine.startup(),
        "peers": found,
    }
    for row in result["engine"]:
        assert set(row) == {
            "model",
            "channels",
            "block",
            "ns_per_sample",
            "ns_spread",
            "real_time_factor",
            "block_us_median",
            "block_us_p999",
        }
        assert row["real_time_factor"] == pytest.approx(1e9 / 48000 / row["ns_per_sample"], rel=0.02)
        # other work on the machine lengthens the mean, not the median
        assert 0 < row["block_us_median"] < 1.5 * row["block"] * row["ns_per_sample"] / 1000
    for row in result["mlx"]:
        assert set(row) == {"device", "length", "forward_ns_per_sample", "train_ns_per_sample"}
        assert row["forward_ns_per_sample"] > 0
        assert (row["train_ns_per_sample"] is None) == (row["length"] > 1024)
    assert set(result["startup"]) == {"import_s", "first_block_s"}
    (worked,) = [row for row in found if row["name"] == "worker"]
    assert worked["ns_per_sample"] == pytest.approx(1e6 / 64, rel=0.5)
    assert {row["block"] for row in found if row["name"] == "mlxopto cl1b"} == {64, 4096}
    assert absent == ["nothing else."]
    pictures.bench_picture(tmp_path / "p.png", result)
    assert (tmp_path / "p.png").read_bytes()[:4] == b"\x89PNG"


def test_the_timed_callback_is_the_engine(small):
    timer = engine.BlockTimer(small, 2, 64)
    timer.run(3)
    expected = small.stream(2)(np.concatenate([timer._x] * 4))[-64:]
    np.testing.assert_array_equal(timer._y, expected)
