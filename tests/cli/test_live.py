"""mlxopto live and devices as a user runs them, on sound cards made of software."""

import json
import os
import pty
import resource
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

import mlxopto
from mlxopto import presets
from tests.cli.test_bad_requests import RUN, refused, run
from tests.live.rig import alsa_files, jack_server


@pytest.fixture
def song(tmp_path, noise) -> Path:
    """Two seconds of stereo noise at 48 kHz."""
    path = tmp_path / "song.wav"
    soundfile.write(path, np.stack([noise, 0.5 * noise], axis=1), 48000, "FLOAT")
    return path


def start(*arguments) -> subprocess.Popen:
    return subprocess.Popen(
        [*RUN, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for(condition, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def recording(folder: Path) -> bool:
    """A session writes to its temporary file."""
    return any(path.stat().st_size > 100_000 for path in folder.glob(".take*"))


@pytest.mark.clock
def test_json_has_every_promised_field_and_the_recording_is_the_song(tmp_path, song):
    with jack_server(64, portaudio=False):
        result = run("live", "--play", song, "--record", tmp_path / "take.wav", "--attack", "fast", "--json")
    assert result.returncode == 0, result.stderr
    summary = json.loads(result.stdout)
    assert set(summary) == {"sample_rate", "block", "seconds", "callbacks", "late", "xruns", "load", "latency_samples"}
    assert (summary["sample_rate"], summary["block"], summary["seconds"]) == (48000, 64, 2.0)
    take, _ = soundfile.read(tmp_path / "take.wav", dtype="float32")
    np.testing.assert_array_equal(take[:, :2], soundfile.read(song, dtype="float32")[0])
    assert "channels 1 to 2 dry" in result.stderr


@pytest.mark.clock
def test_a_server_that_dies_ends_the_session_within_two_seconds_and_keeps_the_recording(tmp_path):
    with jack_server(64, portaudio=False) as server:
        process = start("live", "--record", tmp_path / "take.wav", "--json")
        wait_for(lambda: recording(tmp_path))
        server.kill()
        killed = time.monotonic()
        output, errors = process.communicate(timeout=10)
        assert time.monotonic() - killed < 2.0
    assert process.returncode == 1, errors
    assert "mlxopto: the audio device system went away after" in errors
    assert "Traceback" not in errors
    assert json.loads(output)["seconds"] > 0
    take, rate = soundfile.read(tmp_path / "take.wav")
    assert (rate, take.shape[1]) == (48000, 4)
    assert len(take) > 5000


@pytest.mark.clock
def test_a_full_disk_ends_the_recording_and_not_the_audio(tmp_path):
    with jack_server(128, portaudio=False):
        limit = 400_000  # bytes in a file; half a second of four channels

        def small_disk() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        result = run("live", "--duration", "3", "--record", tmp_path / "take.wav", "--json", preexec_fn=small_disk)
    assert result.returncode == 1
    assert json.loads(result.stdout)["seconds"] == 3.0
    assert "mlxopto: the recording ended after 0." in result.stderr
    take, _ = soundfile.read(tmp_path / "take.wav")
    assert 0.3 * 48000 < len(take) <= limit / 16
    assert list(tmp_path.glob(".take*")) == []


@pytest.mark.clock
def test_a_block_of_more_than_a_second_is_no_lost_device(tmp_path, song):
    with jack_server(64, portaudio=False):
        result = run("live", "--play", song, "--block", "65536", "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["seconds"] == 2.0


@pytest.mark.clock
def test_an_input_that_is_exactly_zero_is_said_once():
    with jack_server(64, portaudio=False):
        result = run("live", "--duration", "4.5")
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("not even noise") == 1


@pytest.mark.clock
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_a_session_in_order(tmp_path, number):
    with jack_server(128, portaudio=False):
        process = start("live", "--record", tmp_path / "take.wav", "--json")
        wait_for(lambda: recording(tmp_path))
        process.send_signal(number)
        time.sleep(0.01)
        process.send_signal(number)  # by somebody impatient
        output, errors = process.communicate(timeout=10)
    assert process.returncode == 0, errors
    assert json.loads(output)["callbacks"] > 0
    assert len(soundfile.read(tmp_path / "take.wav")[0]) > 5000
    assert list(tmp_path.glob(".take*")) == []


@pytest.mark.clock
def test_the_dashboard_shows_the_session_and_obeys_keys(tmp_path, song):
    long = tmp_path / "long.wav"
    soundfile.write(long, np.tile(soundfile.read(song)[0], (30, 1)), 48000, "FLOAT")
    with jack_server(256, portaudio=False):
        child, terminal = pty.fork()
        if child == 0:
            os.environ.update(COLUMNS="120", LINES="40", TERM="xterm-256color")
            os.chdir(tmp_path)
            os.execv(sys.executable, [*RUN, "live", "--play", str(long), "--threshold", "-10dBu"])
        screen = b""

        def shows(text: str) -> bool:
            nonlocal screen
            while select.select([terminal], [], [], 0.02)[0]:
                try:
                    screen += os.read(terminal, 65536)
                except OSError:  # the program has ended
                    break
            return text.encode() in screen

        wait_for(lambda: shows("gain reduction") and shows("threshold"))
        os.write(terminal, b"b")
        wait_for(lambda: shows("BYPASS"))
        os.write(terminal, b"4\x1b[C")
        release = mlxopto.load("cl1b").panel["release"]
        turned = release.denormalise(release.normalise(release.start) + 0.1)
        wait_for(lambda: shows(f"{turned:.4g} ms"))
        os.write(terminal, b"s")
        wait_for(lambda: shows("saved cl1b.toml"))
        os.write(terminal, b"q")
        wait_for(lambda: shows("at 48000 Hz, block 256"))
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert presets.load(tmp_path / "cl1b.toml").controls["threshold"] == mlxopto.load("cl1b").panel["threshold"].format(-10.0)
    assert run("render", song, "--preset", tmp_path / "cl1b.toml", "-o", tmp_path / "o.wav").returncode == 0


def test_devices_lists_what_portaudio_has(tmp_path):
    with jack_server(128, portaudio=False):
        (device,) = [d for d in json.loads(run("devices", "--json").stdout) if d["host"].startswith("JACK")]
        assert (device["name"], device["inputs"], device["outputs"], device["default_rate"]) == ("system", 2, 2, 48000)
        assert "system" in run("devices").stdout


def test_what_cannot_be_had_is_refused(tmp_path, song, noise):
    with alsa_files(tmp_path, np.stack([noise, noise], axis=1)) as card:
        base = ("live", "--input", card.device, "--output", card.device)
        refused(run("live", "--output", "nothing like it"), "--output 'nothing like it' is no audio output device")
        refused(run(*base, "--latency", "fast"), "latency must be low, high or seconds above 0, got 'fast'")
        refused(run(*base, "--attack", "1h"), "attack must be")
        refused(run("live", "--output", card.device, "--play", song, "--rate", "44100"), "--rate must be 48000")
        refused(run("live", "--output", card.device, "--play", song, "--channels", "1"), "--channels must be 2")
        refused(run("live", "--output", card.device, "--play", tmp_path / "none.wav"), "none.wav cannot be opened")
        refused(run(*base, "--record", song), "exists already")
        refused(run(*base, "--link", "stereo"), "link must be one of off, max, mean, got 'stereo'")
        refused(run(*base, "--duration", "inf"), "--duration must be seconds above 0, got inf")
        refused(run(*base, "--block", "4294967296"), "--block")
        refused(
            run(*base, "--channels", "4", "--sidechain-channels", "2", "--link", "off"),
            "need 1 or 4 side-chain channels, got 2",
        )
        refused(run("live", "--output", card.device, "--input", card.device, "--play", song), "leave --input out")
        played_and_recorded = run("live", "--output", card.device, "--play", song, "--record", song, "--force")
        refused(played_and_recorded, "would be played and recorded to")
        soundfile.write(tmp_path / "bad.wav", np.full(1000, np.nan, np.float32), 48000, "FLOAT")
        bad = run("live", "--output", card.device, "--play", tmp_path / "bad.wav", "--record", tmp_path / "take.wav")
        refused(bad, "is not a number or infinite")
        assert list(tmp_path.glob("*take*")) == []
        refused(run(*base, "--record", tmp_path / "a.flac"), "must be a WAV or AIFF file")


def test_without_any_device(monkeypatch):
    monkeypatch.setenv("JACK_NO_START_SERVER", "1")
    if json.loads(run("devices", "--json").stdout):
        pytest.skip("needs a machine without a sound card")
    refused(run("live"), "there is no audio output device")
    assert run("devices").stderr.strip() == "there is no audio device"


def test_without_portaudio_live_says_what_to_install_and_the_rest_works(tmp_path, monkeypatch, song):
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    for command in ("live", "devices"):
        result = run(command)
        assert result.returncode == 1
        assert result.stderr.startswith("mlxopto: the audio library PortAudio cannot be loaded")
        if sys.platform == "linux":
            assert "libportaudio2" in result.stderr
    assert run("render", song, "-o", tmp_path / "o.wav").returncode == 0


def test_midi_without_its_extra_or_port_is_refused(tmp_path, monkeypatch):
    (tmp_path / "mido.py").write_text("raise ImportError")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    refused(run("live", "--midi", "x"), "pip install 'mlxopto[midi]'")
