"""What can be said from a few takes or runs: bootstrap intervals and permutation tests, always drawn the same way."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

RESAMPLES = 2000  # of the bootstrap
_FLIPS = 10_000  # of a permutation test, where there are too many for all
_ALL_FLIPS_UP_TO = 12  # differences


def interval(values: np.ndarray, statistic: Callable[..., np.ndarray] = np.mean) -> tuple[float, float]:
    """The bootstrap's 95 % interval of a statistic of `values` (n,), the mean unless told otherwise; it must take an axis."""
    draws = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.percentile(statistic(values[draws], axis=1), [2.5, 97.5])
    return float(low), float(high)


def nested_interval(groups: Sequence[np.ndarray], statistic: Callable[..., Any] = np.mean) -> tuple[float, float]:
    """The bootstrap's 95 % interval of a statistic of all values of some groups (runs, and the takes of each).

    Groups are drawn anew, then values within each, because values of one group have its luck in common. With few groups the
    interval is rough; with one it knows the values' spread only.
    """
    rng = np.random.default_rng(0)
    filled = [group for group in groups if len(group)]
    drawn = []
    for _ in range(RESAMPLES):
        chosen = [filled[i] for i in rng.integers(len(filled), size=len(filled))]
        drawn.append(statistic(np.concatenate([rng.choice(group, len(group)) for group in chosen])))
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)


def permutation_p(differences: np.ndarray) -> float:
    """Two-sided p value of a mean difference of zero, by flipping signs: all ways for up to 12 takes, else 10,000
    random ones.
    """
    observed = abs(differences.mean())
    count = len(differences)
    if count <= _ALL_FLIPS_UP_TO:
        signs = np.array(list(itertools.product((1, -1), repeat=count)))
        return float(np.mean(np.abs((signs * differences).mean(axis=1)) >= observed * (1 - 1e-12)))
    signs = np.random.default_rng(0).choice((1, -1), size=(_FLIPS, count))
    extreme = np.abs((signs * differences).mean(axis=1)) >= observed * (1 - 1e-12)
    return float((1 + extreme.sum()) / (1 + _FLIPS))


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's, of two series (n,); equal values share their mean rank. 0 where one of them does not vary."""
    ranks = np.stack([_ranks(a), _ranks(b)])
    ranks -= ranks.mean(axis=1, keepdims=True)
    spread = float(np.sqrt(np.square(ranks).sum(axis=1).prod()))
    return float(ranks.prod(axis=0).sum() / spread) if spread else 0.0


def rank_correlation_interval(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """The bootstrap's 95 % interval, pairs drawn anew."""
    draws = np.random.default_rng(0).integers(len(a), size=(RESAMPLES, len(a)))
    low, high = np.percentile([rank_correlation(a[draw], b[draw]) for draw in draws], [2.5, 97.5])
    return float(low), float(high)


def rank_correlation_p(a: np.ndarray, b: np.ndarray) -> float:
    """Two-sided p value of no correlation, by shuffling one series."""
    rng = np.random.default_rng(0)
    observed = abs(rank_correlation(a, b)) * (1 - 1e-12)
    extreme = sum(abs(rank_correlation(a, rng.permutation(b))) >= observed for _ in range(_FLIPS))
    return (1 + extreme) / (1 + _FLIPS)


def _ranks(values: np.ndarray) -> np.ndarray:
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[group]
