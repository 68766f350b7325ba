"""The optical cell, against the differential equation that it solves."""

import mlx.core as mx
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from mlxopto.nn import OpticalCell
from mlxopto.nn.cell import DARK, TRAPS

FRAME_S = 1 / 3000


def randomised(seed: int = 0) -> OpticalCell:
    mx.random.seed(seed)
    cell = OpticalCell(FRAME_S)
    cell.update({name: 0.1 * mx.random.normal(array.shape) for name, array in cell.parameters().items()})
    return cell


def run(cell: OpticalCell, reduction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The whole reduction (frames,) and how full the traps are (frames, TRAPS)."""
    whole, features, _ = cell(mx.array(reduction[None].astype(np.float32)), cell.initial_state(1))
    assert mx.array_equal(features[..., 0], whole)
    return np.array(whole[0], np.float64), np.array(features[0, :, 1:], np.float64)


def lit(*parts: tuple[float, float]) -> np.ndarray:
    """Reductions in nepers, each for so many seconds."""
    return np.concatenate([np.full(round(seconds / FRAME_S), nepers) for nepers, seconds in parts])


@pytest.mark.parametrize("seed", range(3))
def test_it_solves_the_equation_of_the_traps(seed):
    cell = randomised(seed)
    emptying, filling, weight, power, loop = (np.array(part, np.float64) for part in cell.constants())
    parts = ((1.2, 0.4), (0.0, 0.3), (0.5, 0.2))
    full, ends, whole = np.zeros(TRAPS), [], []
    for nepers, seconds in parts:
        carriers = np.expm1(nepers)
        fills = filling * (carriers + DARK) ** power
        solved = solve_ivp(lambda _, s, r=fills: r * (1 - s) - s * emptying, (0, seconds), full, rtol=1e-9, atol=1e-12)
        full = solved.y[:, -1]
        spared = (1 + carriers) / (1 + (1 + loop[0]) * carriers)
        whole.append(np.log1p(carriers + full @ weight * spared))
        ends.append(full)
    found, traps = run(cell, lit(*parts))
    at = np.cumsum([round(seconds / FRAME_S) for _, seconds in parts]) - 1
    np.testing.assert_allclose(traps[at], ends, rtol=1e-4)
    np.testing.assert_allclose(found[at], whole, rtol=1e-4)


def test_the_longer_the_light_was_on_the_more_is_left_of_it():
    cell = OpticalCell(FRAME_S)
    left = [run(cell, lit((1.0, seconds), (0.0, 0.25)))[0][-1] for seconds in (0.1, 0.3, 1.0, 3.0, 10.0)]
    assert np.all(np.diff(left) > 0.002)


def test_it_never_gives_back_what_the_side_chain_takes_and_nothing_in_the_dark():
    rng = np.random.default_rng(0)
    cell, reduction = randomised(), rng.uniform(0, 4, 40).repeat(100)
    assert np.all(run(cell, reduction)[0] >= reduction - 1e-6)
    assert run(cell, np.zeros(9000))[0].max() < 1e-6


def test_in_pieces_it_is_the_same_as_in_one():
    cell = randomised()
    reduction = mx.random.uniform(0, 3, (2, 500))
    whole, features, last = cell(reduction, cell.initial_state(2))
    first, _, state = cell(reduction[:, :123], cell.initial_state(2))
    second, later, end = cell(reduction[:, 123:], state)
    assert np.abs(np.array(mx.concatenate([first, second], axis=1) - whole)).max() < 1e-6
    assert np.abs(np.array(later - features[:, 123:])).max() < 1e-6
    assert np.abs(np.array(end - last)).max() < 1e-6
