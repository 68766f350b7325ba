"""mlxopto match as a user runs it."""

import json
import shlex

import numpy as np
import pytest
import soundfile

from mlxopto.data import program
from mlxopto.devices import device
from mlxopto.metrics import esr
from tests.cli.test_bad_requests import refused, run

RATE = 48000


@pytest.fixture
def recordings(tmp_path):
    unit = device("la2a")
    x = program.generate(5.0, RATE, np.random.SeedSequence(6))
    y = unit.process(x, RATE, unit.panel.setting({"peak_reduction": 70.0}))
    soundfile.write(tmp_path / "dry.wav", x, RATE, "FLOAT")
    soundfile.write(tmp_path / "wet.wav", 0.5 * y[:-RATE], RATE, "FLOAT")
    return tmp_path / "dry.wav", tmp_path / "wet.wav"


def test_the_command_it_prints_makes_the_wet_recording(recordings, tmp_path):
    result = run("match", *recordings, "--model", "la2a", "--json")
    assert result.returncode == 0, result.stderr
    assert "the first 4.0 s of both are compared" in result.stderr
    document = json.loads(result.stdout)
    assert set(document) == {"controls", "makeup_db", "esr", "gain_error_db", "lag", "inverted", "command"}
    knob = document["controls"]["peak_reduction"]
    assert knob["value"] == pytest.approx(70, abs=4)
    assert knob["known"]
    assert knob["interval"][0] < knob["value"] < knob["interval"][1]
    program_name, *arguments = shlex.split(document["command"])
    assert program_name == "mlxopto"
    rendered = run(*arguments, "-o", tmp_path / "again.wav")
    assert rendered.returncode == 0, rendered.stderr
    again, wet = (soundfile.read(path, dtype="float32")[0] for path in (tmp_path / "again.wav", recordings[1]))
    assert esr(wet, again[: len(wet)]) < document["esr"] + 1e-5  # of rounding in what is printed


def test_for_a_person_it_is_a_table(recordings):
    result = run("match", *recordings, "--model", "la2a")
    assert result.returncode == 0, result.stderr
    for part in ("peak_reduction", "output gain", "dB RMS", "mlxopto render"):
        assert part in result.stdout


def test_recordings_that_do_not_fit_are_refused(recordings, tmp_path):
    dry, _ = recordings
    noise = np.random.default_rng(0).standard_normal((RATE, 2)).astype(np.float32) * 0.1
    soundfile.write(tmp_path / "stereo.wav", noise, RATE, "FLOAT")
    soundfile.write(tmp_path / "other.wav", noise[:, 0], 44100, "FLOAT")
    (tmp_path / "text.wav").write_text("no audio")
    refused(run("match", dry, tmp_path / "stereo.wav"), "must have the same channels, got 2 and 1")
    refused(run("match", dry, tmp_path / "other.wav"), "must have the same sample rate, got 44100 and 48000")
    refused(run("match", dry, tmp_path / "text.wav"), "text.wav")
    refused(run("match", dry, tmp_path / "missing.wav"), "missing.wav")
    refused(run("match", dry, dry, "--model", "nothing"), "no model 'nothing'")
