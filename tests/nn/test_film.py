"""The temporal FiLM: a layer with memory, cut anywhere, and near its float64 self."""

import mlx.core as mx
import numpy as np

from mlxopto.nn import TemporalFiLM


def test_temporal_film_in_pieces_is_temporal_film_in_one_and_near_float64():
    mx.random.seed(2)
    layer = TemporalFiLM(width=6, conditions=3, hidden=5)
    x, condition = mx.random.normal((2, 40, 6)), mx.random.normal((2, 3))
    whole, last = layer(x, condition, layer.initial_state(2))
    first, state = layer(x[:, :13], condition, layer.initial_state(2))
    second, state = layer(x[:, 13:], condition, state)
    assert mx.abs(mx.concatenate([first, second], axis=1) - whole).max() < 1e-6
    assert mx.abs(state - last).max() < 1e-6
    layer.set_dtype(mx.float64)
    exact, _ = layer(x.astype(mx.float64), condition.astype(mx.float64), layer.initial_state(2).astype(mx.float64))
    np.testing.assert_allclose(np.array(whole), np.array(exact), atol=1e-5)
