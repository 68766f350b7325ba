"""The virtual FET limiter behaves as such a unit does."""

import numpy as np
import pytest

from mlxopto.devices import device
from tests.devices.bench import RATE, burst, gain_after, harmonic, slope, static_gain_db, time_to_recover, tone

FET = device("fet")


def at(**knobs: float) -> dict[str, float]:
    return FET.panel.setting({"input": 20, "ratio": 4, "attack": 0.2, "release": 300, **knobs})


@pytest.mark.parametrize("ratio", [4, 8, 20])
def test_the_loop_makes_the_ratio(ratio):
    """The detector follows the half waves of the tone, so that the ratio falls short of its number by up to a quarter."""
    assert 0.75 * ratio < slope(FET, at(ratio=ratio), -18, -8) < 1.05 * ratio


def test_the_input_knob_moves_the_threshold_and_nothing_else():
    assert static_gain_db(FET, at(), -40) == pytest.approx(0, abs=0.1)
    for level in (-30, -20):
        assert static_gain_db(FET, at(input=30), level) == pytest.approx(static_gain_db(FET, at(input=20), level + 10), abs=0.2)


def test_a_higher_ratio_has_a_higher_threshold():
    assert static_gain_db(FET, at(ratio=20), -24) > static_gain_db(FET, at(ratio=4), -24)


@pytest.mark.parametrize("release", [50, 300, 1100])
def test_release_follows_its_knob(release):
    gain = gain_after(FET, at(release=release), burst(-10, -60, 0.5), 0.5)
    assert 1000 * time_to_recover(gain, 0.63) == pytest.approx(release, rel=0.15, abs=15)


@pytest.mark.parametrize("attack", [0.02, 0.2, 0.8])
def test_attack_is_over_in_a_few_of_its_times(attack):
    """A step of a constant voltage, so that half waves do not blur it."""
    x = np.full(RATE // 10, 0.5, np.float32)
    gain = FET.process(x, RATE, at(attack=attack, release=1100)) / x
    settled = gain[round(0.02 * RATE)]
    reached = np.argmax(gain < gain[0] + 0.63 * (settled - gain[0])) / RATE * 1000
    assert reached <= attack + 2000 / RATE


def test_distortion_grows_with_fast_times_and_with_reduction():
    def distortion(level: float, **knobs: float) -> float:
        y = FET.process(tone(level, 2.0, 100).astype(np.float32), RATE, at(**knobs))[-RATE:]
        spectrum = np.abs(np.fft.rfft(y * np.hanning(RATE)))
        return float(np.hypot(*spectrum[[200, 300]]) / spectrum[100])

    assert distortion(-10, attack=0.02, release=50) > 1.5 * distortion(-10, attack=0.8, release=1100)
    assert harmonic(FET, at(), -10, 2) > 3 * harmonic(FET, at(), -35, 2)
