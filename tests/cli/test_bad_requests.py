"""Every wrong request: one sentence on stderr, the right exit code, nothing written."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

RUN = [sys.executable, "-c", "from mlxopto_cli.app import main; main()"]


def run(*arguments: object, timeout: float = 120, **options) -> subprocess.CompletedProcess:
    return subprocess.run([*RUN, *map(str, arguments)], capture_output=True, text=True, timeout=timeout, **options)


def refused(result: subprocess.CompletedProcess, *parts: str, code: int = 2) -> None:
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    message = result.stderr.strip()
    if message.startswith("mlxopto:"):  # ours, not Typer's usage box
        assert "\n" not in message
    for part in parts:
        assert part in message


@pytest.fixture
def song(tmp_path, noise) -> Path:
    path = tmp_path / "song.wav"
    soundfile.write(path, noise, 48000, "FLOAT")
    return path


def contents(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--attack", "quick"], ["attack must be 0.5 ms to 300 ms or fast, medium, slow, got 'quick'"]),
        (["--attack", "500ms"], ["attack must be 0.5 ms to 300 ms", "got 500 ms"]),
        (["--ratio", "20:1"], ["ratio must be 2:1 to 10:1, got 20:1"]),
        (["--peak-reduction", "40"], ["no control 'peak_reduction' here; the controls are threshold, ratio, attack, release"]),
        (["--set", "knee=3"], ["no control 'knee'"]),
        (["--set", "knee"], ["--set must be NAME=VALUE, got 'knee'"]),
        (["--attack", "fast", "--set", "attack=5ms"], ["attack is given twice: fast and 5ms"]),
        (["--mix", "1.5"], ["mix must be 0 to 1, got 1.5"]),
        (["--mix", "nan"], ["mix must be 0 to 1, got nan"]),
        (["--makeup", "loud"], ["makeup must be -60 to 60 dB, got 'loud'"]),
        (["--link", "sum"], ["link must be one of off, max, mean, got 'sum'"]),
        (["--subtype", "PCM_13"], [".wav files have the sub-types PCM_16, PCM_24, PCM_32, FLOAT, DOUBLE, not PCM_13"]),
        (["-o", "out.mp3"], ["out.mp3 must end in .wav, .aiff, .aif, .flac to be written"]),
        (["-o", "missing/out.wav"], ["the output folder missing does not exist"]),
        (["-o", "song.wav"], ["song.wav is an input and would be an output too"]),
        (["--plot", "x.pdf"], ["--plot must name a .png file"]),
        (["--demo"], ["--demo makes its own input"]),
        (["--nonsense"], ["No such option"]),
    ],
)
def test_wrong_render_options(song, weights_file, options, parts):
    before = contents(song.parent)
    refused(run("render", "song.wav", "--model", weights_file, *options, cwd=song.parent), *parts)
    assert contents(song.parent) == before


@pytest.mark.parametrize("name", ["nothing.wav", "folder", "empty.wav", "text.wav", "cut.wav", "none.wav", "nan.wav"])
def test_wrong_render_inputs(tmp_path, song, weights_file, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("words\n" * 100)
    (tmp_path / "cut.wav").write_bytes(song.read_bytes()[:-10_000])
    soundfile.write(tmp_path / "none.wav", np.zeros((0, 1)), 48000)
    soundfile.write(tmp_path / "nan.wav", np.array([0.0, np.nan]), 48000, "FLOAT")
    before = contents(tmp_path)
    refused(run("render", name, "--model", weights_file, cwd=tmp_path), name)
    assert contents(tmp_path) == before


def test_one_bad_file_among_several_is_named_and_the_others_are_rendered(tmp_path, song, weights_file):
    (tmp_path / "text.wav").write_text("words")
    (tmp_path / "out").mkdir()
    result = run("render", "song.wav", "text.wav", "-o", "out", "--model", weights_file, "--json", cwd=tmp_path)
    assert result.returncode == 1
    document = json.loads(result.stdout)
    assert [file["input"] for file in document["files"]] == ["song.wav"]
    assert document["failed"] == [
        {"input": "text.wav", "error": "text.wav is not a sound file that can be read: Format not recognised"}
    ]
    assert result.stderr.splitlines()[-1] == "mlxopto: 1 of 2 files could not be rendered"
    assert contents(tmp_path / "out") == {"song.wav"}


def test_an_output_that_exists_is_kept_unless_forced(song, weights_file):
    out = song.with_name("out.wav")
    out.write_text("precious")
    refused(run("render", song, "-o", out, "--model", weights_file), "out.wav exists already", "--force")
    assert out.read_text() == "precious"
    assert run("render", song, "-o", out, "--model", weights_file, "--force").returncode == 0
    assert soundfile.info(str(out)).frames == 96000


@pytest.mark.skipif(os.geteuid() == 0, reason="needs a user other than root, whom no permission stops")
def test_a_read_only_output_folder(song, weights_file, tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    refused(run("render", song, "-o", closed / "out.wav", "--model", weights_file), "cannot be written to")


def test_a_full_disk_leaves_nothing_behind(song, weights_file):
    before = contents(song.parent)

    def little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    result = run("render", song, "--model", weights_file, preexec_fn=little_room, env={**os.environ, "NUMBA_CACHE_DIR": ""})
    refused(result, "its disk may be full", code=1)
    assert contents(song.parent) == before


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_nothing_behind(tmp_path, weights_file, how):
    long = tmp_path / "long.wav"
    soundfile.write(long, np.zeros(48000 * 600, np.float32) + 0.1, 48000, "PCM_16")
    with subprocess.Popen([*RUN, "render", long, "--model", weights_file], stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 600
        while len(contents(tmp_path)) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(how)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors.strip().splitlines()[-1] == "mlxopto: interrupted"
    assert contents(tmp_path) == {"long.wav"}


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--device", "dbx"], ["no virtual device 'dbx'; the devices are cl1b, la2a, fet, vca, digital"]),
        (["--device", "cl1b", "--data", "."], ["--device and --data contradict each other"]),
        (["--steps", "0"], ["--steps must be at least 1, got 0"]),
        (["--steps", "5", "--minutes", "1"], ["--minutes and --steps contradict each other"]),
        (["--minutes", "-1"], ["--minutes must be above 0, got -1"]),
        (["--arch", "transformer", "--steps", "1", "--quick"], ["no architecture 'transformer'"]),
        (["--data", "missing"], ["missing is not a folder"]),
        (["--program", "missing", "--steps", "1"], ["missing is not a folder with programme material"]),
        (["--init", "missing", "--steps", "1", "--quick"], ["no model 'missing'"]),
        (["--calibrate"], ["--calibrate needs --init", "and --data"]),
        (["--calibrate", "--init", "la2a", "--data", ".", "--minutes", "3"], ["leave out --minutes"]),
        (["--calibrate", "--init", "la2a", "--data", ".", "--quick"], ["leave out --quick"]),
        (["--resume", "--out", "missing"], ["missing is not a run folder"]),
    ],
)
def test_wrong_train_options(tmp_path, options, parts):
    refused(run("train", *options, cwd=tmp_path), *parts)
    assert not contents(tmp_path)


def test_wrong_models(tmp_path, song, weights_file):
    refused(run("render", song, "--model", "1176"), "there is no model '1176': the shipped models are")
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(weights_file.read_bytes()[:1000])
    refused(run("render", song, "--model", cut), "cut.safetensors is not a weights file, or is cut short")


def test_extrapolation_is_allowed_with_a_warning(song, weights_file):
    result = run("render", song, "--model", weights_file, "--attack", "400ms", "--extrapolate", "--json")
    assert result.returncode == 0
    assert "warning: attack 400 ms is outside 0.5 ms to 300 ms" in result.stderr
    assert json.loads(result.stdout)["controls"]["attack"] == {"value": 400.0, "unit": "ms"}


@pytest.mark.parametrize(
    "arguments", [["render", "--nope"], ["frob"], ["render", "x.wav", "--mix", "abc"], ["study", "nosuch"], ["render", ""]]
)
def test_an_option_or_command_that_is_none_is_a_sentence_of_ours(arguments):
    result = run(*arguments)
    refused(result)
    assert result.stderr.startswith("mlxopto: ")
    assert len(result.stderr.splitlines()) == 1


def test_a_picture_does_not_take_the_place_of_a_recording(song, weights_file):
    picture = song.rename(song.with_name("song.png"))
    before = picture.read_bytes()
    command = ("render", picture, "-o", song.with_name("o.wav"), "--model", weights_file, "--plot", picture, "--force")
    refused(run(*command), "would be the picture too")
    assert picture.read_bytes() == before


def test_closed_streams_end_nothing_and_errors_stay_out_of_the_output(song, weights_file):
    command = f"{sys.executable} -c 'from mlxopto_cli.app import main; main()' render"
    result = subprocess.run(f"{command} nothing.wav --json 2>&-", shell=True, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (2, "")
    good = f"{command} {song} --model {weights_file} -o {song.with_name('o.wav')} <&- >&- 2>&-"
    assert subprocess.run(good, shell=True, check=False).returncode == 0
    assert soundfile.info(str(song.with_name("o.wav"))).frames == 96000


def test_names_with_line_breaks_and_escape_sequences_are_shown_without_them(song, weights_file):
    path = song.rename(song.with_name("a\nmlxopto: all is well\n\x1b[31m.wav"))
    result = run("render", path, "--model", weights_file)
    assert result.returncode == 0, result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert "\x1b" not in result.stderr
