"""What goes between arrays and vectors lands where plain indexing puts it."""

import numba
import numpy as np
import pytest

from mlxopto.native import memory


@numba.njit
def _moved(x, at, step, out):
    memory.store(out, 0, memory.load_fours(x, at, step))
    memory.store(out, 16, memory.load_each(x, at, step))
    memory.store(out, 32, memory.load_one(x, at))
    memory.store_fours(out, 48 + at, step, memory.load(x, 0))


@pytest.mark.parametrize("step", [0, 1, 4, 7])
def test_fours_and_single_numbers_come_from_where_they_are_and_go_where_they_should(step):
    x, out, at = np.random.default_rng(0).standard_normal(64).astype(np.float32), np.zeros(128, np.float32), 3
    _moved(x, at, step, out)
    expected = np.zeros(128, np.float32)
    for j in range(4):
        expected[4 * j : 4 * j + 4] = x[at + j * step : at + j * step + 4]
        expected[16 + 4 * j : 20 + 4 * j] = x[at + j * step]
        expected[48 + at + j * step : 52 + at + j * step] = x[4 * j : 4 * j + 4]
    expected[32:48] = x[at]
    np.testing.assert_array_equal(out, expected)
