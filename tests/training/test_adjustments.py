"""What calibration moves, and the slopes by which it finds where to."""

from concurrent.futures import ThreadPoolExecutor

import mlx.core as mx
import numpy as np
import pytest

import mlxopto
from mlxopto.data.takes import Take
from mlxopto.matching import starts
from mlxopto.training.adjustments import Adjustments
from mlxopto.training.calibration import LEAST_ESR, _Heard, _Search

RATE = 48000


@pytest.fixture
def compressor():
    return mlxopto.load("cl1b")


def all_knobs(compressor) -> np.ndarray:
    return starts.turnable(compressor.panel)


def render(compressor, x: np.ndarray, knobs: np.ndarray) -> np.ndarray:
    y, _ = compressor.model(mx.array(x[None]), mx.array(knobs[None].astype(np.float32)))
    return np.array(y[0])


def test_no_moves_change_nothing_and_settled_moves_turn_the_knobs(compressor, noise):
    x, knobs = noise[:9600], np.array([0.1, -0.2, 0.3, 0.0])
    before = render(compressor, x, knobs)
    adjustments = Adjustments(compressor.model, all_knobs(compressor))
    adjustments.apply(np.zeros(adjustments.size))
    np.testing.assert_array_equal(render(compressor, x, knobs), before)
    offset = np.array([0.2, 0.1, -0.3, 0.15])
    expected = render(compressor, x, knobs + offset)
    adjustments.settle(adjustments.moves(offset, 0.0))
    np.testing.assert_allclose(render(compressor, x, knobs), expected, atol=1e-6)


def test_a_knob_that_cannot_be_turned_is_no_move(compressor):
    fixed = np.array([True, False, False, True])
    adjustments = Adjustments(compressor.model, fixed)
    assert adjustments.size == Adjustments(compressor.model, all_knobs(compressor)).size - 2
    moves = adjustments.moves(np.ones(4), 0.0)
    np.testing.assert_allclose(adjustments.knobs(moves), fixed)


def test_the_charge_is_near_the_square_of_small_moves_and_grows_slowly(compressor):
    adjustments = Adjustments(compressor.model, all_knobs(compressor))
    near, far = (np.full(adjustments.size, size) for size in (1e-3, 100.0))
    assert adjustments.charge(near) == pytest.approx(float(near @ near), rel=1e-3)
    assert adjustments.charge(far) < 10 * adjustments.size


def test_the_gradient_is_that_of_the_cost(compressor, noise):
    """Against central differences of the cost, in the moves with the steepest slopes and in some others."""
    setting = compressor.panel.setting({})
    target = 0.5 * compressor(noise, RATE, **{**setting, "threshold": setting["threshold"] - 6})
    heard = [_Heard(Take(noise, target, setting), compressor.panel, RATE)]
    with ThreadPoolExecutor(2) as pool:
        knobs = all_knobs(compressor)
        search = _Search(compressor.model, compressor.panel, heard, knobs, LEAST_ESR, pool, lambda *_: None)
        rng = np.random.default_rng(0)
        moves = 0.3 * rng.standard_normal(search.adjustments.size)
        free = np.arange(search.adjustments.size)
        (point,) = search._points([moves])
        gradient, _ = search._normal_equations(point, free, search._weight_slopes(moves, free))
        steepest = np.argsort(-np.abs(gradient))
        for place in [*steepest[:6], *steepest[20:40:5]]:
            step = 1e-2 * (free == place)
            ahead, behind = search._points([moves + step, moves - step])
            found = (ahead.cost - behind.cost) / 2e-2
            assert gradient[place] == pytest.approx(found, rel=0.1, abs=1e-3 * abs(gradient[steepest[0]])), place
