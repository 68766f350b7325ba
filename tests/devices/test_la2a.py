"""The virtual LA-2A behaves like the unit (public facts; the constants' sources stand in the device)."""

from itertools import pairwise

import numpy as np
import pytest

from mlxopto.devices import device
from tests.devices.bench import RATE, burst, gain_after, harmonic, slope, static_gain_db, time_to_recover, tone

LA2A = device("la2a")


def at(peak_reduction: float, mode: float = 0.0) -> dict[str, float]:
    return {"peak_reduction": peak_reduction, "mode": mode}


def test_more_peak_reduction_lowers_the_threshold():
    reductions = [static_gain_db(LA2A, at(knob), -10) for knob in (0, 20, 40, 60, 80, 100)]
    assert all(a > b for a, b in pairwise(reductions))
    assert reductions[0] == pytest.approx(0, abs=0.3)  # filters only
    assert reductions[-1] < -10


def test_compress_approaches_3_to_1_with_a_soft_knee():
    assert 2.4 < slope(LA2A, at(100), -12, 0) < 3.5
    assert slope(LA2A, at(100), -48, -40) < slope(LA2A, at(100), -36, -28) < slope(LA2A, at(100), -20, -12)


def test_limit_is_harder_than_compress():
    assert slope(LA2A, at(100, mode=1), -12, 0) > 1.5 * slope(LA2A, at(100), -12, 0)


def test_attack_takes_about_ten_milliseconds_and_less_with_more_light():
    def attack(level_dbfs: float) -> float:
        x = burst(level_dbfs, -60, 1.0)
        gain = gain_after(LA2A, at(80), x, 0.0)
        return np.argmax(gain < 0.63 * gain[: int(0.3 * 100)].min()) * 10.0

    assert 5 <= attack(-12) <= 25
    assert attack(0) <= attack(-12)


def test_release_has_a_fast_and_a_slow_stage():
    gain = gain_after(LA2A, at(80), burst(-6, -36, 1.0), 1.0)
    half, most = time_to_recover(gain, 0.5), time_to_recover(gain, 0.95)
    assert 0.04 <= half <= 0.08
    assert 0.5 <= most <= 8
    assert most > 10 * half  # one exponential would take 4.3 times as long


def test_release_depends_on_how_long_the_cell_was_lit():
    """A burst and a held tone, the burst louder so that both end at the same reduction."""
    held = gain_after(LA2A, at(80), burst(-6, -36, 6.0), 6.0)
    levels = np.arange(-6, -3, 0.1)
    bursts = [gain_after(LA2A, at(80), burst(level, -36, 0.08), 0.08) for level in levels]
    short = min(bursts, key=lambda gain: abs(gain[0] - held[0]))
    assert short[0] == pytest.approx(held[0], abs=0.3)
    assert time_to_recover(held, 0.9) > 3 * time_to_recover(short, 0.9)


def level_for(reduction_db: float, setting: dict[str, float], frequency: float = 1000.0) -> float:
    """The level in dBFS of a tone that settles at a reduction."""
    levels = np.arange(-30.0, 0.5, 1.0)
    reductions = [-static_gain_db(LA2A, setting, level, frequency) for level in levels]
    return float(np.interp(reduction_db, reductions, levels))


def test_after_ten_seconds_at_ten_decibels_the_last_of_the_release_takes_long():
    """Unit manuals and six units measured in 2025: t95 / t50 at least 8, t95 twice that after 0.2 s at least."""
    level = level_for(10, at(95))
    long, short = (gain_after(LA2A, at(95), burst(level, -36, seconds), seconds) for seconds in (10.0, 0.2))
    assert time_to_recover(long, 0.95) >= 8 * time_to_recover(long, 0.5)
    assert time_to_recover(long, 0.95) >= 2 * time_to_recover(short, 0.95)


def test_the_cell_follows_low_tones_which_makes_a_third_harmonic_of_one_to_four_percent():
    """At 6 dB of reduction, as six units measured in 2025."""
    setting = at(85)
    x = tone(level_for(6, setting, 60.0), 3.0, 60.0).astype(np.float32)
    spectrum = np.abs(np.fft.rfft(LA2A.process(x, RATE, setting)[-RATE:] * np.hanning(RATE)))
    second, third = spectrum[120] / spectrum[60], spectrum[180] / spectrum[60]
    assert 0.009 <= np.hypot(second, third) <= 0.042
    assert third > 4 * second


def test_second_harmonic_dominates_and_distortion_rises_with_level_below_half_a_percent():
    levels = (-30, -20, -10)
    second = [harmonic(LA2A, at(0), level, 2) for level in levels]
    assert all(a < b for a, b in pairwise(second))
    for level, amount in zip(levels, second, strict=True):
        assert harmonic(LA2A, at(0), level, 3) < amount < 0.005


def test_band_is_flat_within_one_decibel_from_30_hz_to_15_khz():
    for frequency in (30, 100, 1000, 5000, 15000):
        assert static_gain_db(LA2A, at(0), -40, frequency) == pytest.approx(0, abs=1.0)


def test_it_sounds_the_same_at_another_sample_rate():
    x = burst(-10, -40, 0.5)
    slow = gain_after(LA2A, at(70), x, 0.5)
    fast = gain_after(LA2A, at(70), burst(-10, -40, 0.5, rate=2 * RATE), 0.5, rate=2 * RATE)
    np.testing.assert_allclose(slow[:50], fast[:50], atol=0.5)
