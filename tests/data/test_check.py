"""What data check finds: what was put there."""

import json
import pickle

import numpy as np
import pytest
import soundfile

from mlxopto.data.check import reports
from mlxopto.errors import RequestError
from tests.cli.test_bad_requests import run

RATE = 48000


@pytest.fixture
def captures(tmp_path):
    """Recordings that are good, late, clipped, silent, inverted, of another rate, stereo, and missing."""
    rng = np.random.default_rng(0)
    x = (0.1 * rng.standard_normal(RATE)).astype(np.float32)
    x[24000:36000] *= 1e-3
    late, clipped = np.roll(0.5 * x, 30), np.clip(20 * x, -1, 1)
    signals = {
        "good": 0.5 * x,
        "late": late,
        "clipped": clipped,
        "silent": 0 * x,
        "inverted": -0.5 * x,
        "stereo": np.stack([x, x], 1),
    }
    soundfile.write(tmp_path / "x.wav", x, RATE, "FLOAT")
    for name, y in signals.items():
        soundfile.write(tmp_path / f"{name}.wav", y, RATE, "FLOAT")
    soundfile.write(tmp_path / "rate.wav", 0.5 * x, 44100, "FLOAT")
    manifest = [
        {"input": "x.wav", "target": f"{name}.wav", "controls": {"k": {"value": 0.1 * i, "unit": ""}}, "split": "train"}
        for i, name in enumerate([*signals, "rate", "missing"])
    ]
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    (tmp_path / "device.json").write_text(
        json.dumps({"device": "d", "controls": [{"name": "k", "unit": "", "low": 0, "high": 1}]})
    )
    return tmp_path


def test_every_fault_is_found_and_nothing_else(captures):
    found = {report.recording.rsplit("/", 1)[1].removesuffix(".wav"): report for report in reports(captures)}
    wrong = {name: " ".join(report.problems) for name, report in found.items() if report.problems}
    assert set(wrong) == {"late", "clipped", "silent", "inverted", "stereo", "rate", "missing"}
    for name, words in {
        "late": "is 30 samples late", "clipped": "samples in a row at full scale", "silent": "is silent", "inverted": "polarity inverted",
        "stereo": "has 2 channels, a capture must be mono", "rate": "has 44100 Hz", "missing": "cannot be opened",
    }.items():  # fmt: skip
        assert words in wrong[name]
    good = found["good"]
    assert (good.lag, good.polarity, good.clipped, good.seconds) == (0, 1, 0, 1.0)
    assert good.target_dbfs == pytest.approx(good.input_dbfs - 6.02, abs=0.11)
    assert good.noise_floor_dbfs == pytest.approx(-20 - 6 - 60, abs=1)
    assert (found["late"].lag, found["inverted"].polarity) == (30, -1)
    assert found["clipped"].clipped >= 4


def test_the_papers_pickles_are_checked_row_by_row(tmp_path):
    x = 0.1 * np.random.default_rng(1).standard_normal((1, 20000))
    for part in ("train", "test"):
        y = np.concatenate([0.5 * x, np.roll(x, 5, axis=1)])
        (tmp_path / f"CL_{part}.pickle").write_bytes(pickle.dumps({"x": x, "y": y, "z": np.arange(2)[:, None]}))
    found = list(reports(tmp_path))
    assert [bool(report.problems) for report in found] == [False, True, False, True]
    assert "CL_train.pickle, row 2 is 5 samples late" in found[1].problems[0]


def test_a_folder_that_is_none_is_named(tmp_path):
    with pytest.raises(RequestError, match=r"device\.json cannot be read"):
        list(reports(tmp_path))
    with pytest.raises(RequestError, match="nowhere is not a folder"):
        list(reports(tmp_path / "nowhere"))


def test_the_command_prints_json_and_fails_where_something_cannot_be_used(captures):
    result = run("data", "check", captures, "--json")
    document = json.loads(result.stdout)
    assert (result.returncode, document["kind"], len(document["recordings"])) == (1, "captures", 8)
    assert result.stderr.strip() == f"mlxopto: 7 of 8 recordings in {captures} cannot be used"
    manifest = json.loads((captures / "manifest.json").read_text())
    (captures / "manifest.json").write_text(json.dumps(manifest[:1]))
    plain = run("data", "check", captures)
    assert plain.returncode == 0
    assert "good.wav" in plain.stdout
