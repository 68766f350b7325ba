"""The rig itself is exact, leaves nothing behind and survives a server that dies."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.live.rig import JackLoop, align, alsa_files, hog, jack_server, own_process

pytestmark = pytest.mark.clock


def passes(inputs: np.ndarray, outputs: np.ndarray, frames: int, clock: Any, status: Any) -> None:
    outputs[:] = inputs


def noise(samples: int) -> np.ndarray:
    """Stereo, float32, with samples that only a float32 path keeps: tiny, and far above full scale."""
    signal = np.random.default_rng(4).uniform(-1, 1, (samples, 2)).astype(np.float32)
    signal[100] = 1e-12, 300.0
    return signal


def running(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize(("period", "block", "lag"), [(128, 0, 0), (128, 128, 128), (32, 0, 0)])
def test_a_stream_on_jack_is_recorded_to_the_sample(period: int, block: int, lag: int, tmp_path: Path) -> None:
    signal = noise(48000)
    with jack_server(period) as server:
        import sounddevice as sd

        stream = sd.Stream(48000, block, "system", 2, "float32", callback=passes)
        with stream, JackLoop(server, signal, tmp_path) as loop:
            recorded, xruns = loop.result()
            assert loop.position == len(recorded) == 48000 + 8192
    assert align(recorded, signal) == lag, f"{xruns} xruns"
    assert not recorded[lag + len(signal) :].any()


def test_a_late_callback_costs_time_but_no_samples(tmp_path: Path) -> None:
    signal = noise(2048)
    with jack_server(128) as server:
        import sounddevice as sd

        with sd.Stream(48000, 0, "system", 2, "float32", callback=passes), hog():
            recorded, xruns = JackLoop(server, signal, tmp_path, frames=2560, settle=0.0).start().result()
    assert align(recorded, signal) == 0
    assert xruns > 0


def test_a_loop_started_before_its_stream_misses_nothing(tmp_path: Path) -> None:
    signal = noise(12000)
    with jack_server(64) as server, JackLoop(server, signal, tmp_path, frames=14000) as loop:
        import sounddevice as sd

        time.sleep(0.5)
        assert loop.position == 0
        with sd.Stream(48000, 0, "system", 2, "float32", callback=passes):
            recorded, _ = loop.result()
    assert align(recorded, signal) == 0
    assert len(recorded) == 14000


def test_a_recording_without_a_stream_times_out(tmp_path: Path) -> None:
    with (
        jack_server(128) as server,
        JackLoop(server, noise(1000), tmp_path) as loop,
        pytest.raises(TimeoutError, match=r"at frame 0: (?s:.*)waiting for ports"),
    ):
        loop.result(timeout=1.0)


def test_a_server_leaves_nothing_behind() -> None:
    before = dict(os.environ)
    with pytest.raises(KeyError), jack_server(128) as server:
        assert os.environ["JACK_DEFAULT_SERVER"] == server.name
        raise KeyError
    import sounddevice as sd

    assert not running(server.process.pid)
    assert {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"} == {
        name: value for name, value in before.items() if name != "PYTEST_CURRENT_TEST"
    }
    assert not list(Path("/dev/shm").glob(f"*{server.name}*"))
    assert not any("JACK" in api["name"] for api in sd.query_hostapis())


@own_process
def test_the_body_survives_a_server_that_is_killed(tmp_path: Path) -> None:
    with jack_server(128) as server:
        import sounddevice as sd

        stream = sd.Stream(48000, 0, "system", 2, "float32", callback=passes)
        stream.start()
        loop = JackLoop(server, noise(480000), tmp_path).start()
        while loop.position < 4800:
            time.sleep(0.01)
        start = time.monotonic()
        server.kill()
        while stream.active:
            assert time.monotonic() < start + 2
            time.sleep(0.001)
        with pytest.raises(RuntimeError, match="the server went away"):
            loop.result(timeout=2.0)
    assert time.monotonic() < start + 3
    assert not running(server.process.pid)
    with pytest.raises(RuntimeError, match="lost its JACK server"), jack_server(128):
        pass


def test_a_server_that_portaudio_here_does_not_use_may_be_killed() -> None:
    with jack_server(128, portaudio=False) as server:
        server.kill()
    assert not running(server.process.pid)
    with jack_server(128) as server, pytest.raises(RuntimeError, match="@own_process"):
        server.kill()


@pytest.mark.parametrize("block", [0, 32, 128, 512])
def test_a_stream_between_alsa_files_is_recorded_to_the_sample(block: int, tmp_path: Path) -> None:
    signal = noise(96000)
    with alsa_files(tmp_path, signal) as card:
        import sounddevice as sd

        lags = []
        for _ in range(2):
            with sd.Stream(card.rate, block, card.device, 2, "float32", latency="low", callback=passes):
                card.wait(len(signal) + 8192)
            recorded = card.recorded()
            lags.append(align(recorded, signal))
            assert not recorded[lags[-1] + len(signal) :].any()
        assert sd.query_devices(card.device)["name"] == card.device
    assert lags[0] == lags[1]
    assert "ALSA_CONFIG_PATH" not in os.environ


def test_alignment_is_exact_or_says_where_it_is_not() -> None:
    signal = noise(5000)
    recorded = np.concatenate([np.zeros((37, 2), np.float32), signal, np.zeros((500, 2), np.float32)])
    assert align(recorded, signal) == 37
    recorded[37 + 1234, 1] += 1e-3
    assert align(recorded, signal, tolerance=2e-3) == 37
    with pytest.raises(AssertionError, match="lag 37: 1 of 5000 samples differ, the first is 1234"):
        align(recorded, signal)


def test_a_hog_keeps_the_interpreter_lock_from_others() -> None:
    late = []
    with hog():
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            start = time.monotonic()
            time.sleep(0.001)
            late.append(time.monotonic() - start)
    assert max(late) > 0.02
    assert sum(seconds for seconds in late if seconds > 0.005) > 0.5
