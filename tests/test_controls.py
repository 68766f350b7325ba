"""Knobs: what people type, what the network sees."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlxopto.controls import Control, Panel, known_unit, latin_hypercube
from mlxopto.devices import DEVICES
from mlxopto.errors import RequestError

CONTROLS = [control for device in DEVICES.values() for control in device.panel.controls if control.taper != "steps"]
ATTACK = DEVICES["cl1b"].panel["attack"]
MODE = DEVICES["la2a"].panel["mode"]


@given(st.sampled_from(CONTROLS), st.floats(0, 1))
def test_parse_undoes_format(control: Control, share: float):
    value = control.low + share * (control.high - control.low)
    assert control.parse(control.format(value)) == value


@given(st.sampled_from(CONTROLS), st.floats(-1, 1))
def test_normalise_undoes_denormalise(control: Control, position: float):
    assert control.normalise(control.denormalise(position)) == pytest.approx(position, abs=1e-9)


@given(st.text(max_size=12))
def test_any_text_gives_a_value_in_range_or_a_request_error(text: str):
    try:
        value = ATTACK.parse(text)
    except RequestError as error:
        assert "attack must be" in str(error)
    else:
        assert ATTACK.low <= value <= ATTACK.high


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3ms", 3),
        ("3 ms", 3),
        ("0.003s", 3),
        ("0.003 s", 3),
        ("3000us", 3),
        ("3", 3),
        ("fast", 1),
        ("FAST", 1),
        (" slow ", 150),
        ("3e0MS", 3),
        ("3 mS", 3),
        ("3 msec", 3),
        ("3000 \u00b5s", 3),
        ("3000 \u03bcs", 3),
        ("3000 usec", 3),
        ("0.003 sec", 3),
        ("0,003 seconds", 3),
        ("3,5ms", 3.5),
        ("3\u00a0ms", 3),
    ],
)
def test_times_are_read_in_any_unit_of_time(text: str, value: float):
    assert ATTACK.parse(text) == pytest.approx(value, rel=1e-12)


def test_ratio_and_level_notation():
    panel = DEVICES["cl1b"].panel
    assert panel["ratio"].parse("4:1") == 4
    assert panel["ratio"].parse("4") == 4
    assert panel["threshold"].parse("-20dBu") == -20


@pytest.mark.parametrize("text", ["", "quick", "3 m", "3dB", "4:1", "nan", "inf", "1e999", "-3ms", "0", "301ms", "0.4 ms"])
def test_what_is_no_attack_time_is_refused_with_the_range(text: str):
    with pytest.raises(RequestError, match=r"attack must be 0\.5 ms to 300 ms or fast, medium, slow, got"):
        ATTACK.parse(text)


def test_a_switch_takes_its_labels_and_nothing_between():
    assert MODE.parse("limit") == 1
    assert MODE.format(1) == "limit"
    with pytest.raises(RequestError, match="mode must be one of compress, limit"):
        MODE.parse("0.5")


def test_extrapolation_goes_beyond_a_knob_but_not_beyond_a_switch_or_below_zero_time():
    assert ATTACK.parse("500ms", extrapolate=True) == 500
    with pytest.raises(RequestError):
        MODE.parse("2", extrapolate=True)
    with pytest.raises(RequestError):
        ATTACK.parse("-1ms", extrapolate=True)


def test_log_taper_has_its_middle_at_the_geometric_mean():
    assert ATTACK.denormalise(0.0) == pytest.approx(math.sqrt(0.5 * 300))


def test_unknown_control_lists_what_there_is():
    with pytest.raises(RequestError, match="no control 'knee' here; the controls are threshold, ratio, attack, release"):
        DEVICES["cl1b"].panel.setting({"knee": 3})


@pytest.mark.parametrize(
    "declaration",
    [
        {"low": 1, "high": 1},
        {"low": 0, "high": 1, "taper": "log"},
        {"low": 0, "high": 1, "taper": "cubic"},
        {"low": 0, "high": 1, "default": 2},
        {"low": 0, "high": 1, "positions": {"x": 3}},
        {"low": 0, "high": 1, "positions": {"3": 1}},
    ],
)
def test_contradictory_declarations_are_refused(declaration: dict):
    with pytest.raises(RequestError):
        Control("knob", "", **declaration)


def test_latin_hypercube_puts_one_setting_into_each_slice_of_each_knob():
    panel = Panel((Control("a", "", 0, 1), Control("b", "ms", 1, 1000, taper="log")))
    rows = [[0.3, 0.9], [0.1, 0.2], [0.8, 0.5], [0.5, 0.1]]
    settings = latin_hypercube(panel, 4, rows)
    for control in panel.controls:
        slices = sorted(int((control.normalise(s[control.name]) + 1) / 2 * 4) for s in settings)
        assert slices == [0, 1, 2, 3]


def test_signs_and_levels_as_people_paste_them():
    threshold = DEVICES["cl1b"].panel["threshold"]
    assert threshold.parse("\u221210 dBu") == -10
    assert threshold.parse("-20dBFS", dbu_at_full_scale=20.0) == 0
    with pytest.raises(RequestError, match="and how many dBu full scale is, is not known"):
        threshold.parse("-20 dBFS")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("quick", "got 'quick', which is no number and no position"),
        ("3 kg", "got '3 kg', whose unit 'kg' does not fit"),
        ("3 min", "whose unit 'min' does not fit"),
        ("500ms", "got 500 ms, which is beyond that"),
        ("inf", "got inf ms, which is beyond that"),
        ("1,000 ms", "whose comma may be a point or stand for a thousand"),
        ("x" * 500, "got 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx ..., which is no number"),
    ],
)
def test_a_refusal_says_what_was_not_understood(text, why):
    with pytest.raises(RequestError) as caught:
        ATTACK.parse(text)
    assert why in str(caught.value)


def test_an_infinite_ratio_is_understood_and_beyond_the_range():
    with pytest.raises(RequestError, match="got inf:1, which is beyond that"):
        DEVICES["cl1b"].panel["ratio"].parse("inf:1")


@pytest.mark.parametrize(
    ("unit", "known"), [("mS", "ms"), ("sec.", "s"), ("\u00b5s", "us"), ("dB", "dB"), ("0=RMS 1=peak", "0=RMS 1=peak")]
)
def test_units_are_spelt_one_way(unit, known):
    assert known_unit(unit) == known


@pytest.mark.parametrize("unit", ["min", "ns", "hours", "Seconds per dB sec", "kS"])
def test_an_unknown_unit_of_time_is_refused(unit):
    with pytest.raises(RequestError, match=r"unit of time .* is not known; us, ms and s are"):
        known_unit(unit)


@pytest.mark.parametrize("value", [None, [3], True, {"value": 3}])
def test_a_value_of_another_type_is_a_type_error_that_names_the_control(value):
    with pytest.raises(TypeError, match="attack must be a number or text"):
        DEVICES["cl1b"].panel.setting({"attack": value})
