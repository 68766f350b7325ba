"""Proposed settings: where the model's gain is least like that of what is recorded."""

import numpy as np
import pytest

import mlxopto
from mlxopto.capture.proposals import propose


@pytest.fixture(scope="module")
def la2a():
    return mlxopto.load("la2a")


def test_settings_that_sound_alike_are_not_proposed(la2a):
    """Below 20 an LA-2A hardly compresses: one recording there tells of all."""
    recorded = [la2a.panel.setting({"peak_reduction": 5.0}), la2a.panel.setting({"peak_reduction": 5.0, "mode": "limit"})]
    before, proposals = propose(la2a, recorded, [], 6, lambda share: None)
    assert all(proposal.setting["peak_reduction"] > 25 for proposal in proposals)
    left = [before, *(proposal.mean_db for proposal in proposals)]
    assert np.all(np.diff(left) < 0)
    assert left[-1] < 0.25 * left[0]


def test_what_is_recorded_is_not_proposed_again(la2a):
    recorded = [la2a.panel.setting({})]
    _, proposals = propose(la2a, recorded, [], 3, lambda share: None)
    _, next_ones = propose(la2a, [*recorded, *(p.setting for p in proposals)], [], 3, lambda share: None)
    assert not [p for p in next_ones if p.setting in [q.setting for q in proposals]]
    assert next_ones[0].mean_db < proposals[-1].mean_db


def test_the_expected_difference_is_that_of_the_gains(la2a):
    """Against the gains of the two settings themselves, over other material."""
    recorded = [la2a.panel.setting({"peak_reduction": 20.0})]
    _, (proposal,) = propose(la2a, recorded, [], 1, lambda share: None)
    rng = np.random.default_rng(0)
    x = (0.3 * rng.standard_normal(96000) * np.repeat(10 ** rng.uniform(-1.5, 0, 20), 4800)).astype(np.float32)
    levels = []
    for setting in (recorded[0], proposal.setting):
        stream = la2a.stream(1, **setting)
        stream(x)
        levels.append(20 * np.log10(stream.gain))
    assert proposal.new_db == pytest.approx(np.sqrt(np.mean((levels[0] - levels[1]) ** 2)), rel=0.7)
