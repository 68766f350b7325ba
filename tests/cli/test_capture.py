"""mlxopto capture as a user runs it: a plug-in is the unit, JACK the interface, and a program turns the knobs as it
is told to.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mlxopto.controls import Control, Panel
from mlxopto.data.captures import CaptureSource, load_panel, panel_document
from tests.benchmarks.accuracy import constant_gain_esr
from tests.cli.test_bad_requests import RUN, contents, refused, run
from tests.live.outboard import Outboard, User, freewheeling, outboard
from tests.live.rig import JackServer, _jack, jack_server

PERIOD = 256
PANEL = Panel(
    (
        Control("threshold", "dB", -40, -6, default=-20),
        Control("ratio", ":1", 2, 12, taper="log"),
        Control("attack", "ms", 1, 100, taper="log"),
        Control("release", "ms", 50, 1000, taper="log"),
    )
)
LOUDEST = {"level_in": 0.7, "makeup": 1.0, "knee": 2.0}


@pytest.fixture
def device_file(tmp_path) -> Path:
    path = tmp_path / "calf.json"
    path.write_text(json.dumps(panel_document("calf", PANEL, 18.0)))
    return path


class Recordist:
    """Someone who runs `mlxopto capture`, turns the knobs of the unit as it says, and presses Enter."""

    def __init__(self, unit: Outboard, *arguments: object):
        command = [*RUN, "capture", "--input", "hw", "--output", "hw", *map(str, arguments)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self._user, self._unit = User(self.process), unit

    def prompt(self) -> str:
        """What is said up to the next question; "" at the end."""
        return self._user.read_prompt()

    def answer(self, line: str = "") -> None:
        self._user.answer(line)

    def obey(self, text: str) -> None:
        """Does what a prompt asks for.

        Drop-outs that JACK reports lose nothing in its synchronous mode: such takes are kept.
        """
        if wanted := re.search(r"threshold (\S+) dB, ratio (\S+):1, attack (\S+) ms, release (\S+) ms", text):
            threshold, ratio, attack, release = map(float, wanted.groups())
            self._unit.turn(threshold=10 ** (threshold / 20), ratio=ratio, attack=attack, release=release)
        self.answer("k" if "the sound system reported" in text and "(k: keep it" in text else "")

    def until(self, words: str) -> str:
        """Obeys until a prompt has the words, and leaves that one unanswered."""
        while words not in (text := self.prompt()):
            assert text, self._user.seen
            self.obey(text)
        return text

    def hurry(self, server: JackServer, words: str) -> str:
        """As `until`, as fast as the machine can.

        What is left is done in real time, because JACK stalls when a client leaves meanwhile.
        """
        first = self.prompt()
        with freewheeling(server):
            self.obey(first)
            return self.until(words)

    def finish(self) -> str:
        """Obeys to the end; everything that was said."""
        while text := self.prompt():
            self.obey(text)
        self.process.wait()
        return self._user.seen

    def __enter__(self) -> "Recordist":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


@contextlib.contextmanager
def rack() -> Iterator[tuple[JackServer, Outboard]]:
    with jack_server(PERIOD, portaudio=False) as server, outboard(server, **LOUDEST) as unit:
        yield server, unit


def captured(device_file: Path, out: Path, settings: int, seconds: float) -> str:
    with rack() as (server, unit), Recordist(unit, "--device-file", device_file, "-o", out, "--settings", settings,
                                             "--seconds", seconds, "--json") as recordist:  # fmt: skip
        last = recordist.hurry(server, f"setting {settings + 1} of {settings + 1}")
        recordist.obey(last)
        said = recordist.finish()
        assert recordist.process.returncode == 0, said
        summary = json.loads(recordist.process.stdout.read())
    assert (summary["pending"], summary["setup"]["aligned_by"]) == (0, PERIOD)
    return said


@pytest.mark.clock
def test_eight_settings_of_a_plug_in_are_recorded_aligned_to_the_sample(tmp_path, device_file):
    out = tmp_path / "captures"
    said = captured(device_file, out, 8, 2.0)
    assert "delay 256.00 samples (5.3 ms), the same within 0.00" in said
    assert "the same as before, bit for bit" in said
    source = CaptureSource(out, 0)
    assert (source.training_settings, len(source.test["unseen"]), len(source.test["seen"])) == (6, 2, 2)
    assert (source.dbu_at_full_scale, source.panel) == (18.0, PANEL)
    # what is not compressed is amplified only: there output equals input in every sample, if it is aligned to the sample
    (gentle,) = (take for take in source.test["seen"] if take.setting["threshold"] > -10)
    sweep = slice(0, 14000)  # of -12 dBFS
    np.testing.assert_allclose(gentle.y[sweep], LOUDEST["level_in"] * gentle.x[sweep], atol=1e-4)
    checked = run("data", "check", out, "--json")
    assert checked.returncode == 0, checked.stderr
    assert {recording["lag"] for recording in json.loads(checked.stdout)["recordings"]} == {0}


@pytest.mark.slow
def test_what_was_captured_trains_to_less_than_half_of_a_constant_gains_error(tmp_path, device_file, request):
    small = request.config.getoption("--small")
    captured(device_file, tmp_path / "captures", 8, 4.0 if small else 12.0)
    steps = ["--steps", 150] if small else []
    trained = run("train", "--data", tmp_path / "captures", "--quick", *steps, "--out", tmp_path / "run", "--json", timeout=600)
    assert trained.returncode == 0, trained.stderr
    test = json.loads(trained.stdout)["test"]
    constant = constant_gain_esr(CaptureSource(tmp_path / "captures", 0).test["unseen"])
    print(f"\nCalf Compressor, 8 settings: unseen ESR {test['unseen']['esr_median']:.1e}, constant gain {constant:.1e}")
    assert test["unseen"]["esr_median"] < 0.5 * constant
    proposed = run("capture", "plan", "--model", tmp_path / "run", "--settings", 2, "--seconds", 2, "--add", "--json")
    assert proposed.returncode == 0, proposed.stderr
    assert len(json.loads(proposed.stdout)["settings"]) == 2
    assert "--resume" in proposed.stderr
    with rack() as (_, unit), Recordist(unit, "-o", tmp_path / "captures", "--resume") as recordist:
        said = recordist.finish()
    assert "2 takes at 2 settings" in said
    assert CaptureSource(tmp_path / "captures", 0).training_settings == 8


def unplugged(server: JackServer):
    """The cable between the unit and the interface's input, pulled; gives a function that plugs it in again."""
    client = _jack().Client("rig_hand", no_start_server=True, servername=server.name)
    pairs = [(port, sink) for port in client.get_ports("^hw:", is_output=True) for sink in client.get_all_connections(port)]
    for source, sink in pairs:
        client.disconnect(source, sink)

    def plug_in() -> None:
        for source, sink in pairs:
            client.connect(source, sink)
        client.close()

    return plug_in


@pytest.mark.clock
def test_faults_are_named_and_takes_recorded_again(tmp_path, device_file):
    """A cable pulled during a take, a return that clips, knobs that were not turned."""
    with rack() as (server, unit), Recordist(unit, "--device-file", device_file, "-o", tmp_path / "captures",
                                             "--settings", 3, "--seconds", 2) as recordist:  # fmt: skip
        text = recordist.hurry(server, "setting 2 of 4")
        recordist.obey(text)
        time.sleep(4.0)  # into the take, after its silence
        plug_in = unplugged(server)
        text = recordist.prompt()
        plug_in()
        assert re.search(r"not kept\n  (the sweep at the end did not come back|hardly anything comes back)", text), text
        unit.turn(makeup=8.0)
        recordist.answer()
        text = recordist.prompt()
        assert re.search(r"not kept\n  the return clips \(\d+ samples at full scale\)", text), text
        unit.turn(makeup=1.0)
        recordist.answer()
        text = recordist.until("setting 3 of 4")
        assert "kept, peak" in text
        recordist.answer()  # without turning anything
        text = recordist.prompt()
        assert "it is the same as the take before; were the knobs turned?" in text
        recordist.answer("s")
        text = recordist.prompt()
        assert "setting 4 of 4" in text
        recordist.answer("x")
        assert "Enter, s, b or q" in recordist.prompt()
        recordist.answer("q")
        assert "to go on: mlxopto capture -o" in recordist.finish()
        assert recordist.process.returncode == 0
    splits = [entry["split"] for entry in json.loads((tmp_path / "captures" / "manifest.json").read_text())]
    assert splits[0] == "val"
    assert len(splits) == 2


@pytest.mark.clock
def test_killed_in_the_middle_of_a_take_it_goes_on_with_all_that_was_before(tmp_path, device_file):
    out = tmp_path / "captures"
    with rack() as (server, unit):
        with Recordist(unit, "--device-file", device_file, "-o", out, "--settings", 3, "--seconds", 2) as recordist:
            recordist.obey(recordist.hurry(server, "setting 3 of 4"))
            time.sleep(1.0)
            os.kill(recordist.process.pid, signal.SIGKILL)
        before = {path: path.read_bytes() for path in out.rglob("*.wav")}
        assert len(before) == 4  # validation and the first setting, input and target
        time.sleep(6.0)  # for the server, which waits for a client that was killed
        with Recordist(unit, "-o", out, "--resume", "--json") as recordist:
            recordist.obey(recordist.hurry(server, "setting 4 of 4"))
            said = recordist.finish()
            assert recordist.process.returncode == 0, said
            assert json.loads(recordist.process.stdout.read())["pending"] == 0
    assert all(path.read_bytes() == samples for path, samples in before.items())
    assert "loudest" not in said
    assert CaptureSource(out, 0).training_settings == 3


@pytest.mark.clock
def test_ctrl_c_says_how_to_go_on(tmp_path, device_file):
    with rack() as (_, unit), Recordist(unit, "--device-file", device_file, "-o", tmp_path / "captures") as recordist:
        recordist.until("loudest")
        recordist.process.send_signal(signal.SIGINT)
        said = recordist.finish()
        assert recordist.process.returncode == 1
    assert "0 of 32 takes" in said
    assert said.strip().endswith("mlxopto: interrupted")
    assert "Traceback" not in said


def test_an_interface_without_the_unit_is_an_error(tmp_path, device_file):
    with jack_server(PERIOD, portaudio=False):
        refused(
            run("capture", "--device-file", device_file, "-o", tmp_path / "c", "--input", "hw", "--output", "hw"), "no audio"
        )
        nothing = run("capture", "--device-file", device_file, "-o", tmp_path / "c", input="\n\n")
    assert nothing.returncode == 1
    assert "nothing comes back" in nothing.stderr
    assert "Traceback" not in nothing.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "mlxopto capture needs --device-file"),
        (["--resume"], "--resume needs -o"),
        (["--resume", "-o", "nowhere"], "nowhere holds no capture session to go on with: there is no capture.json"),
        (["--resume", "-o", "nowhere", "--settings", "9"], "leave --settings out"),
        (["-o", "a", "plan", "--model", "la2a"], "--out must stand behind plan, or be left out"),
        (["--device-file", "missing.json"], "missing.json cannot be read: No such file or directory"),
        (["--device-file", "song.wav"], "song.wav is not JSON"),
        (["plan", "--model", "nowhere"], "nowhere is not a run folder"),
        (["plan", "--model", "la2a", "-o", "nowhere"], "nowhere/device.json cannot be read"),
        (["init", "unit.json", "--preset", "la3a"], "--preset must be one of la2a, cl1b, 1176, vca-bus, got 'la3a'"),
        (["init", "calf.json", "--preset", "la2a"], "calf.json exists already"),
        (["init", "nowhere/unit.json", "--preset", "la2a"], "the output folder nowhere does not exist"),
        (["init", "unit.json", "--preset", "la2a", "--dbu", "200"], "--dbu must be -60 to 60, got 200"),
    ],
)
def test_wrong_requests_are_a_sentence_and_write_nothing(tmp_path, device_file, noise, arguments, said):
    soundfile.write(tmp_path / "song.wav", noise, 48000)
    before = contents(tmp_path)
    refused(run("capture", *arguments, cwd=tmp_path), said)
    assert contents(tmp_path) == before


def test_a_panel_is_asked_for(tmp_path):
    answers = [
        "Threshold",
        "dB",
        "-40 to 0",
        "Attack",
        "ms",
        "0.1 to 30",
        "side chain",
        "",
        "off, 100, 300",
        "Ratio",
        ":1",
        "loud",
    ]
    answers += [":1", "1.5 to 10 log", ""]
    result = run("capture", "init", tmp_path / "unit.json", "--dbu", "18", input="\n".join(answers) + "\n")
    assert result.returncode == 0, result.stderr
    assert "ratio needs a range or at least two positions, got 'loud'" in result.stderr
    name, panel, dbu = load_panel(tmp_path / "unit.json")
    assert (name, dbu) == ("unit", 18.0)
    assert [(c.name, c.unit, c.low, c.high, c.taper) for c in panel.controls] == [
        ("threshold", "dB", -40.0, 0.0, "linear"),
        ("attack", "ms", 0.1, 30.0, "log"),
        ("side_chain", "", 0.0, 2.0, "steps"),
        ("ratio", ":1", 1.5, 10.0, "log"),
    ]
    assert dict(panel["side_chain"].positions) == {"off": 0.0, "x100": 1.0, "x300": 2.0}
    ended = run("capture", "init", tmp_path / "other.json", input="Threshold\n")
    assert ended.returncode == 1
    assert "the answers ended before the panel did; nothing is written" in ended.stderr
    assert not (tmp_path / "other.json").exists()


def test_presets_are_written_as_they_are_printed(tmp_path):
    for preset in ("la2a", "cl1b", "1176", "vca-bus"):
        result = run("capture", "init", tmp_path / f"{preset}.json", "--preset", preset)
        assert result.returncode == 0, result.stderr
        assert load_panel(tmp_path / f"{preset}.json")[0] == preset
