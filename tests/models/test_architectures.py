"""What every architecture must do: pieces, causality, batches, precision, gradients, size."""

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlx.nn import value_and_grad
from mlx.utils import tree_flatten

from mlxopto import weights
from mlxopto.compressor import Compressor
from mlxopto.devices import DEVICES, device
from mlxopto.errors import RequestError
from mlxopto.models import ARCHITECTURES, Network, build, fresh, parameter_count

PAPERS = [name for name in ARCHITECTURES if not name.startswith("opto")]
KNOBS = mx.array([[0.1, -0.5, 0.3, 0.9], [-1.0, 1.0, 0.0, 0.2]])


def network(name: str) -> Network:
    """Fresh weights, moved so that nothing starts as zero."""
    mx.random.seed(2)
    model = fresh(name, device("cl1b").panel, 48000, 12)
    for _, array in tree_flatten(model.trainable_parameters()):
        array += 0.1 * mx.random.normal(array.shape)
    mx.eval(model.parameters())
    return model


@pytest.mark.parametrize("name", PAPERS)
@settings(max_examples=6, deadline=None)
@given(pieces=st.lists(st.integers(1, 3000), min_size=1, max_size=5))
def test_a_call_in_pieces_is_a_call_in_one(name, pieces):
    model = network(name)
    x = mx.random.normal((2, sum(pieces))) * 0.3
    whole, last = model(x, KNOBS)
    state, parts, at = None, [], 0
    for length in pieces:
        y, state = model(x[:, at : at + length], KNOBS, state)
        parts.append(y)
        at += length
    np.testing.assert_allclose(np.array(mx.concatenate(parts, axis=1)), np.array(whole), atol=2e-6)
    for (leaf, a), (_, b) in zip(tree_flatten(state), tree_flatten(last), strict=True):
        np.testing.assert_allclose(np.array(a), np.array(b), atol=1e-5 * max(1.0, float(mx.abs(b).max())), err_msg=leaf)


@pytest.mark.parametrize("name", PAPERS)
def test_output_depends_on_nothing_that_comes_later(name):
    model = network(name)
    x = 0.3 * mx.random.normal((1, 500))
    y, _ = model(x, KNOBS[:1])
    changed, _ = model(mx.concatenate([x[:, :300], 1 - x[:, 300:]], axis=1), KNOBS[:1])
    assert mx.array_equal(y[:, :300], changed[:, :300])
    assert not mx.array_equal(y[:, 300:], changed[:, 300:])


@pytest.mark.parametrize("name", PAPERS)
def test_a_batch_item_does_not_hear_its_neighbours(name):
    model = network(name)
    x = 0.3 * mx.random.normal((2, 700))
    together, _ = model(x, KNOBS)
    for item in range(2):
        alone, _ = model(x[item : item + 1], KNOBS[item : item + 1])
        assert mx.abs(together[item] - alone[0]).max() < 1e-6


@pytest.mark.parametrize("name", PAPERS)
def test_the_native_path_agrees_with_plain_operations_in_float64(name):
    """float64 takes MLX's own operations and the reference recurrences throughout: an independent path through the network."""
    model = network(name)
    x = 0.3 * mx.random.normal((2, 300))
    native, _ = model(x, KNOBS)
    exact = build(name, model.config.__dict__)
    exact.update(model.parameters())
    exact.set_dtype(mx.float64)
    state = exact.initial_state(KNOBS)
    y, _ = exact(x.astype(mx.float64), KNOBS.astype(mx.float64), _doubled(state))
    assert y.dtype == mx.float64
    assert float(mx.abs(native - y.astype(mx.float32)).max()) < 1e-5


def _doubled(state):
    from mlx.utils import tree_map

    return tree_map(lambda a: a.astype(mx.float64), state)


@pytest.mark.parametrize("name", PAPERS)
def test_every_parameter_is_learnt(name):
    model = network(name)
    x = mx.random.normal((2, 2600)) * 0.3  # every slot of the interleaved GRU moves, some of them twice
    _, gradient = value_and_grad(model, lambda: mx.square(model(x, KNOBS)[0]).sum())()
    memoryless = ("a_log", "taps") if name == "s6_memoryless" else ()  # the published form cannot learn these
    for leaf, array in tree_flatten(gradient):
        assert leaf.endswith(memoryless) or float(mx.abs(array).max()) > 0, leaf


@pytest.mark.parametrize("name", PAPERS)
@pytest.mark.parametrize("unit", sorted(DEVICES))
def test_they_have_about_the_papers_thousand_parameters(name, unit):
    assert 750 < parameter_count(fresh(name, device(unit).panel, 48000, 12)) < 1250


def test_a_plain_network_gives_its_output_and_shows_meters_a_ratio():
    model = network("lstm_b")
    x = 0.3 * mx.random.normal((2, 400))
    y, _ = model(x, KNOBS)
    gain, state = model.gain(x, KNOBS)
    again, state = model.amplify(x, gain, state)
    assert mx.array_equal(again, y)
    assert "wave" not in state
    heard = mx.abs(x) > 1e-3
    assert mx.abs(mx.where(heard, gain * mx.abs(x) - mx.abs(y), 0)).max() < 1e-6


def test_a_plain_network_takes_no_side_chain():
    model = network("tcn_b")
    card = weights.Card("cl1b", "tcn_b", model.config.__dict__, 48000, device("cl1b").panel)
    stream = Compressor(model, card).stream()
    block = np.zeros(100, np.float32)
    with pytest.raises(RequestError, match="takes no side-chain"):
        stream(block, key=block)
