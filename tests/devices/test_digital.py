"""The virtual digital compressor is the one of the article."""

import numpy as np
import pytest

from mlxopto.devices import device
from tests.devices.bench import RATE

DIGITAL = device("digital")


def at(**knobs: float) -> dict[str, float]:
    return DIGITAL.panel.setting({"threshold": -30, "ratio": 4, "knee": 0, "attack": 5, "release": 150, **knobs})


def settled_db(setting: dict[str, float], level_db: float) -> float:
    """Gain for a constant voltage after five seconds."""
    x = np.full(5 * RATE, 10 ** (level_db / 20), np.float32)
    return float(20 * np.log10(DIGITAL.process(x, RATE, setting)[-1] / x[-1]))


@pytest.mark.parametrize("ratio", [1.2, 4, 20])
@pytest.mark.parametrize("knee", [0, 6, 24])
def test_the_static_curve_is_equation_4(ratio, knee):
    for level in (-55.0, -41.0, -33.0, -30.0, -27.0, -19.0, -3.0):
        over = level + 30
        if 2 * over < -knee:
            expected = 0.0
        elif 2 * abs(over) <= knee and knee:
            expected = (1 / ratio - 1) * (over + knee / 2) ** 2 / (2 * knee)
        else:
            expected = (1 / ratio - 1) * max(over, 0.0)
        assert settled_db(at(ratio=ratio, knee=knee), level) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize(("attack", "release"), [(0.1, 5), (5, 150), (200, 2000)])
def test_attack_and_release_are_the_time_constants_of_the_decibels(attack, release):
    loud, quiet = np.full(round(2.5 * RATE), 10 ** (-10 / 20)), np.full(6 * RATE, 10 ** (-60 / 20))
    x = np.concatenate([loud, quiet]).astype(np.float32)
    gain = 20 * np.log10(DIGITAL.process(x, RATE, at(attack=attack, release=release)) / x)
    for start, end, first, seconds in ((0, 0.75 * -20, 0, attack), (0.75 * -20, 0, len(loud), release)):
        at_time_constant = gain[first + round(seconds * 1e-3 * RATE) - 1]
        assert at_time_constant == pytest.approx(end + (start - end) * np.exp(-1), abs=0.25)


def test_nothing_below_the_threshold_is_changed():
    x = (0.01 * np.random.default_rng(0).uniform(-1, 1, RATE)).astype(np.float32)
    np.testing.assert_array_equal(DIGITAL.process(x, RATE, at(threshold=-20)), x)
