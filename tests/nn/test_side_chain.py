"""The side-chain against a compressor written straight from the textbook in float64, and against what the panel says."""

import math

import mlx.core as mx
import numpy as np
import pytest

from mlxopto.controls import Control, Panel
from mlxopto.nn import SideChain
from mlxopto.nn.levels import FLOOR
from mlxopto.nn.side_chain import DETECTORS, GAIN_COMPUTERS, NEPERS_A_DB, REACH, RECTIFIED

RATE, HOP = 48000, 16
PANEL = Panel(
    (
        Control("threshold", "dB", -40, 0), Control("ratio", ":1", 1.5, 20, "log"), Control("attack", "ms", 0.5, 50, "log"),
        Control("release", "ms", 20, 2000, "log"), Control("knee", "dB", 0.5, 12), Control("makeup", "dB", -6, 6),
    )
)  # fmt: skip


def randomised(seed: int = 0) -> SideChain:
    mx.random.seed(seed)
    side = SideChain(len(PANEL.controls), RATE, HOP)
    side.prime(PANEL)
    for part in side.children().values():
        part.update({name: array + 0.03 * mx.random.normal(array.shape) for name, array in part.parameters().items()})
    side.rectifier = 0.3 * mx.random.normal((RECTIFIED,))
    side.share, side.auto_makeup = 0.2 * mx.random.normal((GAIN_COMPUTERS,)), mx.array([0.1])
    mx.eval(side.parameters())
    return side


def follow(u: np.ndarray, attack: float, release: float, rise: float = math.inf, fall: float = math.inf) -> np.ndarray:
    """Attack and release from rest, one signal."""
    out, now = np.empty(len(u)), 0.0
    for t, value in enumerate(u):
        now += min(attack * (value - now), rise) if value > now else max(release * (value - now), -fall)
        out[t] = now
    return out


def textbook(side: SideChain, x: np.ndarray, knobs: np.ndarray) -> np.ndarray:
    """The log gain of every frame, in float64."""

    def at(part: str) -> np.ndarray:
        weight, offset = (np.array(array, np.float64) for array in getattr(side, part).affine())
        return offset + knobs @ weight

    def rate(log_seconds: float, per_second: float) -> float:
        return 1 - math.exp(-1 / (math.exp(log_seconds) * per_second))

    def positive(values: np.ndarray) -> np.ndarray:
        return np.log1p(np.exp(10 * values)) / 10

    squares = x.astype(np.float64) ** 2
    averages = [follow(follow(squares, r, r), r, r) for r in (rate(tau, RATE) for tau in at("average"))]
    powers = [power + FLOOR**2 for power in (squares, squares, *averages)]
    angles = REACH * np.array(side.rectifier, np.float64)
    rectified = [np.cos(angle) * np.abs(x) + np.sin(angle) * x for angle in angles]
    heard = rectified + [np.sqrt(power) for power in powers[RECTIFIED:]] + powers
    ends = [
        follow(u, rate(a, RATE), rate(r, RATE))[HOP - 1 :: HOP]
        for u, a, r in zip(heard, at("attack"), at("release"), strict=True)
    ]
    ends = [np.maximum(e, 0) for e in ends]
    levels = np.stack([e if k < DETECTORS // 2 else np.sqrt(e + FLOOR**2) for k, e in enumerate(ends)], axis=1)
    mix = positive(at("mix")).reshape(DETECTORS, GAIN_COMPUTERS)
    level = np.log(levels @ (mix / mix.sum(0)) + FLOOR)
    slope, knee, threshold = 1 - np.exp(-positive(at("ratio"))), positive(at("knee")) + 0.01, at("threshold")
    most = np.exp(at("range"))

    def curve(level: np.ndarray | float) -> np.ndarray:
        return most * (1 - np.exp(-slope * knee * np.logaddexp(0, (level - threshold) / knee) / most))

    frames = RATE / HOP
    rates = [[rate(tau, frames) for tau in at(f"reduction_{part}")] for part in ("attack", "release")]
    limits = np.exp(at("rise")) / frames, np.exp(at("fall")) / frames
    reductions = np.stack([follow(*lane) for lane in zip(curve(level).T, *rates, *limits, strict=True)], axis=1)
    share = np.exp(REACH * np.array(side.share, np.float64))
    share /= share.sum()
    return at("makeup")[0] + REACH * float(side.auto_makeup[0]) * (curve(0.0) @ share) - reductions @ share


def run(side: SideChain, x: np.ndarray, knobs: np.ndarray) -> np.ndarray:
    makeup, reduction, *_ = side(mx.array(x[None]), mx.array(knobs[None], dtype=mx.float32), side.initial_state(1))
    return np.array((makeup - reduction)[0], np.float64)


@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_textbook_compressor(seed):
    rng = np.random.default_rng(seed)
    side, knobs = randomised(seed), rng.uniform(-1, 1, len(PANEL.controls))
    level = 10 ** (rng.uniform(-50, 0, 12).repeat(800) / 20)
    x = (level * rng.standard_normal(len(level))).astype(np.float32)
    assert np.abs(run(side, x, knobs) - textbook(side, x, knobs.astype(np.float32))).max() < 1e-4


@pytest.mark.parametrize(("threshold", "ratio"), [(-40, 4), (-20, 20), (-10, 1.5)])
def test_a_primed_panel_gives_its_threshold_and_ratio_to_a_steady_level(threshold, ratio):
    """With the narrowest knee, a decibel above the threshold comes out as 1 / ratio decibels."""
    side = SideChain(len(PANEL.controls), RATE, HOP)
    side.prime(PANEL)
    setting = {"threshold": threshold, "ratio": ratio, "attack": 5, "release": 50, "knee": 0.5, "makeup": 0}
    knobs = np.array(PANEL.normalise(setting))
    for level in (threshold - 12, threshold + 4, threshold + 9):
        steady = np.full(RATE, 10 ** (level / 20), np.float32)
        wanted = -max(0, level - threshold) * (1 - 1 / ratio)
        assert run(side, steady, knobs)[-1] / NEPERS_A_DB == pytest.approx(wanted, abs=0.5)


def test_a_primed_panel_gives_its_times_and_make_up():
    side = SideChain(len(PANEL.controls), RATE, HOP)
    side.prime(PANEL)
    for end in (-1.0, 1.0):
        knobs = mx.full((1, len(PANEL.controls)), end)
        seconds = np.exp(np.array(side.reduction_attack(knobs)[0]))
        assert seconds[-1] == pytest.approx(0.0005 if end < 0 else 0.05, rel=1e-3)
        assert float(side.makeup(knobs)[0, 0]) / NEPERS_A_DB == pytest.approx(6 * end, rel=1e-4)


def test_in_pieces_it_is_the_same_as_in_one():
    side = randomised()
    key = mx.random.normal((2, 40 * HOP))
    knobs = mx.random.uniform(-1, 1, (2, len(PANEL.controls)))
    _, whole, features, last = side(key, knobs, side.initial_state(2))
    _, first, _, state = side(key[:, : 13 * HOP], knobs, side.initial_state(2))
    _, second, later, end = side(key[:, 13 * HOP :], knobs, state)
    assert mx.array_equal(mx.concatenate([first, second], axis=1), whole)
    assert mx.array_equal(later, features[:, 13:])
    assert all(mx.array_equal(end[name], last[name]) for name in last)


def test_a_knob_that_does_what_the_panel_says_is_no_departure_and_one_that_does_more_is():
    side = SideChain(len(PANEL.controls), RATE, HOP)
    assert side.prior_penalty().item() == 0  # nothing said yet
    side.prime(PANEL)
    assert side.prior_penalty().item() == pytest.approx(0, abs=1e-10)
    side.makeup.weight[2] = 0.3 / REACH  # the attack knob
    assert side.prior_penalty().item() == pytest.approx(0.09, rel=1e-5)
    side.threshold.weight[0] = side.threshold.weight[0] + 0.1 / REACH  # what it says, and a little more
    assert side.prior_penalty().item() == pytest.approx(0.1, rel=1e-4)


def test_knobs_of_which_the_panel_says_nothing_are_free():
    panel = Panel((Control("threshold", "dB", -40, 0), Control("colour", "", 0, 1)))
    side = SideChain(2, RATE, HOP)
    side.prime(panel)
    side.attack.weight[1] = 1.0
    assert side.prior_penalty().item() == pytest.approx(0, abs=1e-10)


def test_decibels_on_a_log_taper_are_no_decibels_to_add():
    side = SideChain(1, RATE, HOP)
    side.prime(Panel((Control("threshold", "dB", 1, 40, "log"),)))
    assert not np.array(side.threshold.weight).any()


def test_a_quarter_of_a_turn_hears_one_half_of_the_wave():
    """Nothing of pulses to the other side, where a full-wave rectifier hears both alike."""
    side = SideChain(len(PANEL.controls), RATE, HOP)
    knobs, pulses = mx.zeros((1, len(PANEL.controls))), np.zeros(4800, np.float32)
    pulses[100::200] = 0.5

    def heard(angle: float, x: np.ndarray) -> np.ndarray:
        side.rectifier = mx.full((RECTIFIED,), angle / REACH)
        levels, _ = side._detect(mx.array(x[None]), knobs, side.initial_state(1))
        return np.array(levels)[0, :, :RECTIFIED]

    assert np.abs(heard(math.pi / 4, -pulses)).max() < 1e-6
    np.testing.assert_allclose(heard(math.pi / 4, pulses), math.sqrt(2) * heard(0.0, pulses), rtol=1e-5)
    np.testing.assert_array_equal(heard(0.0, pulses), heard(0.0, -pulses))
