"""Numbers below 1.2e-38 cost many processors a hundred times the time: the engine neither keeps nor makes any."""

import ctypes
import platform
import time
from functools import cache
from itertools import cycle

import mlx.core as mx
import numpy as np
import pytest

import mlxopto
from mlxopto.compressor import Compressor
from mlxopto.data import program
from mlxopto.engine import MlxEngine, NativeEngine
from mlxopto.weights import shipped
from tests.conftest import untrained

MODELS = sorted(shipped())
LAYOUTS = ((1, "off", 48000), (2, "off", 44100), (2, "max", 48000), (2, "mean", 96000))  # channels, link, Hz
UNDERFLOW = {"x86_64": 0x10, "AMD64": 0x10, "aarch64": 0x08, "arm64": 0x08}  # C's FE_UNDERFLOW
PIECE = 8000  # samples between looks at the state


def absurd() -> Compressor:
    """Slopes, knees, mixes, shares and gates that vanish, ranges and times without bounds, traps that hardly fill or empty."""
    compressor = untrained(hop=16)
    side, cell, first = compressor.model.side_chain, compressor.model.cell, compressor.model.layers[0]
    signs = mx.array([-1.0, 1.0, -1.0, 1.0])
    for knob_map in (side.ratio, side.knee, side.range, side.attack, side.release, side.average):
        knob_map.start = 10 * signs[: knob_map.start.size] if knob_map.start.size < 8 else 10 * mx.tile(signs, 2)
    side.mix.start, side.share = mx.linspace(-10, -1, side.mix.start.size), 10 * signs
    first.gate.bias = first.gate.bias - 100
    cell.emptying, cell.filling, cell.power = 4 * signs, -3 * signs, mx.array([0.3])
    mx.eval(compressor.model.parameters())
    return compressor


def settings(controls: int) -> list[np.ndarray]:
    """Of the knobs: the middle, the ends, one at a time at the other end, and beyond."""
    one_away = 1.0 - 2.0 * np.eye(controls)
    return [
        np.zeros(controls),
        np.full(controls, 1e-40),
        *one_away,
        *-one_away,
        np.full(controls, 1.5),
        np.full(controls, -1.5),
    ]


def engine(compressor: Compressor, knobs: np.ndarray, channels: int = 1, link: str = "off", rate: int = 48000) -> NativeEngine:
    native = NativeEngine(compressor.model, channels, link, rate)
    native.aim(knobs, 1.0, 1e-30)
    native.reset()
    return native


@cache
def music() -> np.ndarray:
    """A second at full scale."""
    song = program.demo(48000)[:48000]
    return (song / np.abs(song).max()).astype(np.float32)


def passages(rate: int) -> list[np.ndarray]:
    """Loud, silent for long enough that all dies away, faint, and noise that breaks off."""
    loud, noise = music(), np.random.default_rng(0).normal(0, 0.2, rate).astype(np.float32)
    faint = [np.float32(level) * loud for level in (1e-6, 1e-13, 1e-20, 1e-38)]
    return [loud, np.zeros(12 * rate, np.float32), *faint, noise, np.zeros(rate, np.float32)]


def subnormal(numbers: np.ndarray) -> int:
    return np.count_nonzero((numbers != 0) & (np.abs(numbers) < np.finfo(np.float32).tiny))


@pytest.mark.parametrize("name", [*MODELS, "absurd"])
def test_no_weight_and_nothing_that_is_remembered_is_subnormal(name):
    compressor = absurd() if name == "absurd" else mlxopto.load(name)
    for knobs, (channels, link, rate) in zip(settings(compressor.model.config.controls), cycle(LAYOUTS), strict=False):
        native = engine(compressor, knobs, channels, link, rate)
        found = subnormal(native.weights) + subnormal(native.state)
        for passage in passages(rate):
            x = np.stack([passage * (1 - 0.5 * c) for c in range(channels)], axis=1)
            for at in range(0, len(x), PIECE):
                native.process(x[at : at + PIECE])
                found += subnormal(native.state)
        assert found == 0, (knobs, channels, link, rate)


def underflows(native: NativeEngine, x: np.ndarray) -> bool:
    """Whether an operation on a block of one channel, on this thread, gave a number too small to be normal."""
    flag, floats = UNDERFLOW.get(platform.machine()), ctypes.CDLL(None)
    if flag is None or not hasattr(floats, "fetestexcept"):
        pytest.skip("the processor's flags cannot be read here")
    floats.feclearexcept(flag)
    native.process(x[:, None])
    return bool(floats.fetestexcept(flag))


@pytest.mark.parametrize("name", [*MODELS, "absurd"])
def test_no_operation_on_the_way_underflows(name):
    """What never leaves a register costs as much as what is stored."""
    compressor = absurd() if name == "absurd" else mlxopto.load(name)
    for knobs in settings(compressor.model.config.controls):
        native = engine(compressor, knobs)
        assert not any(underflows(native, passage) for passage in passages(48000)), knobs
        native.aim(-knobs, 0.5, 0.5)
        assert not underflows(native, music()), knobs


def test_the_flag_tells_when_one_does():
    native = engine(untrained(), np.zeros(4))
    native.weights *= np.float32(1e-25)
    assert underflows(native, music())


def test_where_everything_vanishes_the_engine_still_agrees_with_mlx():
    compressor, x = absurd(), music()[:, None]
    knobs = np.zeros(compressor.model.config.controls)
    reference = MlxEngine(compressor.model, 1, "off", mx.Device(mx.cpu))
    reference.aim(knobs, 1.0, 0.0)
    expected = reference.process(x)[0]
    apart = np.abs(engine(compressor, knobs).process(x)[0] - expected).max()
    assert apart < 1e-5 * np.abs(expected).max()  # it plays far beyond full scale


@pytest.mark.clock
@pytest.mark.parametrize("name", MODELS)
def test_silence_after_music_takes_no_longer_than_noise(name):
    compressor = mlxopto.load(name)
    noisy, silent = (engine(compressor, np.zeros(compressor.model.config.controls)) for _ in range(2))
    noise = np.random.default_rng(0).normal(0, 0.2, (24000, 1)).astype(np.float32)
    turns = []
    for _ in range(7):
        silent.reset()
        silent.process(music()[:, None])
        turns.append([(spent(noisy, noise), spent(silent, 0 * noise)) for _ in range(24)])
    on_noise, on_silence = np.min(turns, axis=0).sum(axis=0)  # of each half second the quickest turn
    assert on_silence < 1.3 * on_noise


def spent(native: NativeEngine, x: np.ndarray) -> float:
    start = time.thread_time()
    native.process(x)
    return time.thread_time() - start
