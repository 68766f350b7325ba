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
from mlxopto.live.session import Snapshot
from tests.conftest import untrained


class Recorded:
    """A session that only notes what it is told."""

    def __init__(self, device: str = "cl1b"):
        self.compressor = untrained(device)
        self.setting, self.mix, self.bypassed = self.compressor.panel.setting({}), Mix(), False
        self.channels, self.sample_rate, self.latency_samples = 2, 48000, 128
        self.recorder = None
        self.input = self.output = type("Port", (), {"name": "Interface"})()

    def set(self, setting, mix):
        self.setting, self.mix = dict(setting), mix

    def complaints(self):
        return []

    def bypass(self, on):
        self.bypassed = on


def desk(tmp_path, device: str = "cl1b", **midi: int) -> Desk:
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
        snapshot = Snapshot(1.0, peaks[:2], peaks[2:], -float(rng.uniform(0, 30)), 0.01, 0.1, 0, drops, 64, 0)
        meters.add(snapshot)
        console = Console(width=width, height=60, record=True, file=io.StringIO())
        console.print(dashboard(board.session, board, meters, snapshot, width))
        text = console.export_text()
        assert board.control.name.replace("_", " ") in text
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
