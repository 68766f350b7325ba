"""Inputs on which version 0.9.0 went wrong, each as a user meets it. ../shared/faults makes them and says what was wrong."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mlxopto.audio import layout
from tests.cli.test_bad_requests import contents, refused, run
from tests.conftest import shared


@pytest.fixture(scope="module")
def faults(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("faults") / "made"
    subprocess.run([sys.executable, shared("faults/make_faults.py"), folder], check=True, capture_output=True)
    return folder


def rendered(source: Path, target: Path, model: Path) -> subprocess.CompletedProcess:
    result = run("render", source, "-o", target, "--model", model, timeout=1200)
    assert result.returncode == 0, result.stderr
    return result


@pytest.mark.parametrize("name", ["unfinished_header.wav", "pipe_header.wav"])
def test_an_unfinished_header_is_read_past_and_said(faults, tmp_path, weights_file, name):
    result = rendered(faults / "audio" / name, tmp_path / "o.wav", weights_file)
    assert "its header was not finished; all 1.0 s that are there are read" in result.stderr
    good = rendered(faults / "audio/good.wav", tmp_path / "good.wav", weights_file)
    assert "its header" not in good.stderr
    assert (tmp_path / "o.wav").read_bytes() == (tmp_path / "good.wav").read_bytes()


@pytest.mark.slow
def test_a_recording_of_twelve_hours_is_rendered_to_its_end(faults, tmp_path, request):
    """4 GB of silence after four seconds, into a file whose sizes need 64 bits."""
    if request.config.getoption("--small"):
        pytest.skip("takes minutes and 9 GB, also in a small form")
    result = rendered(faults / "audio/wrapped_32_bit_size.wav", tmp_path / "o.wav", Path("la2a-light"))
    assert "counts only to 4 GiB; all 44743.2 s that are there are read" in result.stderr
    assert soundfile.info(str(tmp_path / "o.wav")).frames == (1 << 31) + 192_000
    assert (tmp_path / "o.wav").read_bytes()[:4] == b"RF64"


def test_a_codec_that_cannot_seek(faults, tmp_path, weights_file):
    rendered(faults / "audio/gsm610.wav", tmp_path / "o.wav", weights_file)
    assert soundfile.info(str(tmp_path / "o.wav")).frames == 48000


def test_metadata_is_kept_or_named(faults, tmp_path, weights_file):
    source = faults / "audio/broadcast_wave.wav"
    rendered(source, tmp_path / "o.wav", weights_file)
    chunks = []
    for path in (source, tmp_path / "o.wav"):
        with path.open("rb") as file:
            found = layout.read(file)
        assert found is not None
        chunks.append(found.chunks)
    assert [chunk.name for chunk in chunks[0]] == [b"bext", b"cue ", b"smpl", b"LIST"]
    assert chunks[0] == chunks[1]
    other = rendered(source, tmp_path / "o.flac", weights_file)
    assert "without bext, cue, smpl, which FLAC cannot keep" in other.stderr
    rendered(faults / "audio/surround_mask.wav", tmp_path / "six.wav", weights_file)
    with (tmp_path / "six.wav").open("rb") as file:
        found = layout.read(file)
    assert found is not None
    assert found.mask == 0x3F


def test_a_rate_that_no_sound_has_is_refused(faults, tmp_path, weights_file):
    refused(
        run("render", faults / "audio/one_hertz.aiff", "-o", tmp_path / "o.aiff", "--model", weights_file), "its rate is 1 Hz"
    )
    assert not contents(tmp_path)


def test_a_folder_with_a_name_of_any_bytes_and_a_bad_file_is_rendered_but_for_the_bad_one(faults, tmp_path, weights_file):
    (faults / "audio/wrapped_32_bit_size.wav").unlink(missing_ok=True)  # twelve hours
    result = run("render", faults / "audio", "-o", tmp_path, "--model", weights_file, "--json", timeout=600)
    assert result.returncode == 1
    document = json.loads(result.stdout)
    assert len(document["files"]) == 7
    (failed,) = document["failed"]
    assert failed["input"].endswith("one_hertz.aiff")
    assert len(list(tmp_path.iterdir())) == 7


CAPTURES = {
    "one_at_44100": "sample rates differ",
    "delay_jumps": "changes its lag (0 at 0.0 s, 0 at 1.0 s, 40 at 2.0 s): samples were lost or put in",
    "late_beyond_search": "has no alignment with its input",
}


@pytest.mark.parametrize("name", CAPTURES)
def test_check_and_train_judge_alike(faults, tmp_path, name):
    folder = faults / "captures" / name
    check = run("data", "check", folder)
    train = run("train", "--data", folder, "--steps", "1", "--out", tmp_path / "run")
    assert (check.returncode, train.returncode) == (1, 2)
    words = CAPTURES[name]
    assert words in check.stdout
    assert words in train.stderr
    assert not contents(tmp_path)
    if name != "one_at_44100":  # the same lines of both
        lines = [line for line in check.stdout.splitlines() if words in line]
        assert len(lines) == 4
        assert [line[:60] for line in train.stderr.splitlines() if line[:60] in {line[:60] for line in lines}]


@pytest.mark.parametrize("name", ["good", "byte_order_mark", "all_at_44100", "hardly_compresses"])
def test_good_captures_are_found_good(faults, name):
    result = run("data", "check", faults / "captures" / name, "--json")
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["problems"] == []
    assert {report["lag"] for report in document["recordings"]} == {0}


def test_presets_of_other_editors_are_read_and_absurd_ones_refused(faults, tmp_path, weights_file):
    soundfile.write(tmp_path / "x.wav", np.zeros(100), 48000)
    command = ("render", tmp_path / "x.wav", "--model", weights_file, "--preset")
    assert run(*command, faults / "preset_with_byte_order_mark.toml", "-o", tmp_path / "o.wav").returncode == 0
    refused(
        run(*command, faults / "preset_long_number.toml"),
        "threshold must be a whole number of 64 bits, got a huge number",
    )


@pytest.mark.parametrize("name", ["laughs", "memo"])
def test_pickles_that_would_take_forever_are_refused_at_once(faults, name):
    refused(run("data", "check", faults / "hostile" / name, timeout=60), "u_train.pickle")


def test_a_study_whose_runs_are_paths_removes_nothing(faults, tmp_path):
    folder = faults / "hostile/study_with_a_path"
    result = run("study", "networks", "--data", "la2a", "--out", folder)
    refused(result, "names a run", "which is no plain name")
    assert (faults / "hostile/victim/sub/thesis.txt").read_text() == "keep me\n"
