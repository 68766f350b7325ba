"""The virtual CL 1B behaves as its panel and manual say."""

from itertools import pairwise

import numpy as np
import pytest

from mlxopto.devices import device
from tests.devices.bench import burst, gain_after, harmonic, slope, static_gain_db, time_to_recover

CL1B = device("cl1b")
THRESHOLD_DBFS = -30  # what -10 dBu is


def at(**knobs: float) -> dict[str, float]:
    return CL1B.panel.setting({"threshold": -10, "ratio": 4, "attack": 5, "release": 300, **knobs})


@pytest.mark.parametrize("ratio", [2, 4, 10])
def test_at_the_threshold_the_gain_is_reduced_by_one_decibel(ratio):
    assert static_gain_db(CL1B, at(ratio=ratio), THRESHOLD_DBFS) == pytest.approx(-1, abs=0.25)


@pytest.mark.parametrize("ratio", [2, 4, 10])
def test_the_slope_well_above_the_threshold_is_the_ratio(ratio):
    assert slope(CL1B, at(ratio=ratio), -15, -5) == pytest.approx(ratio, rel=0.1)


def test_the_knee_is_soft():
    slopes = [slope(CL1B, at(ratio=10), low, low + 3) for low in (-45, -36, -31, -26)]
    assert slopes[0] == pytest.approx(1, abs=0.02)
    assert all(a < b for a, b in pairwise(slopes))


def test_threshold_at_plus_20_dbu_is_off():
    assert static_gain_db(CL1B, at(threshold=20, ratio=2), -12) == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("attack", [20, 60, 150, 300])
def test_attack_follows_its_knob(attack):
    gain = gain_after(CL1B, at(attack=attack), burst(-5, -60, 3.0), 0.0)
    measured = np.argmax(gain < 0.63 * gain[250]) * 10
    assert 0.7 * attack - 10 <= measured <= 1.4 * attack + 10


@pytest.mark.parametrize("release", [100, 500, 2000])
def test_release_follows_its_knob_and_the_cell_adds_to_it(release):
    gain = gain_after(CL1B, at(release=release), burst(-10, -60, 0.5), 0.5)
    measured = 1000 * time_to_recover(gain, 0.63)
    assert 0.8 * release <= measured <= 2.0 * release + 100


def test_release_depends_on_how_long_the_cell_was_lit():
    short = gain_after(CL1B, at(release=50), burst(-10, -60, 0.2), 0.2)
    held = gain_after(CL1B, at(release=50), burst(-10, -60, 6.0), 6.0)
    assert held[0] == pytest.approx(short[0], abs=0.5)
    assert time_to_recover(held, 0.97) > 1.5 * time_to_recover(short, 0.97)


def test_even_harmonics_are_smaller_than_the_single_ended_units():
    levels = (-30, -20, -10)
    second = [harmonic(CL1B, at(threshold=20), level, 2) for level in levels]
    assert all(a < b for a, b in pairwise(second))
    assert second[-1] < 0.5 * harmonic(device("la2a"), {"peak_reduction": 0, "mode": 0}, -10, 2)
