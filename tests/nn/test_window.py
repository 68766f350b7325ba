"""What the last samples give: the sliding spectrum against numpy's, both layers and their gradients against the definition."""

import mlx.core as mx
import numpy as np
import pytest

from mlxopto.nn.window import BINS, FFT, WINDOW, magnitudes, spectrum_dense, window_dense

LAYERS = {
    "window": (window_dense, (3, WINDOW)),
    "half a window": (window_dense, (2, 32)),
    "spectrum": (spectrum_dense, (2, BINS)),
}


def heard(samples: int, width: int = WINDOW) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((2, width - 1 + samples))


def test_the_spectrum_is_that_of_a_window_filled_up_with_zeros():
    x = heard(40)
    expected = np.abs(np.fft.rfft(np.lib.stride_tricks.sliding_window_view(x, WINDOW, axis=1), FFT))
    np.testing.assert_allclose(np.array(magnitudes(mx.array(x, dtype=mx.float64))), expected, rtol=1e-9, atol=1e-12)
    assert expected.shape[-1] == BINS


def test_it_slides_for_a_minute_without_drifting():
    """Loud at first, then soft: an error that stays behind would show."""
    x = np.concatenate([heard(60 * 48000)[:1], 1e-3 * heard(1000)[:1]], axis=1).astype(np.float32)
    weight = np.random.default_rng(1).standard_normal((2, BINS)).astype(np.float32)
    y = np.array(spectrum_dense(mx.array(x), mx.array(weight), mx.zeros((2,))))[0, -100:]
    exact = np.array(magnitudes(mx.array(x[:, -(WINDOW + 99) :], dtype=mx.float64)))[0] @ weight.T
    np.testing.assert_allclose(y, exact, atol=1e-6)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("samples", [1, 5, 1023, 1024, 1025])
def test_native_layers_and_their_gradients_are_those_of_the_definition(name, samples):
    layer, shape = LAYERS[name]
    x = heard(samples, WINDOW if name == "spectrum" else shape[1])
    rng = np.random.default_rng(1)
    args = [x, rng.standard_normal(shape), rng.standard_normal(shape[0])]

    def outcome(dtype):
        arrays = [mx.array(a, dtype=dtype) for a in args]
        loss = lambda *a: mx.sin(0.05 * layer(*a)).sum()  # noqa: E731
        return [np.array(a) for a in (layer(*arrays), *mx.grad(loss, (0, 1, 2))(*arrays))]

    for ours, theirs in zip(outcome(mx.float32), outcome(mx.float64), strict=True):
        assert np.abs(ours - theirs).max() <= 2e-5 * max(1.0, np.abs(theirs).max())
