"""The commands as a user runs them."""

import json
import re
import tomllib
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mlxopto.devices import DEVICES
from mlxopto.models import ARCHITECTURES
from mlxopto.training.config import TrainConfig
from tests.cli.test_bad_requests import refused, run


def test_help_and_no_arguments_list_the_commands():
    for arguments in ([], ["--help"]):
        result = run(*arguments)
        for command in ("train", "render", "models"):
            assert command in result.stdout + result.stderr


def test_version_is_that_of_the_package():
    result = run("--version")
    assert result.returncode == 0
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert result.stdout == f"mlxopto {project['version']}\n"


def test_render_json_has_every_promised_field(tmp_path, weights_file, noise):
    soundfile.write(tmp_path / "a.flac", 0.5 * np.clip(np.stack([noise, noise], axis=1), -1, 1), 96000, "PCM_24")
    out = tmp_path / "out"
    out.mkdir()
    result = run(
        "render",
        tmp_path / "a.flac",
        "-o",
        out,
        "--model",
        weights_file,
        "--attack",
        "fast",
        "--ratio",
        "4:1",
        "--plot",
        tmp_path / "p.png",
        "--json",
    )
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["model"] == "cl1b"
    assert document["controls"]["attack"] == {"value": 1.0, "unit": "ms"}
    assert document["controls"]["ratio"] == {"value": 4.0, "unit": ":1"}
    (file,) = document["files"]
    assert set(file) == {
        "input", "output", "sample_rate", "channels", "samples", "peak_in", "peak_out", "clipped", "gain_reduction_db",
        "lufs_in", "lufs_out", "seconds", "real_time_factor",
    }  # fmt: skip
    assert set(file["gain_reduction_db"]) == {"mean", "max"}
    assert (file["sample_rate"], file["channels"], file["samples"]) == (96000, 2, 96000)
    assert "96000 Hz is resampled to the model's 48000 Hz and back" in result.stderr
    assert soundfile.info(str(out / "a.flac")).frames == 96000
    assert (tmp_path / "p.png").read_bytes()[:4] == b"\x89PNG"


def test_the_demo_makes_three_renders_and_a_picture(tmp_path, weights_file):
    result = run("render", "--demo", "--model", weights_file, "--json", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    folder = tmp_path / "mlxopto-demo"
    names = {"input.wav", "attack-fast.wav", "attack-medium.wav", "attack-slow.wav", "demo.png"}
    assert {path.name for path in folder.iterdir()} == names
    sounds = [soundfile.read(folder / f"attack-{position}.wav")[0] for position in ("fast", "medium", "slow")]
    assert not np.array_equal(sounds[0], sounds[1])
    assert len(json.loads(result.stdout)["files"]) == 3
    refused(run("render", "--demo", "--model", weights_file, cwd=tmp_path), "input.wav exists already", "--force")
    assert run("render", "--demo", "--model", weights_file, "--force", cwd=tmp_path).returncode == 0


def test_models_json_describes_every_panel():
    result = run("models", "--json")
    assert result.returncode == 0, result.stderr
    models = json.loads(result.stdout)
    assert {model["name"] for model in models} == {"cl1b", "cl1b-light", "la2a", "la2a-light"}
    for model in models:
        assert set(model) == {"name", "file", "arch", "parameters", "sample_rate", "latency_samples", "controls", "test"}
        assert model["latency_samples"] == 0
        for control in model["controls"]:
            assert set(control) == {"name", "unit", "low", "high", "taper", "default", "positions"}
            assert control["low"] <= control["default"] <= control["high"]


@pytest.mark.parametrize("model", ["cl1b", "cl1b-light", "la2a", "la2a-light"])
def test_models_lists_what_is_shipped(model):
    assert model in run("models").stdout


def test_help_names_every_network_device_and_option_of_a_training():
    told = run("train", "--help").stdout
    words = set(re.findall(r"[a-z0-9_-]+", told))
    assert {*ARCHITECTURES, *DEVICES} <= words
    assert {f"--{part.name}" for part in fields(TrainConfig) if "help" in part.metadata} <= words


def test_help_of_render_is_in_panels():
    told = run("render", "--help").stdout
    assert all(f"─ {panel} ─" in told for panel in ("Arguments", "Options", "Output", "Controls", "Sound"))
