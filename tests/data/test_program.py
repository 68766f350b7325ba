"""Programme material: repeatable, at realistic levels."""

import numpy as np

from mlxopto.data import program
from mlxopto.data.virtual import VirtualSource
from mlxopto.devices import device


def test_the_seed_decides_everything():
    np.testing.assert_array_equal(program.generate(9, 48000, 3), program.generate(9, 48000, 3))
    assert not np.array_equal(program.generate(9, 48000, 3), program.generate(9, 48000, 4))


def test_levels_and_crest_factors_are_those_of_music():
    x = program.generate(120, 48000, 1)
    assert x.dtype == np.float32
    assert len(x) == 120 * 48000
    assert np.abs(x).max() <= 1
    rms_db = 10 * np.log10(np.mean(x.reshape(-1, 48000) ** 2, axis=1) + 1e-12)
    peak_db = 20 * np.log10(np.abs(x.reshape(-1, 48000)).max(axis=1) + 1e-6)
    crest = (peak_db - rms_db)[rms_db > -60]
    assert -35 < np.median(rms_db) < -15
    assert 6 < np.median(crest) < 22


def test_settings_and_material_of_train_validation_and_test_are_disjoint():
    source = VirtualSource(device("cl1b"), 48000, 0, settings=16, takes=4, pool_s=20)
    trained = {tuple(s.items()) for s in source.settings}
    assert not trained & {tuple(t.setting.items()) for t in (*source.validation, *source.test["unseen"])}
    assert {tuple(t.setting.items()) for t in source.test["seen"]} <= trained
    pool = source.pool.tobytes()
    for take in (*source.validation, *source.test["seen"], *source.test["unseen"]):
        assert take.x[:4800].tobytes() not in pool


def test_a_sequence_is_the_device_at_a_training_setting_and_repeatable():
    source = VirtualSource(device("la2a"), 48000, 0, settings=16, takes=4, pool_s=20)
    take, again = source.sequence(5), source.sequence(5)
    np.testing.assert_array_equal(take.x, again.x)
    np.testing.assert_array_equal(take.y, device("la2a").process(take.x, 48000, take.setting))
    assert take.setting in source.settings
