"""A model in Python: whole signals, blocks, and what is refused."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mlxopto
from mlxopto import compressor
from mlxopto.errors import RequestError
from tests.conftest import untrained


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 3000), min_size=1, max_size=6), st.integers(1, 3), st.sampled_from(["off", "max", "mean"]))
def test_a_stream_gives_what_a_whole_call_gives(blocks, channels, link):
    compressor = untrained()
    x = np.random.default_rng(sum(blocks)).standard_normal((sum(blocks), channels)).astype(np.float32)
    stream = compressor.stream(channels, link=link, attack="fast", mix=0.7, makeup_db=3)
    edges = np.cumsum([0, *blocks])
    parts = [stream(x[a:b]) for a, b in pairwise(edges)]
    whole = compressor(x, 48000, link=link, attack="fast", mix=0.7, makeup_db=3)
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-5)


def test_the_gain_of_a_stream_is_what_was_applied_before_the_colour(noise):
    compressor = untrained()
    stream = compressor.stream(1)
    stream(noise)
    assert stream.gain.shape == (len(noise), 1)
    stream(noise[:0])
    assert stream.gain.shape == (0, 1)


def test_another_sample_rate_keeps_the_shape(noise):
    y = untrained()(np.stack([noise, noise], axis=1).astype(np.float64), 44100)
    assert y.shape == (len(noise), 2)
    assert y.dtype == np.float32


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.ones(10, np.int16), "audio must be float with full scale"),
        (np.full(10, np.nan, np.float32), "audio must be finite numbers"),
        (np.ones((2, 3, 4), np.float32), "audio must be finite numbers"),
        (np.ones((5, 0), np.float32), "audio must be"),
    ],
)
def test_what_is_no_audio_is_refused(x, message):
    with pytest.raises(RequestError, match=message):
        untrained()(x, 48000)


def test_a_bad_block_is_refused_and_leaves_the_stream_as_it_was(noise):
    clean, disturbed = untrained().stream(1), untrained().stream(1)
    disturbed(noise[:1000])
    with pytest.raises(RequestError):
        disturbed(np.full(10, np.nan, np.float32))
    clean(noise[:1000])
    np.testing.assert_array_equal(clean(noise[1000:]), disturbed(noise[1000:]))
    with pytest.raises(RequestError, match=r"a block must be \(samples, 2\)"):
        untrained().stream(2)(noise)
    with pytest.raises(RequestError, match="channels must be at least 1"):
        untrained().stream(0)
    with pytest.raises(RequestError, match="sample_rate must be above 0"):
        untrained()(noise, 0)


def test_controls_are_checked_when_the_stream_is_made():
    with pytest.raises(RequestError, match="attack must be"):
        untrained().stream(attack="500ms")
    assert untrained().stream(attack="500ms", extrapolate=True).setting["attack"] == 500
    with pytest.raises(RequestError, match="there is no model 'none'"):
        mlxopto.load("none")


def test_a_shipped_model_is_called_as_it_is_asked_for():
    """Its device is that of the larger one."""
    light = mlxopto.load("cl1b-light")
    assert (light.name, light.card.name) == ("cl1b-light", "cl1b")


X = np.zeros(100, np.float32)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda comp: comp(X, "48000"), "sample_rate must be a number, got str"),
        (lambda comp: comp(X, True), "sample_rate must be a number, got bool"),
        (lambda comp: comp("song.wav", 48000), "audio must be an array of floats, got str"),
        (lambda comp: comp(None, 48000), "audio must be an array of floats, got NoneType"),
        (lambda comp: comp(X, 48000, attack=[3]), "attack must be a number or text, got list"),
        (lambda comp: comp(X, 48000, mix="a"), "mix must be a number, got str"),
        (lambda comp: comp(X, 48000, link=3), "link must be text, got int"),
        (lambda comp: comp.stream(channels=2.5), "channels must be a whole number, got float"),
        (lambda comp: comp.stream(engine=None), "engine must be text, got NoneType"),
        (lambda comp: comp.stream().set(makeup_db=[1]), "makeup_db must be a number, got list"),
        (lambda comp: comp([[0.0], [0.0, 1.0]], 48000), "audio must be an array of floats, got list"),
        (lambda comp: comp.setting("attack"), "a setting must be a mapping"),
        (lambda comp: comp.stream(2, link="off").set(channel="a"), "channel must be a whole number, got str"),
        (lambda comp: comp.stream(extrapolate="no"), "extrapolate must be true or false, got str"),
        (lambda comp: compressor.load(None), "name must be text or a path, got NoneType"),
    ],
)
def test_a_wrong_type_is_a_type_error_that_names_the_argument(call, message):
    with pytest.raises(TypeError, match=message):
        call(untrained())


def test_a_level_in_dbfs_is_understood_where_the_model_knows_its_own():
    comp = compressor.load("cl1b")
    assert comp.stream(threshold="-30dBFS").setting["threshold"] == -10
    with pytest.raises(RequestError, match="full scale is, is not known"):
        untrained().stream(threshold="-30dBFS")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda comp: comp(X, 1e-9), "sample_rate must be above 0, from 1000 to 768000 Hz"),
        (lambda comp: comp(X, 10**400), "sample_rate must be above 0, from 1000 to 768000 Hz, got a huge number"),
        (lambda comp: comp.stream(attack=10**400), "attack must be"),
        (lambda comp: comp.stream(channels=10**30), "channels must be at least 1 and at most 1024"),
        (lambda comp: comp.stream(2)(np.zeros((9, 2)), key=np.zeros((9, 0))), "at least one column"),
        (lambda comp: comp.stream(2)(np.zeros((9, 2)), key=np.zeros((0, 2))), "a key must have the block's 9 samples"),
        (lambda comp: compressor.load("z" * 5000), "there is no model"),
        (lambda comp: comp.stream(threshold=1e300, extrapolate=True), "which is too far beyond that"),
    ],
)
def test_absurd_values_are_requests_that_are_refused(call, message):
    with pytest.raises(RequestError, match=message):
        call(untrained())
