"""Intervals, permutation tests and rank correlations against scipy's."""

import numpy as np
import pytest
import scipy
from hypothesis import given, settings
from hypothesis import strategies as st

from mlxopto.evaluation import statistics

NUMBERS = st.lists(st.integers(-5, 5), min_size=3, max_size=30)


def test_intervals_are_those_of_scipys_bootstrap():
    values = np.random.default_rng(0).lognormal(size=24)
    theirs = scipy.stats.bootstrap((values,), np.mean, n_resamples=20000, method="percentile", rng=1).confidence_interval
    low, high = statistics.interval(values)
    assert (low, high) == pytest.approx((theirs.low, theirs.high), rel=0.05)
    assert statistics.interval(np.array([2.0])) == (2.0, 2.0)


def test_an_interval_of_another_statistic():
    values = np.random.default_rng(0).lognormal(size=24)
    theirs = scipy.stats.bootstrap((values,), np.median, n_resamples=20000, method="percentile", rng=1).confidence_interval
    assert statistics.interval(values, np.median) == pytest.approx((theirs.low, theirs.high), rel=0.1)


@pytest.mark.parametrize("count", [8, 30])
def test_p_values_are_those_of_scipys_permutation_test(count):
    differences = np.random.default_rng(2).normal(0.3, 1, count)
    theirs = scipy.stats.permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=20000, rng=1)
    assert statistics.permutation_p(differences) == pytest.approx(theirs.pvalue, abs=1e-9 if count == 8 else 0.01)


@settings(max_examples=100, deadline=None)
@given(NUMBERS, st.integers(0, 99))
def test_rank_correlations_are_scipys_with_ties_too(a, seed):
    b = np.random.default_rng(seed).integers(0, 4, len(a)).astype(float)
    ours = statistics.rank_correlation(np.array(a, float), b)
    if len(set(a)) == 1 or len(set(b)) == 1:
        assert ours == 0
    else:
        assert ours == pytest.approx(scipy.stats.spearmanr(a, b).statistic, abs=1e-12)


def test_their_interval_and_p_value():
    rng = np.random.default_rng(4)
    a = np.repeat([4.0, 8, 16, 32, 64], 3)
    b = -np.log(a) + rng.normal(0, 1.0, len(a))
    low, high = statistics.rank_correlation_interval(a, b)
    assert -1 <= low < statistics.rank_correlation(a, b) < high < 0
    theirs = scipy.stats.permutation_test(
        (b,), lambda b: scipy.stats.spearmanr(a, b).statistic, permutation_type="pairings", n_resamples=5000, rng=1
    )
    assert statistics.rank_correlation_p(a, b) == pytest.approx(theirs.pvalue, abs=0.01)


def test_nested_intervals_know_that_values_of_a_group_hang_together():
    rng = np.random.default_rng(5)
    groups = [rng.normal(mean, 0.1, 40) for mean in (-1.0, 0.0, 1.0)]
    low, high = statistics.nested_interval(groups)
    pooled = statistics.interval(np.concatenate(groups))
    assert low < -0.6 < pooled[0] < pooled[1] < 0.6 < high
    alone = statistics.nested_interval(groups[:1])
    assert alone == pytest.approx(statistics.interval(groups[0]), abs=0.02)
