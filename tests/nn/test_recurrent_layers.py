"""Recurrent layers: the time constants that scans start with, and the interleaved GRU."""

import mlx.core as mx
import numpy as np
import pytest

from mlxopto.nn import GRU, S4D
from mlxopto.nn.times import LONGEST_S, SHORTEST_S, step_rates

RATE = 48000


def test_step_rates_run_from_the_longest_to_the_shortest_time_constant():
    seconds = 1 / (np.array(step_rates(5, RATE)) * RATE)
    np.testing.assert_allclose(seconds[[0, -1]], [LONGEST_S, SHORTEST_S], rtol=1e-4)
    np.testing.assert_allclose(seconds[1:] / seconds[:-1], (seconds[1] / seconds[0]), rtol=1e-4)


def test_a_fresh_s4d_forgets_with_these_time_constants():
    """With nothing coming in, what is left after a tenth of a second of the slowest state."""
    layer = S4D(1, 4, RATE)
    _, state = layer(mx.zeros((1, RATE // 10, 1)), mx.ones((1, 1, 4, 2)))
    assert float(state[0, 0, 0, 0]) == pytest.approx(np.exp(-0.1 / LONGEST_S), rel=1e-3)


def test_an_interleaved_gru_is_as_many_grus_that_take_turns():
    mx.random.seed(3)
    layer = GRU(2, 4, stride=3)
    x = mx.random.normal((2, 20, 2))
    together, last = layer(x, layer.initial_state(2))
    single = GRU(2, 4)
    single.update(layer.parameters())
    for slot in range(3):
        alone, _ = single(x[:, slot::3], single.initial_state(2))
        np.testing.assert_allclose(np.array(together[:, slot::3]), np.array(alone), atol=1e-6)
    first, state = layer(x[:, :7], layer.initial_state(2))
    second, state = layer(x[:, 7:], state)
    np.testing.assert_allclose(np.array(mx.concatenate([first, second], axis=1)), np.array(together), atol=1e-6)
    np.testing.assert_allclose(np.array(state), np.array(last), atol=1e-6)
