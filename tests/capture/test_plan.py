"""Settings that fill a panel evenly and that a person can set."""

from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlxopto.capture import plan
from mlxopto.capture.panels import PANELS
from mlxopto.controls import Control, Panel
from mlxopto.devices import DEVICES

ALL = {**PANELS, **{name: unit.panel for name, unit in DEVICES.items()}}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("count", [8, 24, 60])
def test_every_knob_is_covered_evenly_and_to_its_ends(name, count):
    panel = ALL[name]
    settings = list(islice(plan.settings(panel), count))
    positions = np.array([panel.normalise(setting) for setting in settings])
    for column, control in zip(positions.T, panel.controls, strict=True):
        if control.taper == "steps":
            counts = np.bincount(((column + 1) / 2 * (control.high - control.low)).round().astype(int))
            assert counts.max() - counts.min() <= 1 + count // 5
        else:
            ends = np.sort(np.concatenate([[-1.0], column, [1.0]]))
            assert np.diff(ends).max() < 2 * 2.7 / count + 0.13  # no wide hole, the digits that can be set allowed for


@pytest.mark.parametrize("name", ALL)
def test_no_setting_comes_twice_nor_is_it_the_one_that_validation_has(name):
    panel = ALL[name]
    settings = [tuple(setting.values()) for setting in islice(plan.settings(panel), 200)]
    assert len(set(settings)) == len(settings)
    assert tuple(plan.middle(panel).values()) not in settings
    for setting in settings:
        panel.setting(dict(zip((control.name for control in panel.controls), setting, strict=True)))


def test_switches_alone_come_to_an_end():
    panel = Panel((Control("mode", "", 0, 1, taper="steps"), Control("speed", "", 0, 2, taper="steps")))
    assert len(list(plan.settings(panel))) == 6 - 1  # validation has one


@given(low=st.floats(-100, 100), width=st.floats(0.01, 200), share=st.floats(0, 1), taper=st.sampled_from(["linear", "log"]))
def test_a_person_can_set_it(low, width, share, taper):
    low = abs(low) + 0.001 if taper == "log" else low
    control = Control("knob", "dB", low, low + width, taper=taper)
    value = control.denormalise(2 * share - 1)
    settable = plan.settable(control, value)
    assert control.low <= settable <= control.high
    away = abs(settable - value)
    assert away <= (0.06 * abs(value) if taper == "log" else 0.06 * width)
    if control.low < settable < control.high and taper == "log":
        assert float(f"{settable:.2g}") == pytest.approx(settable)


@pytest.mark.parametrize("count", [4, 8, 24])
def test_a_quarter_is_kept_for_the_test_and_a_quarter_tested_on_new_material(count):
    panel = PANELS["la2a"]
    chosen = list(islice(plan.settings(panel), count))
    takes = plan.takes(panel, chosen, 20.0)
    splits = [take.split for take in takes]
    assert splits[:2] == ["val", "val"]
    assert [take.again for take in takes] == [False, True] + [False] * (len(takes) - 2)
    assert splits.count("unseen") == splits.count("seen") == count // 4
    assert splits.count("train") == count - count // 4
    train, unseen, seen = ([t.setting for t in takes if t.split == split] for split in ("train", "unseen", "seen"))
    assert all(setting not in train for setting in unseen)
    assert all(setting in train for setting in seen)
    assert len({take.seed for take in takes if not take.again}) == len(takes) - 1
    if count == 24:
        assert len({setting["mode"] for setting in unseen}) == 2
