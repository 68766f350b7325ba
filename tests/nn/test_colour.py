"""The colour stage against Fourier's account of it."""

import mlx.core as mx
import numpy as np
import pytest

from mlxopto.nn import Colour

FAINT = 1e-4  # so that the curve does not count


def test_filters_that_have_learnt_silence_still_have_gradients():
    colour = Colour(48000)
    colour.fir = mx.zeros_like(colour.fir)
    gradient = mx.grad(lambda fir: (colour.update({"fir": fir}), colour.level())[1])(colour.fir)
    assert mx.isfinite(gradient).all()


@pytest.mark.parametrize("sample_rate", [8000, 48000, 96000])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_whatever_its_filters_have_learnt_1_khz_stays_as_loud_as_it_is(sample_rate, seed):
    colour, rng = Colour(sample_rate), np.random.default_rng(seed)
    for name, spread in (("fir", 1.0), ("pole_mix", 1.0), ("pole_logit", 2.0)):
        start = getattr(colour, name)
        colour[name] = start + mx.array(spread * rng.standard_normal(start.shape).astype(np.float32))
    impulse = np.zeros((1, 4 * sample_rate), np.float32)
    impulse[0, 0] = FAINT
    y, _ = colour(mx.array(impulse), colour.initial_state(1))
    response = np.fft.rfft(np.array(y, np.float64)[0] / FAINT)
    assert np.abs(response[4 * 1000]) == pytest.approx(1, abs=1e-5)
