"""Every fault of a take is found and named; takes without one are kept, whatever the unit."""

import re
from itertools import islice

import numpy as np
import pytest

from mlxopto.capture import checks, plan, signals
from mlxopto.capture.interface import Recording
from mlxopto.devices import DEVICES, device
from mlxopto.errors import WorkError
from tests.capture.rack import RATE, Rack

SECONDS = 4.0
LOUD = 0.9  # seconds into a take, where the probe is at full level


def padded(x: np.ndarray) -> np.ndarray:
    return np.concatenate([x, np.zeros(8000, np.float32)])


def set_up(rack: Rack) -> checks.Setup:
    return checks.set_up(rack.play(padded(signals.train_of_sweeps(RATE))), RATE, 5000)


def judged(rack: Rack, fault=lambda y: y, xruns=None, before=None, seed: int = 0) -> checks.Checked:
    setup, x = set_up(rack), signals.take(SECONDS, RATE, seed)
    y = fault(rack.play(padded(x)).y).astype(np.float32)
    return checks.check_take(x, Recording(y, xruns or {}), setup, before, 0.0)


def lost(count: int):
    """A drop-out of so many samples, after which everything comes sooner."""
    return lambda y: np.concatenate([y[:150_000], y[150_000 + count :], np.zeros(count)])


def replaced(start: int, values):
    def fault(y):
        y = y.copy()
        y[start : start + len(values)] = values
        return y

    return fault


def late(count: int):
    return lambda y: np.concatenate([np.zeros(count), y[:-count]])


@pytest.mark.parametrize("name", DEVICES)
def test_good_takes_are_kept_aligned_to_the_sample(name):
    unit = DEVICES[name]
    rack = Rack(unit, delay=777.0, gain=-0.4, noise=0)
    setup = set_up(rack)
    assert (setup.aligned_by, setup.polarity) == (777, -1)
    assert setup.spread < 0.01
    for number, setting in enumerate(islice(plan.settings(unit.panel), 10)):
        rack.setting = setting
        x = signals.take(SECONDS, RATE, number)
        checked = checks.check_take(x, rack.play(padded(x)), setup, None, 0.0)
        assert (checked.problems, checked.doubts) == ((), ())
        np.testing.assert_allclose(checked.y, 0.4 * unit.process(x, RATE, setting), atol=1e-6)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (lost(64), r"64\.0 samples were lost at 3\.\d s"),
        (lost(1), r"1\.0 samples were lost"),
        (lambda y: np.concatenate([y[:150_000], y[149_744:]])[: len(y)], r"256\.0 samples were put in"),
        (late(32), r"the delay is 1266\.\d samples and was 1234\.\d at the set-up: the latency has changed"),
        (late(1), r"the delay is 1235\.\d samples"),
        (replaced(1234 + int(LOUD * RATE / 2), np.zeros(64)), r"nothing came back for \d+ ms, first at 0\.4"),
        (lambda y: np.where(np.arange(len(y)) < 120_000, y, 0), "the sweep at the end did not come back"),
        (lambda y: np.zeros(len(y)), r"hardly anything comes back \(-120 dBFS"),
        (lambda y: np.clip(12 * y, -1, 1), r"the return clips \(\d+ samples at full scale\)"),
        (lambda y: -y, "the polarity is not that of the set-up"),
    ],
)
def test_a_fault_is_named(fault, said):
    checked = judged(Rack(), fault)
    assert checked.problems
    assert re.search(said, checked.problems[0]), checked.problems[0]


def test_drop_outs_that_the_sound_system_reports_are_for_the_user_to_judge():
    checked = judged(Rack(), xruns={"input overflow": 2})
    assert not checked.problems
    assert checked.doubts == ("the sound system reported 2 times input overflow",)


def test_knobs_that_were_not_turned_are_noticed_through_noise_and_other_material():
    rack = Rack()
    before = judged(rack, seed=1).y
    assert judged(rack, before=before, seed=2).doubts == ("it is the same as the take before; were the knobs turned?",)
    rack.setting = device("vca").panel.setting({"ratio": 4.4})
    assert judged(rack, before=before, seed=2).doubts == ()


def test_the_interface_alone_aligns_takes_of_units_without_delay_of_their_own():
    setup = checks.Setup(RATE, 1000.6, 0.0, 1, -100.0, -20.0, interface_delay=1000.4)
    assert setup.aligned_by == 1000
    assert checks.Setup(RATE, 1000.6, 0.0, 1, -100.0, -20.0).aligned_by == 1001
    assert checks.Setup(RATE, 1064.4, 0.0, 1, -100.0, -20.0, interface_delay=1000.4).aligned_by == 1064


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (lambda y: np.zeros(len(y)), "did not come back"),
        (lambda y: 0.1 * np.random.default_rng(1).standard_normal(len(y)), "did not come back"),
        (lambda y: np.clip(30 * y, -1, 1), "clips"),
        (lambda y: np.concatenate([y[:60_000], y[60_016:], np.zeros(16)]), "the delay is not steady"),
    ],
)
def test_a_set_up_that_cannot_be_is_refused(fault, said):
    rack = Rack()
    rack.faults = [fault]
    with pytest.raises(WorkError, match=said):
        set_up(rack)
