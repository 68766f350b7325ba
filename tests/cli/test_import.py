"""mlxopto import as a user runs it."""

import json

import numpy as np
import soundfile

from tests.cli.test_bad_requests import refused, run
from tests.conftest import shared


def test_an_imported_model_renders_like_any_other(tmp_path):
    source, target = shared("published/la2a_s6.npz"), tmp_path / "paper.safetensors"
    result = run("import", source, "--device", "la2a", "-o", target, "--json")
    assert json.loads(result.stdout) == {"weights": str(target), "arch": "s6_paper", "device": "la2a"}
    refused(run("import", source, "--device", "la2a", "-o", target), "exists")
    x = 0.1 * np.random.default_rng(0).standard_normal((9600, 2)).astype(np.float32)
    soundfile.write(tmp_path / "x.wav", x, 48000, "FLOAT")
    arguments = ("render", tmp_path / "x.wav", "-o", tmp_path / "y.wav", "--model", target, "--json")
    document = json.loads(run(*arguments, "--peak-reduction", "60", "--mode", "limit").stdout)
    assert document["controls"]["mode"]["value"] == 1.0
    y, _ = soundfile.read(tmp_path / "y.wav")
    assert y.shape == x.shape
    refused(run(*arguments, "--force", "--link", "max"), "channels of this model cannot be linked")
    refused(run("live", "--model", target, "--attack", "fast"), "attack")


def test_what_cannot_be_imported_is_refused(tmp_path):
    junk = tmp_path / "junk.npz"
    junk.write_bytes(b"PK\x03\x04 cut short")
    refused(run("import", junk, "--device", "la2a", "-o", tmp_path / "o.safetensors"), "junk.npz cannot be read as an npz file")
    refused(run("import", junk, "--device", "1176"), "the published devices are la2a, cl1b, got '1176'")
    refused(run("import", tmp_path / "none", "--device", "la2a"), "is neither an npz file nor a TensorFlow checkpoint")
    assert not (tmp_path / "o.safetensors").exists()
