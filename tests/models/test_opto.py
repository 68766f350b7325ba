"""The default network: causal, cut anywhere, silent in silence, finite always."""

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlxopto.models import build
from mlxopto.nn.side_chain import RECTIFIED
from tests.conftest import untrained

HOPS = [8, 16, 32]


def controls(batch: int = 1) -> mx.array:
    return mx.array(np.linspace(-0.9, 0.9, batch * 4, dtype=np.float32).reshape(batch, 4))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.one_of(st.integers(1, 70), st.integers(1, 1500)), min_size=1, max_size=8), st.sampled_from(HOPS))
def test_any_way_of_cutting_the_input_gives_the_same_output(pieces, hop):
    model = untrained(hop=hop).model
    x = 0.5 * mx.random.normal((2, sum(pieces)))
    whole, _ = model(x, controls(2))
    parts, state, at = [], None, 0
    for length in pieces:
        y, state = model(x[:, at : at + length], controls(2), state)
        parts.append(y)
        at += length
    assert mx.abs(mx.concatenate(parts, axis=1) - whole).max() < 1e-6


@pytest.mark.parametrize("at", [1, 15, 16, 17, 700])
def test_output_depends_on_nothing_that_comes_later(at):
    model = untrained().model
    x = 0.5 * mx.random.normal((1, 1000))
    y, _ = model(x, controls())
    changed, _ = model(mx.concatenate([x[:, :at], 1 - x[:, at:]], axis=1), controls())
    assert mx.array_equal(y[:, :at], changed[:, :at])
    assert not mx.array_equal(y[:, at:], changed[:, at:])


def test_latency_is_zero_samples():
    model = untrained().model
    x = mx.zeros((1, 200))
    x[0, 100] = 0.5
    y = np.array(model(x, controls())[0])[0]
    assert np.flatnonzero(y)[0] == 100
    assert np.argmax(np.abs(y)) == 100


def test_silence_in_is_silence_out_at_any_setting():
    for position in (-1.0, 0.0, 1.0):
        y, _ = untrained().model(mx.zeros((1, 5000)), mx.full((1, 4), position))
        assert mx.array_equal(y, mx.zeros_like(y))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 999), st.floats(-400, 24), st.floats(-1, 1))
def test_finite_input_up_to_24_dbfs_and_down_to_denormals_gives_finite_output(seed, level_db, knob):
    x = np.random.default_rng(seed).choice([-1.0, 0.0, 1.0], (1, 4000)) * 10 ** (level_db / 20)
    y, _ = untrained().model(mx.array(x.astype(np.float32)), mx.full((1, 4), knob))
    assert mx.isfinite(y).all()
    assert mx.abs(y).max() <= 1e3 * np.abs(x).max()


def test_denormal_samples_pass_without_trouble():
    x = np.full((1, 3000), 1e-42, np.float32)
    assert mx.isfinite(untrained().model(mx.array(x), controls())[0]).all()


def test_full_wave_rectifiers_hear_the_magnitude_alone():
    model = untrained().model
    model.side_chain.rectifier = mx.zeros((RECTIFIED,))
    x = mx.random.normal((1, 3000))
    assert mx.array_equal(model.gain(x, controls())[0], model.gain(mx.abs(x), controls())[0])


def test_channels_share_the_gain_of_the_key_and_keep_their_own_colour():
    model = untrained().model
    x = 0.3 * mx.random.normal((1, 2000, 2))
    key = mx.abs(x).max(-1)
    both, _ = model(x, controls(), key=key)
    for channel in range(2):
        alone, _ = model(x[:, :, channel], controls(), key=key)
        assert mx.abs(both[:, :, channel] - alone).max() < 1e-6


def test_a_batch_item_does_not_hear_its_neighbours():
    model = untrained().model
    x = mx.random.normal((3, 2000))
    together, _ = model(x, controls(3))
    for item in range(3):
        alone, _ = model(x[item : item + 1], controls(3)[item : item + 1])
        assert mx.abs(together[item] - alone[0]).max() < 1e-6


def test_the_native_path_agrees_with_mlx_operations_and_the_reference_scan():
    """float64 takes plain MLX operations and the reference recurrence throughout: an independent path through the network."""
    compressor = untrained()
    x = 0.5 * mx.random.normal((2, 800))
    native, _ = compressor.model(x, controls(2))
    exact = build("opto", compressor.card.config)
    exact.update(compressor.model.parameters())
    exact.set_dtype(mx.float64)
    plain, _ = exact(x.astype(mx.float64), controls(2).astype(mx.float64))
    assert plain.dtype == mx.float64
    assert float(mx.abs(native - plain.astype(mx.float32)).max()) < 1e-5
