"""The native engine against the network in MLX, and the promises that only a streaming engine makes."""

from itertools import pairwise

import mlx.core as mx
import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from numba.core.runtime import _nrt_python, rtsys

import mlxopto
from mlxopto.data import program
from mlxopto.engine import MlxEngine, NativeEngine, kernel
from mlxopto.errors import RequestError
from mlxopto.models.opto import Opto
from mlxopto.nn.side_chain import REACH, RECTIFIED
from tests.conftest import untrained


def knobs_at(model: Opto, position: float) -> list[float]:
    return list(np.linspace(-position, position, model.config.controls))


def engine(model: Opto, channels: int = 1, link: str = "off", position: float = 0.5, **options) -> NativeEngine:
    native = NativeEngine(model, channels, link, **options)
    native.aim(knobs_at(model, position), 1.0, 0.0)
    native.reset()
    return native


def by_mlx(model: Opto, x: np.ndarray, link: str = "off", position: float = 0.5, key: np.ndarray | None = None) -> np.ndarray:
    reference = MlxEngine(model, x.shape[1], link, mx.Device(mx.cpu))
    reference.aim(knobs_at(model, position), 1.0, 0.0)
    return reference.process(x, key)[0]


def music(seconds: float, channels: int = 1) -> np.ndarray:
    """Programme material over 40 dB of level, (samples, channels)."""
    song = program.demo(48000).reshape(-1, 1)
    song = np.tile(song, (int(np.ceil(seconds * 48000 / len(song))), 1))[: int(seconds * 48000)]
    level = 10 ** np.interp(
        np.arange(len(song)), np.linspace(0, len(song), 9), np.array([-40, 0, -20, -6, -30, 3, -10, -35, -3]) / 20
    )
    return np.concatenate([song * level[:, None] * (1 - 0.5 * c) for c in range(channels)], axis=1).astype(np.float32)


@pytest.mark.parametrize("name", ["cl1b", "la2a", "cl1b-light"])
def test_a_minute_of_music_agrees_with_mlx_at_several_settings(name):
    x = music(60)
    model = mlxopto.load(name).model
    for position in (-0.9, 0.1, 0.9):
        y, _ = engine(model, position=position).process(x)
        assert np.abs(y - by_mlx(model, x, position=position)).max() < 1e-5 * max(1, np.abs(x).max())


@pytest.mark.parametrize("rate", [22050, 44100, 48000, 96000])
@pytest.mark.parametrize("name", ["cl1b", "la2a", "cl1b-light"])
def test_the_gain_it_tells_is_what_happens_to_a_tone_of_1_khz(name, rate):
    """Faint enough that neither the curve of the colour stage nor the ripple of the gain counts."""
    tone = (3e-3 * np.sin(2 * np.pi * 1000 * np.arange(2 * rate) / rate)).astype(np.float32)[:, None]
    y, gain = engine(mlxopto.load(name).model, sample_rate=rate).process(tone)
    heard = 20 * np.log10(np.linalg.norm(y[rate:]) / np.linalg.norm(tone[rate:]))
    assert heard == pytest.approx(20 * np.log10(gain[rate:].mean()), abs=0.01)


def by_mlx_with_moving_knobs(
    model: Opto, x: np.ndarray, moves: list[tuple[int, list[float]]], start: list[float]
) -> np.ndarray:
    """The definition of a glide: frame by frame, straight from where the knobs are to their target in 20 ms."""
    hop = model.config.hop
    position, target, left, parts, state, at = np.array(start), np.array(start), 0, [], None, 0
    changes = dict(moves)
    with mx.stream(mx.cpu):
        state = model.initial_state(mx.array(position[None].astype(np.float32)))
        while at < len(x):
            if at in changes:
                target, left = np.array(changes[at]), 960 // hop
            ahead = min([place for place in changes if place > at], default=len(x)) - at
            count = hop if left else ahead
            if left:
                position = position + (target - position) / left
                left -= 1
            y, state = model(mx.array(x[None, at : at + count, 0]), mx.array(position[None].astype(np.float32)), state)
            mx.eval(y, state)
            parts.append(np.array(y)[0])
            at += count
    return np.concatenate(parts)[:, None]


@pytest.mark.parametrize("name", ["cl1b", "la2a", "cl1b-light"])
def test_moving_knobs_agree_with_mlx(name):
    model = mlxopto.load(name).model
    x = music(8)
    rng = np.random.default_rng(4)
    start = list(rng.uniform(-1, 1, model.config.controls))
    hop = model.config.hop
    places = [hop * int(p) for p in np.sort(rng.choice(len(x) // hop, 12, replace=False))]
    places.append(places[-1] + 20 * hop)  # turned on while the knobs still glide
    moves = [(place, list(rng.uniform(-1, 1, model.config.controls))) for place in places]
    native = NativeEngine(model, 1, "off")
    native.aim(start, 1.0, 0.0)
    native.reset()
    parts = []
    for (at, move), (end, _) in pairwise([(0, None), *moves, (len(x), None)]):
        if move is not None:
            native.aim(move, 1.0, 0.0)
        parts.append(native.process(x[at:end])[0])
    assert np.abs(np.concatenate(parts) - by_mlx_with_moving_knobs(model, x, moves, start)).max() < 1e-5


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.one_of(st.integers(0, 70), st.integers(0, 1500)), min_size=1, max_size=8),
    st.integers(1, 3),
    st.sampled_from(["off", "max", "mean"]),
    st.sampled_from([8, 16, 32]),
    st.sampled_from([16, 24]),
    st.sampled_from([None, 44100, 96000]),
)
def test_any_way_of_cutting_the_input_gives_the_same_bits_also_while_knobs_move(pieces, channels, link, hop, width, rate):
    model = untrained(hop=hop, width=width, knob_hidden=5).model
    x = np.random.default_rng(sum(pieces)).normal(0, 0.3, (sum(pieces), channels)).astype(np.float32)
    pieced, whole = (engine(model, channels, link, sample_rate=rate) for _ in range(2))
    for native in (pieced, whole):
        native.process(x[:100])
        native.aim(knobs_at(model, -0.8), 0.7, 0.4)
    edges = np.cumsum([0, *pieces])
    parts = [pieced.process(x[a:b]) for a, b in pairwise(edges)]
    y, gain = whole.process(x)
    np.testing.assert_array_equal(np.concatenate([part[0] for part in parts]), y)
    np.testing.assert_array_equal(np.concatenate([part[1] for part in parts]), gain)


def test_one_sample_at_a_time_gives_the_bits_of_one_block():
    model = untrained().model
    x = music(0.5)
    single, whole = engine(model), engine(model)
    y = np.concatenate([single.process(x[at : at + 1])[0] for at in range(len(x))])
    np.testing.assert_array_equal(y, whole.process(x)[0])


@pytest.mark.parametrize(
    "shape", [{"hop": 8}, {"hop": 32, "layers": 1}, {"width": 24, "layers": 4}, {"width": 40, "knob_hidden": 20}]
)
def test_other_sizes_of_the_network_agree_with_mlx(shape):
    model = untrained(**shape).model
    x = music(2)
    assert np.abs(engine(model).process(x)[0] - by_mlx(model, x)).max() < 1e-5


@pytest.mark.parametrize("link", ["off", "max", "mean"])
def test_links_and_external_keys_agree_with_mlx(link):
    model = untrained().model
    x = music(2, channels=2)
    key = np.stack([x[::-1, 0], -np.roll(x[:, 1], 999)], axis=1)
    many = np.stack([0.7 * key[:, 0], *key.T, -key[:, 0], np.roll(key[:, 1], 5)], axis=1)
    for heard in (None, key, key[:, :1]) if link == "off" else (None, key, key[:, :1], many):
        y, _ = engine(model, 2, link).process(x, heard)
        assert np.abs(y - by_mlx(model, x, link, key=heard)).max() < 1e-5


@pytest.mark.parametrize("link", ["max", "mean"])
@pytest.mark.parametrize("channels", [2, 3])
def test_channels_that_are_alike_are_compressed_as_one(link, channels):
    """Of a wave whose halves differ too, because a detector may hear one of them only."""
    model = untrained().model
    x = music(1)
    x = x + 0.3 * np.abs(x) - 0.1 * np.abs(np.roll(x, 77))
    one, _ = engine(model).process(x)
    linked, _ = engine(model, channels, link).process(np.repeat(x, channels, axis=1))
    np.testing.assert_allclose(linked, np.repeat(one, channels, axis=1), atol=1e-6)


@pytest.mark.parametrize("angle", [-np.pi / 4, np.pi / 4])
@pytest.mark.parametrize("link", ["max", "mean"])
def test_a_channel_and_its_opposite_are_compressed_as_the_first(link, angle):
    model = untrained().model
    model.side_chain.rectifier = mx.full((RECTIFIED,), angle / REACH)
    x = music(1)
    one, gain = engine(model).process(x)
    linked, shared = engine(model, 2, link).process(np.concatenate([x, -x], axis=1))
    np.testing.assert_allclose(shared, gain, rtol=1e-5)
    np.testing.assert_allclose(linked[:, :1], one, atol=1e-6)


def test_long_unlinked_blocks_run_on_threads_and_give_the_same_bits():
    model = untrained().model
    x = music(2, channels=3)
    whole, pieced = engine(model, 3), engine(model, 3)
    y = np.concatenate([pieced.process(x[at : at + 1000])[0] for at in range(0, len(x), 1000)])
    np.testing.assert_array_equal(whole.process(x)[0], y)


@pytest.mark.parametrize("name", ["cl1b", "la2a", "cl1b-light"])
@pytest.mark.parametrize("rate", [44100, 88200, 96000, 192000])
def test_at_another_rate_the_network_differs_little_from_itself_between_resamplers(name, rate):
    """1e-4 is about the models' own error on unseen settings."""
    compressor = mlxopto.load(name)
    x = soxr.resample(music(8), 48000, rate, quality="VHQ").astype(np.float32)
    resampled = compressor(x, rate)
    y = compressor.stream(sample_rate=rate)(x)
    assert np.sum((y - resampled) ** 2) / np.sum(resampled**2) < 1e-4


def test_a_change_of_one_channel_leaves_the_others_to_the_bit():
    compressor = untrained()
    x = music(1, channels=2)
    still, moved = compressor.stream(2, link="off"), compressor.stream(2, link="off")
    parts = []
    for at in range(0, len(x), 1000):
        if at == 10000:
            moved.set(channel=0, threshold=-5, mix=0.3)
        parts.append(moved(x[at : at + 1000]))
    y = np.concatenate(parts)
    expected = still(x)
    np.testing.assert_array_equal(y[:, 1], expected[:, 1])
    assert not np.array_equal(y[:, 0], expected[:, 0])


@pytest.mark.parametrize("move", [{"mix": 0.2}, {"makeup_db": -20}, {"threshold": -20}, {"ratio": 2, "attack": "slow"}])
def test_controls_glide_without_zipper_noise(move):
    """A jump in level splatters over the spectrum; a glide of 20 ms leaves what is far from a 1 kHz tone below -80 dB."""
    compressor = mlxopto.load("cl1b")
    tone = (0.3 * np.sin(2 * np.pi * 1000 * np.arange(48000) / 48000)).astype(np.float32)
    stream = compressor.stream(threshold=0, ratio=8)
    first = stream(tone[:24000])
    stream.set(**move)
    after = stream(tone[24000:])
    y = np.concatenate([first, after])
    spectrum = np.abs(np.fft.rfft(y[24000 - 2048 : 24000 + 2048] * np.blackman(4096)))
    far = spectrum[np.fft.rfftfreq(4096, 1 / 48000) > 8000]
    assert 20 * np.log10(far.max() / spectrum.max()) < -80


def test_mix_arrives_within_20_ms():
    compressor = mlxopto.load("cl1b")
    tone = (0.3 * np.sin(2 * np.pi * 1000 * np.arange(48000) / 48000)).astype(np.float32)
    stream = compressor.stream(threshold=20)
    stream(tone[:24000])
    stream.set(mix=0.2)
    after = stream(tone[24000:])
    settled = compressor.stream(threshold=20, mix=0.2)(tone)[24000 + 960 + 16 :]
    assert np.abs(after[960 + 16 :] - settled).max() < 1e-4


def test_reset_is_a_new_beginning_and_silence_stays_silent():
    compressor = untrained()
    x = music(1)[:, 0]
    used, fresh = compressor.stream(), compressor.stream()
    used(x)
    used.reset()
    np.testing.assert_array_equal(used(x), fresh(x))
    used.reset()
    assert not used(np.zeros(10000, np.float32)).any()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30, 1e-40])
def test_what_is_no_number_is_played_as_silence_and_forgotten(bad):
    model = untrained().model
    x = music(1, channels=2)
    broken, silent = x.copy(), x.copy()
    broken[[5, 700, 701], [0, 1, 1]], silent[[5, 700, 701], [0, 1, 1]] = bad, 0.0
    for link in ("off", "max", "mean"):
        np.testing.assert_array_equal(engine(model, 2, link).process(broken)[0], engine(model, 2, link).process(silent)[0])


def test_processing_allocates_nothing():
    """numba's own count of allocations, before and after."""
    native = engine(untrained().model, 2, "max")
    x = music(0.2, channels=2)
    y, gain = np.empty_like(x), np.empty((len(x), 1), np.float32)
    _nrt_python.memsys_enable_stats()
    try:
        before = rtsys.get_allocation_stats()
        kernel.process(native.layout, native.weights, native.state, x, x, y, gain, 0, 1)
        kernel.aim(native.layout, native.state, np.zeros(8, np.float32), 0)
        after = rtsys.get_allocation_stats()
    finally:
        _nrt_python.memsys_disable_stats()
    assert after.alloc - before.alloc == 7 + 3  # the wrappers of the arrays that Python hands over, and nothing inside


def test_output_and_input_may_be_one_array():
    model = untrained().model
    x = music(0.5, channels=2)
    a, b = engine(model, 2, "max"), engine(model, 2, "max")
    expected, _ = a.process(x)
    gain = np.empty((len(x), 1), np.float32)
    kernel.process(b.layout, b.weights, b.state, x, x, x, gain, 0, 1)
    np.testing.assert_array_equal(x, expected)


def test_what_does_not_fit_is_refused():
    stream = untrained().stream(2, link="off")
    block = np.zeros((10, 2), np.float32)
    with pytest.raises(RequestError, match="a key must have the block's 10 samples, got 9"):
        stream(block, np.zeros((9, 1), np.float32))
    with pytest.raises(RequestError, match="2 channels that are not linked need 1 or 2 side-chain channels, got 3"):
        stream(block, np.zeros((10, 3), np.float32))
    for rate in (-48000, 0, 7999, 384000):
        with pytest.raises(RequestError, match="the network runs at 8000 to 192000 Hz"):
            untrained().stream(sample_rate=rate)
    with pytest.raises(RequestError, match="channel must be one of 2"):
        stream.set(channel=2)
    with pytest.raises(RequestError, match="engine must be one of auto, cpu, gpu, got 'tpu'"):
        untrained().stream(engine="tpu")
    if not mx.metal.is_available() and not mx.cuda.is_available():
        with pytest.raises(RequestError, match="the engine gpu cannot be had"):
            untrained().stream(engine="gpu")
