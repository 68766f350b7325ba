"""Error measures, on cases whose answer is known."""

import numpy as np
import pytest

from mlxopto import metrics


def test_esr_of_a_scaled_signal_is_the_square_of_what_is_missing(noise):
    assert metrics.esr(noise, 0.9 * noise) == pytest.approx(0.01, rel=1e-5)
    assert metrics.esr(noise, noise) == 0
    assert metrics.esr(noise, np.zeros_like(noise)) == 1
    assert metrics.esr(np.zeros(4), np.zeros(4)) == 0
    assert metrics.esr(np.zeros(4), np.ones(4)) == np.inf


def test_gain_error_of_a_half_decibel_offset_is_half_a_decibel(noise):
    off = noise * np.float32(10 ** (0.5 / 20))
    assert metrics.gain_error_db(noise, noise, off, 48000) == pytest.approx(0.5, abs=1e-3)


def test_gain_error_ignores_what_cannot_be_heard(noise):
    x = np.concatenate([noise[:48000], 1e-4 * noise[48000:]])
    y = np.concatenate([noise[:48000], noise[48000:]])
    assert metrics.gain_error_db(x, x, y, 48000) == pytest.approx(0, abs=1e-6)
