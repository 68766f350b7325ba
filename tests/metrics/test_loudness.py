"""The loudness meter against pyloudnorm and the standard's reference tone."""

import numpy as np
import pyloudnorm
import pytest

from mlxopto.metrics.loudness import LoudnessMeter


@pytest.mark.parametrize("rate", [44100, 48000, 96000])
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_it_agrees_with_pyloudnorm(rate, channels):
    rng = np.random.default_rng(channels)
    levels = np.repeat(10 ** rng.uniform(-3, -0.5, 30), rate // 5)[:, None]
    x = (rng.standard_normal((rate * 6, channels)) * levels).astype(np.float32)
    meter = LoudnessMeter(rate, channels)
    at = 0
    while at < len(x):
        step = int(rng.integers(1, 9000))
        meter.add(x[at : at + step])
        at += step
    assert meter.integrated() == pytest.approx(pyloudnorm.Meter(rate).integrated_loudness(x.astype(np.float64)), abs=0.05)


def test_a_full_scale_1_khz_tone_in_one_channel_is_minus_3_lufs():
    t = np.arange(5 * 48000) / 48000
    meter = LoudnessMeter(48000, 1)
    meter.add(np.sin(2 * np.pi * 997 * t).astype(np.float32)[:, None])
    assert meter.integrated() == pytest.approx(-3.01, abs=0.02)


def test_silence_and_very_short_sounds_have_no_loudness():
    meter = LoudnessMeter(48000, 2)
    assert meter.integrated() is None
    meter.add(np.zeros((96000, 2), np.float32))
    assert meter.integrated() is None
