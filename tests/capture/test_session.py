"""A whole capture session on a virtual unit, its folder, and what happens when it is killed."""

import os
import signal
import subprocess
import sys
import time
from itertools import islice

import numpy as np
import pytest

from mlxopto.capture import plan
from mlxopto.capture.folder import CaptureFolder
from mlxopto.capture.session import TRIES, CaptureSession, moved_db
from mlxopto.data.captures import CaptureSource
from mlxopto.devices import Device, device
from mlxopto.errors import RequestError, WorkError
from mlxopto.response import subjects
from mlxopto.response.figures import memory_error_db
from mlxopto.response.passage import passage
from tests.capture.rack import RATE, Rack

SETTINGS, SECONDS = 8, 2.0


def begun(path) -> CaptureFolder:
    panel = device("vca").panel
    takes = plan.takes(panel, list(islice(plan.settings(panel), SETTINGS)), SECONDS)
    return CaptureFolder.create(path, ("my-unit", panel, 18.0), RATE, takes)


def record(session: CaptureSession, rack: Rack, number: int) -> None:
    rack.setting = session.folder.takes[number].setting
    checked = session.record(number)
    assert not checked.problems
    assert not checked.doubts
    session.keep(number, checked)


def test_a_session_makes_a_folder_to_train_on(tmp_path):
    rack, folder = Rack(delay=500.0, gain=-0.3), begun(tmp_path / "captures")
    session = CaptureSession(rack, folder)
    session.set_up()
    session.accept()
    for number in folder.pending:
        record(session, rack, number)
    source = CaptureSource(tmp_path / "captures", 0)
    assert (source.name, source.dbu_at_full_scale, source.sample_rate) == ("my-unit", 18.0, RATE)
    assert source.training_settings == SETTINGS - SETTINGS // 4
    assert (len(source.validation), len(source.test["seen"]), len(source.test["unseen"])) == (1, 2, 2)
    for take in (*source.validation, *source.test["unseen"]):
        expected = 0.3 * rack.unit.process(take.x, RATE, take.setting)
        np.testing.assert_allclose(take.y, expected, atol=1e-4)  # the noise of the virtual interface
    assert 1e-10 < folder.repeatability_esr < 1e-5


def test_the_passage_to_measure_by_is_recorded_and_measured(tmp_path):
    rack, panel = Rack(noise=1e-6), device("vca").panel
    takes = plan.takes(panel, [panel.setting({})], SECONDS, len(passage(RATE).x) / RATE)
    folder = CaptureFolder.create(tmp_path / "captures", ("my-unit", panel, 18.0), RATE, takes)
    session = CaptureSession(rack, folder)
    session.set_up()
    session.accept()
    assert [take.split for take in takes] == ["val", "val", "measure", "train"]
    record(session, rack, 2)
    found = subjects.find(str(tmp_path / "captures"))
    by_recording, unit = found.measure(found.setting), subjects.device("vca").measure(takes[2].setting)
    assert found.setting == takes[2].setting
    assert by_recording.ratio == pytest.approx(unit.ratio, rel=0.02)
    assert max(memory_error_db(by_recording, unit)) < 0.1
    for recorded, itself in zip(by_recording.static[8:], unit.static[8:], strict=True):
        assert recorded.gain_db == pytest.approx(itself.gain_db + 20 * np.log10(0.3), abs=0.02)


def test_it_goes_on_where_it_was_ended_and_with_settings_that_were_added(tmp_path):
    rack, folder = Rack(), begun(tmp_path / "captures")
    session = CaptureSession(rack, folder)
    first = session.set_up()
    session.accept()
    for number in (0, 1, 3):
        record(session, rack, number)
    later = CaptureFolder(tmp_path / "captures")
    assert later.kept == {0, 1, 3}
    assert later.pending[0] == 2
    assert later.repeatability_esr == folder.repeatability_esr > 0
    assert later.last_setup == first
    new = {**later.takes[-1].setting, "threshold": 3.0}
    later.add(plan.more([new], 2.0, 99))
    assert CaptureFolder(tmp_path / "captures").takes[-1] == plan.PlannedTake(new, "train", 2.0, 99)
    with pytest.raises(RequestError, match="holds something already; go on with --resume"):
        begun(tmp_path / "captures")


def test_an_input_gain_that_moved_between_sessions_is_measured(tmp_path):
    rack, folder = Rack(gain=0.3), begun(tmp_path / "captures")
    rack.setting = folder.takes[0].setting
    session = CaptureSession(rack, folder)
    session.set_up()
    session.accept()
    record(session, rack, 0)
    rack.setting, rack.gain = folder.takes[0].setting, 0.25
    now = CaptureSession(rack, CaptureFolder(tmp_path / "captures")).set_up()
    assert moved_db(folder.first_setup, now) == pytest.approx(20 * np.log10(0.25 / 0.3), abs=0.01)


def test_drop_outs_that_are_reported_are_recorded_again_without_asking(tmp_path):
    rack, folder = Rack(), begun(tmp_path / "captures")
    session = CaptureSession(rack, folder)
    session.set_up()
    session.accept()
    plays = rack.plays
    rack.xruns = [{"input overflow": 1}]
    assert not session.record(0).doubts
    assert rack.plays - plays == 2
    rack.xruns = [{"input overflow": 1}] * TRIES
    assert session.record(0).doubts == ("the sound system reported a drop-out: input overflow",)


def test_two_takes_at_one_setting_are_apart_by_silence_and_not_taken_for_a_mistake(tmp_path):
    rack, folder = Rack(), begun(tmp_path / "captures")
    session = CaptureSession(rack, folder)
    session.set_up()
    session.accept()
    seen = next(number for number, take in enumerate(folder.takes) if take.split == "seen")
    record(session, rack, seen - 1)
    record(session, rack, seen)


def test_levels_say_how_far_to_turn(tmp_path):
    folder = begun(tmp_path / "captures")
    assert CaptureSession(Rack(gain=0.5), folder).levels().good
    low = CaptureSession(Rack(gain=0.05), folder).levels()
    assert not low.good
    assert (low.at_least, low.at_most) == (pytest.approx(-12 - low.peak), pytest.approx(-1 - low.peak))
    assert 10 < low.at_least < low.at_most
    clipping = Rack(gain=3.0)
    clipping.faults = [lambda y: np.clip(y, -1, 1)]
    levels = CaptureSession(clipping, folder).levels()
    assert levels.clipped > 100
    assert not levels.good
    with pytest.raises(WorkError, match="nothing comes back"):
        CaptureSession(Rack(gain=0.0, noise=0), folder).levels()


def test_later_sessions_align_as_the_first_did(tmp_path):
    """Half a sample would be rounded up one day and down the other."""
    rack, folder = Rack(delay=1000.45), begun(tmp_path / "captures")
    session = CaptureSession(rack, folder)
    assert session.set_up().aligned_by == 1000
    session.accept()
    assert folder.first_setup is None
    record(session, rack, 0)
    for delay, aligned_by in ((1000.55, 1000), (1064.55, 1064), (999.9, 999)):
        rack.delay = delay
        assert CaptureSession(rack, CaptureFolder(tmp_path / "captures")).set_up().aligned_by == aligned_by


def test_a_cable_in_the_units_place_keeps_the_units_own_delay_apart(tmp_path):
    rack, folder = Rack(delay=500.3), begun(tmp_path / "captures")
    session, unit = CaptureSession(rack, folder), rack.unit
    rack.unit = Device("cable", "", unit.panel, lambda x, rate, setting: x, 20.0)
    alone = session.interface_delay()
    assert alone == pytest.approx(500.3, abs=0.01)
    rack.unit, rack.delay = unit, 500.8
    setup = session.set_up(alone)
    assert (setup.aligned_by, round(setup.delay - setup.interface_delay, 1)) == (500, 0.5)
    session.accept()
    assert CaptureFolder(tmp_path / "captures").last_setup == setup


def test_every_take_begins_with_the_unit_at_rest(tmp_path, monkeypatch):
    """Silence is played as long as the last sound is not long past."""
    rack, folder = Rack(), begun(tmp_path / "captures")
    session = CaptureSession(rack, folder)
    session.set_up()
    session.accept()
    begins = []
    play = rack.play

    def noted(x):
        begins.append(int(np.flatnonzero(x)[0]))
        return play(x)

    monkeypatch.setattr(rack, "play", noted)
    session.record(0)
    session._silent_since -= 60  # someone turns knobs for a minute
    session.record(0)
    assert begins[0] > 2 * RATE
    assert begins[1] < 10


KILLED = """
import sys
from pathlib import Path
from tests.capture.rack import Rack
from tests.capture.test_session import begun, record
from mlxopto.capture.session import CaptureSession
rack, folder = Rack(), begun(Path(sys.argv[1]))
session = CaptureSession(rack, folder)
session.set_up()
session.accept()
for number in folder.pending:
    print(number, flush=True)
    record(session, rack, number)
"""


def test_killed_in_the_middle_of_a_take_it_keeps_all_before(tmp_path):
    path = tmp_path / "captures"
    with subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if int(line) == 5:
                time.sleep(0.03)  # into the take, or its writing
                os.kill(process.pid, signal.SIGKILL)
                break
    folder = CaptureFolder(path)
    assert {0, 1, 2, 3, 4} <= folder.kept <= {0, 1, 2, 3, 4, 5}
    rack = Rack()
    session = CaptureSession(rack, folder)
    session.set_up()
    session.accept()
    for number in folder.pending:
        record(session, rack, number)
    assert not folder.pending
    assert CaptureSource(path, 0).training_settings == SETTINGS - SETTINGS // 4


def test_a_plan_that_is_damaged_is_refused_by_name(tmp_path):
    begun(tmp_path / "captures")
    (tmp_path / "captures" / "capture.json").write_text('{"takes": []}')
    with pytest.raises(RequestError, match=r"capture.json is not the plan of a capture session"):
        CaptureFolder(tmp_path / "captures")
    other = begun(tmp_path / "other")
    for manifest in ('[{"take": 1}]', "[3]", '{"take": 1}', '[{"take": "a", "setup": 0}]', '[{"take": 99, "setup": 0}]'):
        (other.folder / "manifest.json").write_text(manifest)
        with pytest.raises(RequestError, match="is not the manifest of a capture session"):
            CaptureFolder(other.folder)
    with pytest.raises(RequestError, match="holds no capture session to go on with"):
        CaptureFolder(tmp_path)
