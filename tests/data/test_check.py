"""What data check finds: what was put there."""

import json
import pickle

import numpy as np
import pytest
import soundfile

from mlxopto.data.captures import CaptureSource
from mlxopto.data.check import check, reports
from mlxopto.data.formats import open_folder
from mlxopto.errors import RequestError, UnusableError
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
        "late": "is 30 samples late", "clipped": "samples in a row at full scale", "silent": "is silent",
        "inverted": "polarity inverted",
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


def test_mixed_rates_and_nothing_to_train_on_are_found_for_the_folder_as_a_whole(captures):
    manifest = json.loads((captures / "manifest.json").read_text())
    soundfile.write(captures / "x441.wav", soundfile.read(captures / "x.wav")[0], 44100, "FLOAT")
    soundfile.write(captures / "y441.wav", soundfile.read(captures / "good.wav")[0], 44100, "FLOAT")
    entries = [manifest[0], {**manifest[0], "input": "x441.wav", "target": "y441.wav"}]
    (captures / "manifest.json").write_text(json.dumps([{**entry, "split": "unseen"} for entry in entries]))
    judgement = check(captures)
    assert not any(report.problems for report in judgement.reports)
    rates, split = judgement.problems
    assert "sample rates differ" in rates
    assert "has no capture with the split train" in split
    with pytest.raises(UnusableError) as caught:
        CaptureSource(captures, 0)
    assert caught.value.problems == judgement.problems


def test_a_bypassed_unit_and_a_constant_offset_are_remarked(captures):
    manifest = json.loads((captures / "manifest.json").read_text())
    x, _ = soundfile.read(captures / "x.wav", dtype="float32")
    soundfile.write(captures / "offset.wav", 0.5 * x + np.float32(0.02), RATE, "FLOAT")
    entries = [{**manifest[0], "target": name} for name in ("x.wav", "offset.wav")]
    (captures / "manifest.json").write_text(json.dumps(entries))
    same, offset = check(captures).reports
    assert not same.problems + offset.problems
    assert "is its input" in same.remarks[0]
    assert "has a constant offset of +0.0" in offset.remarks[0]
    assert CaptureSource(captures, 0).remarks == same.remarks + offset.remarks


def test_signaltrain_is_judged_by_training_as_by_check(tmp_path):
    rng = np.random.default_rng(0)
    for number, (part, late) in enumerate((("Train", 0), ("Val", 0), ("Test", 150))):
        (tmp_path / part).mkdir()
        x = (0.1 * rng.standard_normal(RATE)).astype(np.float32)
        soundfile.write(tmp_path / part / f"input_{number}_.wav", x, RATE, "FLOAT")
        soundfile.write(tmp_path / part / f"target_{number}_LA2A_3c__0__50.wav", np.roll(0.5 * x, late), RATE, "FLOAT")
    (problem,) = [problem for report in reports(tmp_path) for problem in report.problems]
    assert "is 150 samples late" in problem
    with pytest.raises(UnusableError) as caught:
        open_folder(tmp_path, 0)
    assert caught.value.problems == [problem]
