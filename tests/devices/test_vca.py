"""The virtual VCA bus compressor behaves as such a unit does."""

import numpy as np
import pytest

from mlxopto.devices import device
from tests.devices.bench import RATE, burst, gain_after, harmonic, slope, static_gain_db, time_to_recover, tone

VCA = device("vca")


def at(**knobs: float) -> dict[str, float]:
    return VCA.panel.setting({"threshold": -10, "ratio": 4, "attack": 3, "release": 300, "auto": 0, **knobs})


@pytest.mark.parametrize("ratio", [2, 4, 10])
def test_the_slope_above_the_knee_is_the_ratio(ratio):
    assert slope(VCA, at(ratio=ratio), -20, -5) == pytest.approx(ratio, rel=0.02)


def test_the_threshold_is_in_dbu():
    assert static_gain_db(VCA, at(), -34) == pytest.approx(0, abs=0.01)
    assert static_gain_db(VCA, at(), -25) == pytest.approx(-0.75 * 5, abs=0.1)


def test_the_detector_hears_the_mean_square_and_not_the_peak():
    """Two tones have the same power as one of 3 dB more, and peaks of 6 dB more."""
    x = (tone(-10, 3.0, 1000) + tone(-10, 3.0, 1370)).astype(np.float32)
    y = VCA.process(x, RATE, at(attack=30, release=1200))
    gain = 10 * np.log10(np.mean(y[-RATE:] ** 2) / np.mean(x[-RATE:] ** 2))
    assert gain == pytest.approx(static_gain_db(VCA, at(), -7), abs=0.7)


@pytest.mark.parametrize("release", [100, 300, 1200])
def test_release_follows_its_knob(release):
    gain = gain_after(VCA, at(release=release), burst(-5, -60, 0.5), 0.5)
    assert 1000 * time_to_recover(gain, 0.63) == pytest.approx(release, rel=0.15, abs=20)


@pytest.mark.parametrize("attack", [3, 10, 30])
def test_attack_follows_its_knob(attack):
    x = np.concatenate([tone(-60, 1.0), tone(-5, 1.0)]).astype(np.float32)
    y = VCA.process(x, RATE, at(attack=attack, release=1200))
    frames = (RATE, 48)  # milliseconds
    level = [10 * np.log10(np.mean(np.square(s[RATE:].reshape(-1, frames[1])), axis=1)) for s in (x, y)]
    gain = level[1] - level[0]
    assert np.argmax(gain < 0.63 * gain[500]) == pytest.approx(attack, rel=0.3, abs=3)


def test_auto_release_depends_on_what_came_before():
    short, held = (gain_after(VCA, at(auto=1), burst(-5, -60, seconds), seconds) for seconds in (0.1, 5.0))
    assert held[0] == pytest.approx(short[0], abs=0.5)
    assert time_to_recover(held, 0.7) > 5 * time_to_recover(short, 0.7)
    manual = [gain_after(VCA, at(), burst(-5, -60, seconds), seconds) for seconds in (0.5, 5.0)]
    assert time_to_recover(manual[1], 0.7) == pytest.approx(time_to_recover(manual[0], 0.7), abs=0.02)


def test_it_is_nearly_clean():
    assert harmonic(VCA, at(threshold=15), -10, 3) < 1e-3
    assert harmonic(VCA, at(threshold=15), -10, 2) < 1e-5
