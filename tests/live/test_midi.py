"""MIDI through mido, with ports that the test makes up."""

import pytest

from mlxopto.errors import RequestError, WorkError
from mlxopto.live.midi import MidiInput

mido = pytest.importorskip("mido", reason="needs the extra midi")


class Port:
    closed = False

    def close(self):
        self.closed = True


@pytest.fixture
def ports(monkeypatch):
    opened = {}
    monkeypatch.setattr(mido, "get_input_names", lambda: ["nanoKONTROL2", "Launch Control", "Launchpad"], raising=False)
    monkeypatch.setattr(
        mido, "open_input", lambda name, callback: opened.update(name=name, callback=callback) or Port(), raising=False
    )
    return opened


def test_control_changes_arrive_in_order_and_once(ports):
    with MidiInput("nano") as midi:
        for number, value in ((1, 2), (3, 4)):
            ports["callback"](mido.Message("control_change", control=number, value=value))
        ports["callback"](mido.Message("note_on", note=60))
        assert midi.changes() == [(1, 2), (3, 4)]
        assert midi.changes() == []
    assert midi.name == "nanoKONTROL2"


def test_a_name_that_is_not_one_port_is_refused(ports):
    with pytest.raises(RequestError, match="these match: Launch Control, Launchpad"):
        MidiInput("launch")
    with pytest.raises(RequestError, match="there are: nanoKONTROL2, Launch Control, Launchpad"):
        MidiInput("moog")


def test_a_system_without_midi_is_said(monkeypatch):
    def fail():
        raise OSError("no sequencer")

    monkeypatch.setattr(mido, "get_input_names", fail, raising=False)
    with pytest.raises(WorkError, match="MIDI is not available here: no sequencer"):
        MidiInput("x")
