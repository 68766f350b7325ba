"""Recordings at another rate than the network that learns from them."""

import numpy as np

from mlxopto.data.resampled import ResampledSource
from mlxopto.data.virtual import VirtualSource
from mlxopto.devices import device


def test_every_take_is_resampled_and_it_is_remarked():
    unit = device("la2a")
    source = VirtualSource(unit, 44100, 0, settings=4, takes=2, pool_s=30.0)
    ours = ResampledSource(source, 48000)
    assert ours.sample_rate == 48000
    assert "recordings at 44100 Hz are resampled to the 48000 Hz" in ours.remarks[-1]
    for theirs, take in ((source.sequence(3), ours.sequence(3)), (source.test["unseen"][0], ours.test["unseen"][0])):
        assert len(take.x) == len(take.y) == round(len(theirs.x) * 48000 / 44100)
        assert take.setting == theirs.setting
        # the device, run at the other rate on the resampled input, does the same to what both rates can hold
        again = unit.process(take.x, 48000, take.setting)
        assert np.sum(np.square(again - take.y)) < 0.02 * np.sum(np.square(take.y))
    np.testing.assert_array_equal(ours.sequence(3).x, ours.sequence(3).x)
