"""Every fault of a take is found and named; takes without one are kept, whatever the unit."""

import re
from itertools import islice

import numpy as np
import pytest
from scipy.signal import lfilter

from mlxopto.capture import checks, plan, signals
from mlxopto.capture.interface import Recording
from mlxopto.devices import DEVICES, Device, device
from mlxopto.errors import WorkError
from tests.capture.rack import RATE, Rack

SECONDS = 4.0
LOUD = 0.9  # seconds into a take, where the probe is at full level


def padded(x: np.ndarray) -> np.ndarray:
    return np.concatenate([x, np.zeros(8000, np.float32)])


def set_up(rack: Rack) -> checks.Setup:
    tail = np.zeros(round(signals.LONGEST_S * RATE), np.float32)
    return checks.set_up(rack.play(np.concatenate([signals.train_of_sweeps(RATE), tail])), RATE)


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


def high_passed(x: np.ndarray, hertz: float) -> np.ndarray:
    return lfilter([1, -1], [1, -np.exp(-2 * np.pi * hertz / RATE)], x).astype(np.float32)


def late(count: int):
    return lambda y: np.concatenate([np.zeros(count), y[:-count]])


@pytest.mark.parametrize("noise", [0, 1e-4, 3e-4])
@pytest.mark.parametrize("name", DEVICES)
def test_good_takes_are_kept_aligned_to_the_sample(name, noise):
    unit = DEVICES[name]
    rack = Rack(unit, delay=777.0, gain=-0.4, noise=noise)
    setup = set_up(rack)
    assert (setup.aligned_by, setup.polarity) == (777, -1)
    assert setup.spread < 0.02
    for number, setting in enumerate(islice(plan.settings(unit.panel), 10)):
        rack.setting = setting
        x = signals.take(SECONDS, RATE, number)
        checked = checks.check_take(x, rack.play(padded(x)), setup, None, 0.0)
        assert not checked.problems
        assert all("above the noise" in doubt for doubt in checked.doubts)
        np.testing.assert_allclose(checked.y, 0.4 * unit.process(x, RATE, setting), atol=max(1e-6, 6 * noise))


@pytest.mark.parametrize("noise", [1e-5, 1e-4, 1e-3])
def test_a_high_pass_in_the_unit_is_no_gap(noise):
    """It moves zero crossings of low notes by milliseconds."""
    rack = Rack(Device("filter", "", device("vca").panel, lambda x, rate, setting: high_passed(x, 40), 20.0), noise=noise)
    setup = set_up(rack)
    for number in range(8):
        x = signals.take(8.0, RATE, number)
        checked = checks.check_take(x, rack.play(padded(x)), setup, None, 0.0)
        assert (checked.problems, checked.doubts) == ((), ())


@pytest.mark.parametrize("delay", [0.0, 37.5, 500.0, 12000.0, 23000.0])
def test_any_delay_of_a_plain_wire_is_found(delay):
    """Where nothing compresses, all sweeps come back alike."""
    for seed in range(4):
        rack = Rack(Device("wire", "", device("vca").panel, lambda x, rate, setting: x, 20.0), delay=delay)
        rack._rng = np.random.default_rng(seed)
        setup = set_up(rack)
        assert setup.delay == pytest.approx(delay, abs=0.01)
        x = signals.take(2.0, RATE, seed)
        tail = np.zeros(round(delay) + 4800, np.float32)
        checked = checks.check_take(x, rack.play(np.concatenate([x, tail])), setup, None, 0.0)
        assert (checked.problems, checked.doubts) == ((), ())
        assert checked.delay == pytest.approx(delay, abs=0.01)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (lost(64), r"64\.0 samples were lost at 3\.\d s"),
        (lost(1), r"1\.0 samples were lost"),
        (lambda y: np.concatenate([y[:150_000], y[149_744:]])[: len(y)], r"256\.0 samples were put in"),
        (late(32), r"the delay is 1266\.\d samples and was 1234\.\d at the set-up: the latency has changed"),
        (late(1), r"the delay is 1235\.\d samples .* the latency has changed"),
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


@pytest.mark.parametrize("samples", [64, 128, 480, 2000])
@pytest.mark.parametrize("offset", [0.0, 1e-3])
def test_a_gap_without_any_shift_is_for_the_user_to_judge(samples, offset):
    rack = Rack()
    rack.faults = [lambda y: y + offset]
    setup, x = set_up(rack), signals.take(SECONDS, RATE, 0)
    y = replaced(1234 + int(LOUD * RATE / 2), np.zeros(samples))(rack.play(padded(x)).y) + np.float32(offset)
    checked = checks.check_take(x, Recording(y, {}), setup, None, 0.0)
    assert not checked.problems
    assert re.search(r"nothing came back for \d+ ms, first at 0\.4", checked.doubts[0]), checked.doubts


def test_a_quiet_return_may_be_kept():
    """An input knob turned far down is a setting like any other."""
    rack = Rack(gain=0.003, noise=3e-5)
    assert re.fullmatch(r"it is only 1\d dB above the noise", judged(rack).doubts[0])


def test_drop_outs_that_the_sound_system_reports_are_for_the_user_to_judge():
    checked = judged(Rack(), xruns={"input overflow": 2})
    assert not checked.problems
    assert checked.doubts == ("the sound system reported a drop-out: input overflow",)


def test_knobs_that_were_not_turned_are_noticed_through_noise_and_other_material():
    rack = Rack()
    before = judged(rack, seed=1).y
    assert judged(rack, before=before, seed=2).doubts == ("it is the same as the take before; were the knobs turned?",)
    rack.setting = device("vca").panel.setting({"ratio": 4.4})
    assert judged(rack, before=before, seed=2).doubts == ()


def test_the_interface_alone_aligns_takes_of_units_without_delay_of_their_own():
    setup = checks.Setup(RATE, 1000.6, 0.0, 1, 0.0, -100.0, -20.0, 1001)
    assert setup.without_the_unit(1000.4).aligned_by == 1000
    assert setup.without_the_unit(936.4).aligned_by == 1001


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (lambda y: np.zeros(len(y)), "did not come back"),
        (lambda y: 0.1 * np.random.default_rng(1).standard_normal(len(y)), "did not come back"),
        (lambda y: np.clip(30 * y, -1, 1), "clips"),
        (lambda y: np.concatenate([y[:100_000], y[100_016:], np.zeros(16)]), "the delay is not steady"),
    ],
)
def test_a_set_up_that_cannot_be_is_refused(fault, said):
    rack = Rack()
    rack.faults = [fault]
    with pytest.raises(WorkError, match=said):
        set_up(rack)
