"""Training runs: learn, stop and go on to the same bits, start from weights, refuse what cannot work."""

import json
import math
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
import soundfile
from scipy.signal import lfilter

from mlxopto import weights
from mlxopto.data.captures import CaptureSource
from mlxopto.errors import RequestError, WorkError
from mlxopto.metrics import esr
from mlxopto.training import run
from mlxopto.training.chunks import ChunkStream
from mlxopto.training.config import TrainConfig
from mlxopto.training.trainer import Trainer
from tests.benchmarks.accuracy import constant_gain_esr
from tests.conftest import shared

RATE = 48000


@pytest.fixture
def captures(tmp_path) -> Path:
    """A leveller: gain = 1 / (1 + k * a slowly smoothed level), k the only knob; six settings, 3 s each."""
    folder = tmp_path / "leveller"
    folder.mkdir()
    rng = np.random.default_rng(0)
    manifest = []
    for i in range(6):
        x = (rng.standard_normal(3 * RATE) * np.repeat(10 ** rng.uniform(-2, -0.7, 30), RATE // 10)).astype(np.float32)
        level = lfilter([0.002], [1, -0.998], np.abs(x))
        y = (x / (1 + (4 + 4 * i) * level)).astype(np.float32)
        soundfile.write(folder / f"x{i}.wav", x, RATE, "FLOAT")
        soundfile.write(folder / f"y{i}.wav", y, RATE, "FLOAT")
        split = "unseen" if i == 2 else "train"
        manifest.append(
            {"input": f"x{i}.wav", "target": f"y{i}.wav", "controls": {"k": {"value": 4 + 4 * i, "unit": ""}}, "split": split}
        )
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "device.json").write_text(
        json.dumps({"device": "leveller", "controls": [{"name": "k", "unit": "", "low": 4, "high": 24}]})
    )
    return folder


def config(captures: Path, **changes) -> TrainConfig:
    return TrainConfig(device=None, data=str(captures), **{"steps": 60, "batch": 4, "frames": 64, "warmup": 10, **changes})


def parameters(folder: Path) -> dict[str, np.ndarray]:
    arrays = mx.load(str(folder / run.WEIGHTS))
    return {name: np.array(array) for name, array in arrays.items()}


def assert_same_weights(a: Path, b: Path) -> None:
    first, second = parameters(a), parameters(b)
    assert first.keys() == second.keys()
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name], err_msg=name)


def test_training_reduces_the_error_on_a_setting_it_never_saw(captures, tmp_path):
    result = run.train(config(captures, steps=300, frames=128), tmp_path / "run", lambda progress: None)
    take = CaptureSource(captures, 0).test["unseen"][0]
    gain = np.dot(take.x, take.y) / np.dot(take.x, take.x)
    constant = np.sum((take.y - gain * take.x) ** 2) / np.sum(take.y**2)
    assert result["test"]["unseen"]["esr_median"] < 0.5 * constant
    assert set(result) == {
        "run",
        "weights",
        "arch",
        "parameters",
        "steps",
        "seconds",
        "audio_seconds_per_second",
        "test",
        "takes",
    }
    names = {
        "config.json",
        "log.jsonl",
        "checkpoint.safetensors",
        "weights.safetensors",
        "result.json",
        "loss.png",
        "transfer.png",
        "gain_reduction.png",
    }
    assert {path.name for path in (tmp_path / "run").iterdir()} == names
    lines = [json.loads(line) for line in (tmp_path / "run" / run.LOG).read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert losses[-1] < 0.5 * losses[0]
    _, card = weights.load(tmp_path / "run" / run.WEIGHTS)
    assert card.name == "leveller"
    assert card.test == result["test"]


def test_the_same_configuration_gives_the_same_bits_and_another_seed_does_not(captures, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run.train(config(captures, seed=seed), tmp_path / name, lambda progress: None)
    assert_same_weights(tmp_path / "a", tmp_path / "b")
    assert not np.array_equal(parameters(tmp_path / "a")["head.weight"], parameters(tmp_path / "c")["head.weight"])


def test_a_run_interrupted_again_and_again_ends_with_the_same_bits(captures, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "LOG_EVERY", 5)
    run.train(config(captures), tmp_path / "whole", lambda progress: None)
    monkeypatch.setattr(run, "CHECKPOINT_EVERY_S", 0.0)

    def stop_at(*steps: int):
        def report(progress: run.Progress) -> None:
            if progress.step in steps:
                raise KeyboardInterrupt

        return report

    with pytest.raises(KeyboardInterrupt):
        run.train(config(captures), tmp_path / "broken", stop_at(20))
    with pytest.raises(KeyboardInterrupt):
        run.resume(tmp_path / "broken", stop_at(25, 45))
    with pytest.raises(KeyboardInterrupt):
        run.resume(tmp_path / "broken", stop_at(45))
    run.resume(tmp_path / "broken", lambda progress: None)
    assert_same_weights(tmp_path / "whole", tmp_path / "broken")
    logs = [(tmp_path / name / run.LOG).read_text().splitlines() for name in ("whole", "broken")]
    steps = [[json.loads(line)["step"] for line in log] for log in logs]
    assert steps[0] == steps[1]


def test_a_killed_run_resumes_to_the_same_bits(captures, tmp_path):
    """SIGKILL from outside, at a moment nobody chose."""
    code = (
        "import sys; from pathlib import Path; from mlxopto.training import run; from "
        "mlxopto.training.config import TrainConfig\n"
        "run.CHECKPOINT_EVERY_S = 0.0; run.LOG_EVERY = 5\n"
        "config = TrainConfig(device=None, data=sys.argv[1], steps=150, batch=4, frames=64, warmup=10)\n"
        "run.train(config, Path(sys.argv[2]), lambda progress: None)\n"
    )
    broken = tmp_path / "broken"
    with subprocess.Popen([sys.executable, "-c", code, str(captures), str(broken)]) as process:
        deadline = time.monotonic() + 120
        while not (broken / run.CHECKPOINT).exists() and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.02)
        time.sleep(0.3)
        process.send_signal(signal.SIGKILL)
    assert not (broken / run.RESULT).exists()
    run.resume(broken, lambda progress: None)
    run.train(config(captures, steps=150), tmp_path / "whole", lambda progress: None)
    assert_same_weights(tmp_path / "whole", broken)


def test_resuming_a_finished_run_gives_its_result(captures, tmp_path):
    result = run.train(config(captures, steps=20), tmp_path / "run", lambda progress: None)
    assert run.resume(tmp_path / "run", lambda progress: None) == json.loads(json.dumps(result))


def test_resuming_on_changed_data_is_refused(captures, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "LOG_EVERY", 5)
    monkeypatch.setattr(run, "CHECKPOINT_EVERY_S", 0.0)

    def stop(progress: run.Progress) -> None:
        if progress.step == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.train(config(captures), tmp_path / "run", stop)
    with pytest.raises(KeyboardInterrupt):
        run.resume(tmp_path / "run", stop)
    y, _ = soundfile.read(captures / "y2.wav", dtype="float32")
    soundfile.write(captures / "y2.wav", 0.5 * y, RATE, "FLOAT")
    with pytest.raises(RequestError, match="the training data are no longer those"):
        run.resume(tmp_path / "run", lambda progress: None)


def test_a_folder_in_use_is_not_touched(captures, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    with pytest.raises(RequestError, match="exists already; --resume goes on"):
        run.train(config(captures), tmp_path / "run", lambda progress: None)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["notes.txt"]


def test_a_warm_start_begins_where_the_weights_are(captures, tmp_path):
    run.train(config(captures, steps=20), tmp_path / "first", lambda progress: None)
    warm = config(captures, steps=1, init=str(tmp_path / "first"), learning_rate=0.0, weight_decay=0.0)
    run.train(warm, tmp_path / "second", lambda progress: None)
    assert_same_weights(tmp_path / "first", tmp_path / "second")


def test_a_warm_start_from_another_panel_is_refused(captures, tmp_path, weights_file):
    with pytest.raises(
        RequestError, match="threshold, ratio, attack, release, 48000 Hz\\) cannot start a run with opto, k, 48000 Hz"
    ):
        run.train(config(captures, init=str(weights_file)), tmp_path / "run", lambda progress: None)


def test_two_settings_are_too_few_to_train_on_but_not_to_test_on(captures, tmp_path):
    manifest = json.loads((captures / "manifest.json").read_text())
    (captures / "manifest.json").write_text(json.dumps(manifest[:3]))  # two to train on, one unseen
    assert len(CaptureSource(captures, 0).test["unseen"]) == 1
    with pytest.raises(RequestError, match="2 settings, 6 s, have no split val; at least 3 training settings"):
        run.train(config(captures), tmp_path / "run", lambda progress: None)


def test_divergence_ends_a_run_with_a_sentence(captures, monkeypatch):
    trainer = Trainer(config(captures), CaptureSource(captures, 0))
    trainer.model.head.weight = mx.full((1, 16), math.nan)
    for _ in range(19):
        trainer.advance()
    trainer.check()
    trainer.advance()
    with pytest.raises(WorkError, match="training diverged before step 20"):
        trainer.check()
    trainer.close()


def test_a_stream_restored_goes_on_with_the_same_chunks(captures):
    source = CaptureSource(captures, 0)
    stream = ChunkStream(source, 3, 4096)
    for _ in range(50):
        stream.next()
    position = json.loads(json.dumps(stream.position()))
    expected = [stream.next() for _ in range(60)]
    stream.close()
    other = ChunkStream(source, 3, 4096)
    other.restore(position)
    for chunk in expected:
        again = other.next()
        for name in ("x", "y", "controls", "power", "starts"):
            np.testing.assert_array_equal(getattr(again, name), getattr(chunk, name), err_msg=name)
    other.close()


def test_a_stream_plays_each_sequence_in_order_from_its_start(captures):
    """Joined chunks of a slot are the source's sequences, less what does not fill a chunk."""
    source = CaptureSource(captures, 0)
    stream = ChunkStream(source, 1, 4096)
    chunks = [stream.next() for _ in range(70)]
    stream.close()
    starts = [i for i, chunk in enumerate(chunks) if chunk.starts[0]]
    assert starts[0] == 0
    for index, (first, end) in enumerate(pairwise(starts)):
        joined = np.concatenate([chunk.x[0] for chunk in chunks[first:end]])
        take = source.sequence(index)
        assert len(take.x) - len(joined) < 4096
        np.testing.assert_array_equal(joined, take.x[: len(joined)])


@pytest.mark.slow
def test_third_party_recordings_are_learnt_within_minutes(tmp_path, request):
    """On settings never trained on: well below the best constant gain of each take; in the small form, far below no
    processing.
    """
    small = request.config.getoption("--small")
    folder = shared("thirdparty/sc4m")
    takes = CaptureSource(folder, 0).test["unseen"]
    untouched = np.median([esr(t.y, t.x) for t in takes])
    budget = {"steps": 150} if small else {"minutes": 5}
    result = run.train(TrainConfig(device=None, data=str(folder), **budget), tmp_path / "run", lambda progress: None)
    assert result["test"]["unseen"]["esr_median"] < (0.01 * untouched if small else 0.7 * constant_gain_esr(takes))
