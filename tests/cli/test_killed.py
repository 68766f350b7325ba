"""Killed at any moment, on a full disk, two at once: nothing is lost, nothing is left, and the next start goes on."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mlxopto.capture.folder import CaptureFolder
from mlxopto.data.captures import CaptureSource, panel_document
from mlxopto.devices import device
from tests.cli.test_bad_requests import RUN, contents, run

RATE = 48000
# checkpoints come every twenty seconds, and a study trains for minutes: too seldom to be hit
OFTEN = "from mlxopto.training import run; run.CHECKPOINT_EVERY_S = 0.1; from mlxopto_cli.app import main; main()"
SHORT = (
    "from dataclasses import replace; from mlxopto.training import run; run.CHECKPOINT_EVERY_S = 0.1\n"
    "run.measured = lambda config, source, ranks=None: replace(config, steps=12, validations=1)\n"
    "from mlxopto.evaluation.studies import density; density.SETTINGS = (4, 8, 16)\nfrom mlxopto_cli.app import main; main()"
)
SESSION = """
import sys
from pathlib import Path
from mlxopto import files
from mlxopto.capture.folder import CaptureFolder
from mlxopto.capture.session import CaptureSession
from tests.capture.rack import Rack
from tests.capture.test_session import begun, record
path = Path(sys.argv[1])
rack, folder = Rack(), CaptureFolder(path) if (path / "capture.json").exists() else begun(path)
with files.alone_in(path):
    session = CaptureSession(rack, folder)
    session.set_up()
    session.accept()
    for number in folder.pending:
        record(session, rack, number)
"""


@pytest.fixture(autouse=True)
def _tests_can_be_imported(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))


@pytest.fixture
def captures(tmp_path) -> Path:
    """Four takes of a virtual unit."""
    folder, unit, rng = tmp_path / "captures", device("vca"), np.random.default_rng(0)
    folder.mkdir()
    entries = []
    for number in range(4):
        setting = unit.panel.setting({"threshold": -10.0 + 5 * number})
        x = (0.2 * rng.standard_normal(RATE)).astype(np.float32)
        soundfile.write(folder / f"x{number}.wav", x, RATE, "FLOAT")
        soundfile.write(folder / f"y{number}.wav", unit.process(x, RATE, setting), RATE, "FLOAT")
        entries.append(
            {"input": f"x{number}.wav", "target": f"y{number}.wav", "split": "train", "controls": unit.panel.in_units(setting)}
        )
    (folder / "manifest.json").write_text(json.dumps(entries))
    (folder / "device.json").write_text(json.dumps(panel_document("vca", unit.panel)))
    return folder


def kills(request, count: int) -> range:
    return range(1 if request.config.getoption("--small") else count)


def killed(command: list[object], after_s: float) -> bool:
    """Whether a command was still at work when it was killed."""
    process = subprocess.Popen([*map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        process.wait(timeout=after_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return True
    return False


def ended_well(command: list[object]) -> subprocess.CompletedProcess:
    result = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, timeout=1800)
    assert result.returncode == 0, result.stderr
    return result


def leftovers(folder: Path) -> set[str]:
    return {name for name in contents(folder) if "-mlxopto-" in name or ".mlxopto-lock" in name}


@pytest.mark.slow
def test_training_killed_again_and_again_ends_with_the_same_bits(request, tmp_path, captures):
    train = [sys.executable, "-c", OFTEN, "train", "--data", captures, "--steps", "40"]
    ended_well([*train, "--out", tmp_path / "whole"])
    start = time.monotonic()
    ended_well([*train, "--out", tmp_path / "timed"])
    longest, rng, out = time.monotonic() - start, random.Random(1), tmp_path / "killed"
    for _ in kills(request, 30):
        begun = (out / "config.json").exists()
        resume = [sys.executable, "-c", OFTEN, "train", "--resume", "--out", out]
        if not killed(resume if begun else [*train, "--out", out], rng.uniform(0, longest)) and (out / "result.json").exists():
            assert (out / "weights.safetensors").exists()
            (out / "result.json").unlink()  # and once more, from the last checkpoint
    begun = (out / "config.json").exists()
    ended_well([sys.executable, "-c", OFTEN, "train", "--resume", "--out", out] if begun else [*train, "--out", out])
    arrays = []
    for name in ("whole", "killed"):
        data = (tmp_path / name / "weights.safetensors").read_bytes()
        arrays.append(data[8 + int.from_bytes(data[:8], "little") :])
    assert arrays[0] == arrays[1]
    assert not leftovers(tmp_path)


@pytest.mark.slow
def test_rendering_killed_while_it_writes_leaves_nothing_that_the_next_does_not_sweep(request, tmp_path):
    soundfile.write(tmp_path / "long.wav", np.tile(0.1 * np.sin(np.arange(RATE)), 900).astype(np.float32), RATE, "PCM_16")
    render = [*RUN, "render", str(tmp_path / "long.wav"), "-o", str(tmp_path / "o.wav")]
    rng = random.Random(2)
    for _ in kills(request, 10):
        process = subprocess.Popen(render, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 600
        while not any(str(process.pid) in name for name in leftovers(tmp_path)) and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.5))
        assert process.poll() is None
        process.kill()
        process.wait()
        assert contents(tmp_path) - leftovers(tmp_path) == {"long.wav"}
        assert len(leftovers(tmp_path)) == 1  # its own; that of the one before is swept
    ended_well(render)
    assert contents(tmp_path) == {"long.wav", "o.wav"}
    assert soundfile.info(str(tmp_path / "o.wav")).frames == 900 * RATE


@pytest.mark.slow
def test_a_study_killed_again_and_again_is_finished_by_the_same_command(request, tmp_path):
    study = [
        sys.executable,
        "-c",
        SHORT,
        "study",
        "density",
        "--data",
        "la2a",
        "--seeds",
        "1",
        "--out",
        tmp_path / "s",
        "--json",
    ]
    rng = random.Random(3)
    for _ in kills(request, 10):
        killed(study, rng.uniform(1, 12))
    document = json.loads(ended_well(study).stdout)
    assert [point["settings"] for point in document["data"][0]["points"]] == [4, 8, 16]
    assert not leftovers(tmp_path)


@pytest.mark.slow
def test_a_capture_session_killed_again_and_again_keeps_every_take(request, tmp_path):
    session, path, rng, kept = [sys.executable, "-c", SESSION, tmp_path / "c"], tmp_path / "c", random.Random(4), set[int]()
    for _ in kills(request, 10):
        killed(session, rng.uniform(1, 6))
        if (path / "capture.json").exists():
            now = CaptureFolder(path).kept
            assert kept <= now
            kept = now
    ended_well(session)
    assert not CaptureFolder(path).pending
    assert CaptureSource(path, 0).training_settings > 1
    assert not leftovers(tmp_path)


@pytest.fixture
def small_disk(tmp_path):
    """Runs a command in a mount namespace of its own whose folder `full` is a disk of so many kB."""
    folder = tmp_path / "full"
    folder.mkdir()
    if os.geteuid() or not shutil.which("unshare"):
        pytest.skip("needs root and unshare (util-linux) for a small disk")
    if subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", folder], capture_output=True, check=False).returncode:
        pytest.skip("needs a kernel that lets root mount a small disk")

    def on(kilobytes: int, command: list[object], then: str = "ls -A full") -> tuple[subprocess.CompletedProcess, list[str]]:
        script = f'mount -t tmpfs -o size={kilobytes}k tmpfs full && "$@"; code=$?; {then} > listing; exit $code'
        unshared = ["unshare", "-m", "sh", "-c", script, "sh", *map(str, command)]
        result = subprocess.run(unshared, capture_output=True, text=True, cwd=tmp_path, check=False, timeout=1800)
        return result, (tmp_path / "listing").read_text().split()

    return on


def test_rendering_onto_a_full_disk_is_a_sentence_and_leaves_nothing(small_disk, tmp_path):
    soundfile.write(tmp_path / "x.wav", np.zeros(RATE * 20), RATE, "PCM_16")
    result, left = small_disk(400, [*RUN, "render", "x.wav", "-o", "full/o.wav"])
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].endswith("its disk may be full")
    assert "Traceback" not in result.stderr
    assert left == []


@pytest.mark.parametrize("kilobytes", [1, 40, 120])
def test_training_onto_a_full_disk_is_a_sentence(small_disk, captures, kilobytes):
    train = [sys.executable, "-c", OFTEN, "train", "--data", captures, "--steps", "10", "--out", "full/run"]
    result, left = small_disk(kilobytes, train, "ls -A full/run")
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    assert result.stderr.splitlines()[-1].startswith("mlxopto: ")
    assert not [name for name in left if "mlxopto-" in name]


def test_a_session_on_a_full_disk_is_a_sentence_and_keeps_what_was_kept(small_disk, tmp_path):
    result, left = small_disk(1500, [sys.executable, "-c", SESSION, "full/c"], "ls -A full/c/out")
    assert result.returncode == 1
    assert "WorkError" in result.stderr  # of the library, here without the command around it
    assert left
    assert all(name.endswith(".wav") for name in left)


def test_a_cache_on_a_full_disk_ends_no_command(small_disk, tmp_path, monkeypatch):
    soundfile.write(tmp_path / "x.wav", np.zeros(RATE), RATE, "PCM_16")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "full"))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    result, _ = small_disk(60, [*RUN, "render", "x.wav", "-o", "o.wav"])
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr


def both(command: list[object], cwd: Path) -> list[subprocess.CompletedProcess]:
    processes = [
        subprocess.Popen([*map(str, command)], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=1800) for process in processes]
    results = [
        subprocess.CompletedProcess(process.args, process.returncode, *out)
        for process, out in zip(processes, said, strict=True)
    ]
    return sorted(results, key=lambda result: result.returncode)


def test_two_renders_into_one_file_at_once(tmp_path):
    soundfile.write(tmp_path / "x.wav", np.tile(0.1 * np.sin(np.arange(RATE)), 60).astype(np.float32), RATE, "PCM_16")
    first, second = both([*RUN, "render", "x.wav", "-o", "o.wav"], tmp_path)
    assert (first.returncode, second.returncode) == (0, 2)
    assert "o.wav exists already" in second.stderr
    assert contents(tmp_path) == {"x.wav", "o.wav"}


def test_two_trainings_in_one_folder_at_once(tmp_path, captures):
    train = [*RUN, "train", "--data", captures, "--steps", "40", "--out", "run"]
    first, second = both(train, tmp_path)
    assert (first.returncode, second.returncode) == (0, 2), first.stderr + second.stderr
    assert "is in use by process" in second.stderr or "run exists already" in second.stderr
    assert run("train", "--resume", "--out", tmp_path / "run").returncode == 0
    assert not leftovers(tmp_path)
