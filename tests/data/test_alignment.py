"""Lag and polarity: what was put in is found, nothing is invented."""

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from mlxopto.data import program
from mlxopto.data.alignment import MAX_LAG, align
from mlxopto.devices import DEVICES
from tests.conftest import shared

RATE = 48000
MUSIC = program.generate(40.0, RATE, np.random.SeedSequence(5))


def late(y: np.ndarray, lag: int) -> np.ndarray:
    """The signal moved by so many samples, of its length."""
    return np.concatenate([np.zeros(lag), y])[: len(y)] if lag >= 0 else np.concatenate([y[-lag:], np.zeros(-lag)])


def excerpt(number: int, seconds: float = 4.0) -> np.ndarray:
    return MUSIC[number * RATE : round((number + seconds) * RATE)]


@settings(max_examples=25, deadline=None)
@given(st.integers(-MAX_LAG, MAX_LAG), st.sampled_from([1, -1]), st.integers(0, 35), st.sampled_from(list(DEVICES)))
def test_the_lag_through_a_device_is_found(lag, polarity, number, name):
    x = excerpt(number)
    device = DEVICES[name]
    y = device.process(x, RATE, device.panel.setting({}))
    found = align(x, polarity * late(y, lag))
    assert found.lag is not None
    assert abs(found.lag - lag) <= 1
    assert found.polarity == polarity
    assert found.steady


@pytest.mark.parametrize("jump", [-700, -40, 5, 40, 1500])
def test_samples_lost_or_put_in_are_noticed(jump):
    x = excerpt(3, 6.0)
    y = 0.5 * x
    middle = len(y) // 2
    y = (
        np.concatenate([y[:middle], np.zeros(jump), y[middle:]])
        if jump > 0
        else np.concatenate([y[:middle], y[middle - jump :]])
    )
    found = align(x, np.resize(y, len(x)))
    assert not found.steady
    assert found.lags[-1][1] - found.lags[0][1] == jump


@pytest.mark.parametrize("number", [0, 7, 19])
def test_other_material_and_a_lag_beyond_the_search_have_no_alignment(number):
    assert align(excerpt(number), excerpt(35 - number)).lag is None
    noise = np.random.default_rng(number).standard_normal((2, 3 * RATE))
    assert align(*noise).lag is None
    found = align(excerpt(number), late(excerpt(number), 5000))
    assert (found.lag, found.beyond) == (None, 5000)


def test_the_phase_of_a_filter_in_the_bass_is_no_lag():
    """A high-pass at 40 Hz leads by 20 samples and more at the note's 55 Hz; the note has overtones, as notes do."""
    t = np.arange(3 * RATE) / RATE
    rng = np.random.default_rng(0)
    x = sum(np.sin(2 * np.pi * 55 * k * t + rng.uniform(0, 6)) / k for k in range(1, 40)) * np.exp(-3 * (t % 0.7))
    y, state, rate = np.empty_like(x), 0.0, 2 * np.pi * 40 / RATE
    for i, sample in enumerate(x):
        state += rate * (sample - state)
        y[i] = sample - state
    plain = np.correlate(y[:RATE], x[200 : RATE - 200], "valid")
    assert int(np.argmax(plain)) - 200 < -2  # what a plain correlation takes it for
    found = align(x, y)
    assert (found.lag, found.polarity, found.steady) == (0, 1, True)


@pytest.mark.parametrize("frequency", [50, 440, 5000])
def test_a_tone_tells_no_lag_and_so_none_is_told(frequency):
    t = np.arange(2 * RATE) / RATE
    found = align(np.sin(2 * np.pi * frequency * t), 0.3 * np.sin(2 * np.pi * frequency * t + 0.7))
    assert (found.lag, found.polarity, found.steady) == (0, 1, True)


@pytest.mark.parametrize("x", [np.zeros(RATE), np.ones(RATE), np.zeros(1), np.zeros(0)])
def test_silence_has_no_alignment(x):
    assert align(x, x).lag is None


@pytest.mark.parametrize("name", ["bass", "drumHH", "drumKick", "guitar", "sweep"])
def test_recordings_of_a_real_cl1b_at_one_shift_have_none(name):
    x, _ = soundfile.read(shared(f"hardware/cl1b_mc_{name}_input.wav"), dtype="float32")
    y, _ = soundfile.read(shared(f"hardware/cl1b_mc_{name}_target.wav"), dtype="float32")
    found = align(x, y)
    assert (found.lag, found.polarity, found.steady) == (0, 1, True)
