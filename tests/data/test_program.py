"""Programme material: repeatable, at realistic levels."""

import numpy as np
import pytest
import soundfile

from mlxopto.data import program
from mlxopto.data.virtual import VirtualSource, read_material
from mlxopto.devices import device
from mlxopto.errors import RequestError


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


def test_own_material_is_split_in_time_before_its_channels_are_joined(tmp_path):
    """What is heard at one moment in two channels of a recording must not be trained on in one and tested on in the other."""
    moments = np.linspace(-0.9, 0.9, 40 * 48000).astype(np.float32)  # every sample tells its moment
    soundfile.write(tmp_path / "stereo.wav", np.stack([moments, moments], axis=1), 48000, "FLOAT")
    train, validation, test = read_material(tmp_path, 48000)
    assert len(train) + len(validation) + len(test) == 2 * len(moments)
    assert train.max() < validation.min() < validation.max() < test.min()


def test_too_little_material_is_refused(tmp_path):
    soundfile.write(tmp_path / "short.wav", np.zeros(48000), 48000)
    with pytest.raises(RequestError, match=r"holds 1\.0 s of sound, at least 60 s are needed"):
        read_material(tmp_path, 48000)
