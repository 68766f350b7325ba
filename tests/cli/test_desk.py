"""Keys and MIDI at the desk of a live session, and the picture that they change."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlxopto_cli.dashboard import Meters, dashboard
from mlxopto_cli.desk import Desk
from mlxopto_cli.keyboard import parse
from rich.console import Console

from mlxopto import presets
from mlxopto.compressor import Mix
from mlxopto.errors import RequestError
from mlxopto.live.session import Snapshot
from tests.conftest import untrained


class Recorded:
    """A session that only notes what it is told."""

    def __init__(self, device: str = "cl1b"):
        self.compressor = untrained(device)
        self.setting, self.mix, self.bypassed = self.compressor.panel.setting({}), Mix(), False
        self.channels, self.sample_rate, self.latency_samples = 2, 48000, 128
        self.recorder = None
        self.input = self.output = type("Port", (), {"name": "Interface [/b] [red]"})()

    def set(self, setting, mix):
        self.setting, self.mix = dict(setting), mix

    def complaints(self):
        return ["the recording ended after 3.0 s: /tmp takes no more data, its disk may be full"]

    def bypass(self, on):
        self.bypassed = on


def desk(tmp_path, device: str = "cl1b", **midi: int) -> Desk:
    (tmp_path / "p.toml").touch()
    return Desk(Recorded(device), device, tmp_path / "p.toml", midi)


def test_keys_select_turn_and_stop_at_the_ends(tmp_path):
    board = desk(tmp_path)
    board.press("3")
    assert board.control.name == "attack"
    before = board.control.normalise(board.values["attack"])
    board.press("right")
    assert board.control.normalise(board.session.setting["attack"]) == pytest.approx(before + 0.1, abs=1e-3)
    board.press(",")
    assert board.control.normalise(board.session.setting["attack"]) == pytest.approx(before + 0.09, abs=1e-3)
    for _ in range(30):
        board.press("left")
    assert board.session.setting["attack"] == board.control.low
    assert board.press("x")
    assert not board.press("q")


def test_positions_switches_mix_and_makeup(tmp_path):
    board = desk(tmp_path)
    board.press("3")
    seen = []
    for _ in range(3):
        board.press("p")
        seen.append(board.session.setting["attack"])
    assert sorted(seen) == sorted(board.control.positions.values())
    board.press("5")
    board.press("left")
    assert board.session.mix.mix == pytest.approx(0.95)
    switch = desk(tmp_path, "la2a")
    place = [c.taper for c in switch.panel.controls].index("steps")
    switch.press(str(place + 1))
    before = switch.values[switch.control.name]
    switch.press("right")
    switch.press("right")
    assert switch.values[switch.control.name] == before + 1
    switch.midi = {switch.control.name: 7}
    seen = []
    for value in (0, 1, 2, 40, 63, 64, 90, 126, 127):
        switch.hear_midi([(7, value)])
        seen.append(switch.values[switch.control.name])
    assert seen == [before] * 5 + [before + 1] * 4


def test_a_and_b_are_two_settings(tmp_path):
    board = desk(tmp_path)
    board.press("right")
    a = dict(board.session.setting)
    board.press("a")
    assert board.session.setting != a
    board.press("a")
    assert board.session.setting == a


def test_a_controller_is_learnt_followed_and_saved(tmp_path):
    board = desk(tmp_path)
    board.press("1")
    board.press("m")
    board.hear_midi([(21, 127)])
    assert board.session.setting["threshold"] == board.control.high
    board.hear_midi([(22, 0), (21, 0)])
    assert board.session.setting["threshold"] == board.control.low
    board.press("s")
    saved = presets.load(tmp_path / "p.toml")
    assert saved.midi == {"threshold": 21}
    assert board.session.compressor.panel.setting(saved.controls) == board.session.setting


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from([*"123456789pbamrsx,.", "up", "down", "left", "right"]), max_size=60), st.integers(40, 200))
def test_any_keys_leave_a_setting_that_the_panel_accepts_and_a_picture(tmp_path_factory, keys, width):
    board = desk(tmp_path_factory.mktemp("desk"))
    meters = Meters(2, 200)
    rng = np.random.default_rng(len(keys))
    for key in keys:
        board.press(key)
        peaks = rng.uniform(0, 1.5, 4).astype(np.float32)
        drops = {"input_overflow": 0, "input_underflow": 1, "output_overflow": 0, "output_underflow": 0}
        snapshot = Snapshot(1.0, peaks[:2], peaks[2:], -float(rng.uniform(0, 30)), 0.01, 0.1, 0, drops, 64, 0, 0.0)
        meters.add(snapshot)
        console = Console(width=width, height=60, record=True, file=io.StringIO())
        console.print(dashboard(board.session, board, meters, snapshot, width))
        text = console.export_text()
        assert board.control.name.replace("_", " ") in text
        flowing = " ".join(text.split())
        assert "1 output underflow" in flowing or "1 input underflow" in flowing
        assert "its disk may be full" in flowing
        assert "qquit" in "".join(text.split()) or "".join(board.message.split()) in "".join(text.split())
        if width > 100:
            assert "Interface [/b] [red] -> Interface" in flowing
        assert max(map(len, text.splitlines())) <= width
    panel = board.session.compressor.panel
    assert (
        panel.setting({name: panel[name].format(value) for name, value in board.session.setting.items()})
        == board.session.setting
    )


@given(st.text(max_size=50))
def test_anything_typed_is_read(text):
    assert all(isinstance(key, str) and key for key in parse(text))


def test_escape_sequences_are_arrows():
    assert parse("\x1b[A\x1b[Bx\x1bOC\x1b[D") == ["up", "down", "x", "right", "left"]


def test_keys_with_modifiers_and_function_keys_are_no_other_keys():
    assert parse("\x1b[1;5C\x1b[15~\x1bq\x1b\x1bOPa\x1b[3~") == ["a"]


def test_a_new_preset_takes_a_name_that_is_free(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cl1b.toml").write_text("precious")
    board = Desk(Recorded(), "cl1b", None, {})
    board.press("s")
    board.press("right")
    board.press("s")
    assert (tmp_path / "cl1b.toml").read_text() == "precious"
    saved = presets.load(tmp_path / "cl1b-2.toml")
    assert board.session.compressor.panel.setting(saved.controls) == board.session.setting
    assert not (tmp_path / "cl1b-3.toml").exists()


def test_a_controller_for_no_control_is_refused(tmp_path):
    with pytest.raises(RequestError, match="there is no control 'volume' here"):
        desk(tmp_path, volume=3)
