"""Gain where something is heard, against plain numpy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlxopto.metrics.gain import gain_where_audible

AUDIBLE = 1e-3


@given(st.integers(1, 300), st.integers(1, 3), st.integers(1, 2), st.integers(1, 50), st.integers(0, 2**32 - 1))
def test_sums_counts_and_the_lowest_are_those_of_the_audible_samples(samples, channels, paths, column, seed):
    rng = np.random.default_rng(seed)
    x = (10 ** rng.uniform(-4, 0, (samples, channels)) * rng.choice([-1, 1], (samples, channels))).astype(np.float32)
    gain = (10 ** rng.uniform(-8, 0.5, (samples, paths))).astype(np.float32)
    starts = np.arange(0, samples, column)
    sums, counts = np.zeros(len(starts)), np.zeros(len(starts))
    lowest = gain_where_audible(x, gain, AUDIBLE, starts, sums, counts)
    heard = np.abs(x).max(axis=1) > AUDIBLE
    gain_db = np.where(heard, 20 * np.log10(np.maximum(gain.min(axis=1).astype(np.float64), 1e-6)), 0)
    np.testing.assert_allclose(sums, np.add.reduceat(gain_db, starts), atol=1e-3)
    np.testing.assert_array_equal(counts, np.add.reduceat(heard.astype(float), starts))
    assert lowest == pytest.approx(gain_db[heard].min() if heard.any() else np.inf, abs=1e-4)
