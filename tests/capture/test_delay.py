"""Delay to a fraction of a sample, whatever the unit does to the gain."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlxopto.capture import delay, signals
from mlxopto.devices import DEVICES
from tests.capture.rack import RATE, Rack, delayed


@settings(max_examples=30, deadline=None)
@given(samples=st.floats(0, 3000), gain=st.floats(0.01, 1.0), inverted=st.booleans(), seed=st.integers(0, 99))
def test_any_delay_is_found_to_a_hundredth_of_a_sample(samples, gain, inverted, seed):
    x = signals.sweep(RATE)
    y = delayed(np.concatenate([x, np.zeros(3200 + 100)]), samples) * (-gain if inverted else gain)
    y += 1e-4 * gain * np.random.default_rng(seed).standard_normal(len(y))
    found = delay.measure(x, y.astype(np.float32), 3200)
    assert found.samples == pytest.approx(samples, abs=0.01)
    assert found.polarity == (-1 if inverted else 1)


@pytest.mark.parametrize("name", DEVICES)
def test_a_compressor_does_not_move_it(name):
    """The coupling filters of tube units lead by up to a twentieth of a sample where the sweep has its energy."""
    rack = Rack(DEVICES[name])
    y = rack.play(np.concatenate([signals.sweep(RATE), np.zeros(5000, np.float32)])).y
    assert delay.measure(signals.sweep(RATE), y, 4000).samples == pytest.approx(1234.3, abs=0.06)


def test_noise_is_not_taken_for_the_sweep():
    y = 0.1 * np.random.default_rng(0).standard_normal(40000)
    assert delay.measure(signals.sweep(RATE), y.astype(np.float32), 5000).likeness < delay.LIKE
