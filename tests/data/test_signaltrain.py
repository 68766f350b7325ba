"""A folder of SignalTrain's shape, made here: read by segments, quirks handled and named."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from mlxopto.data import signaltrain
from mlxopto.data.formats import kind, open_folder
from mlxopto.data.signaltrain import SignalTrainSource, pairs
from mlxopto.errors import RequestError

RATE = 44100


def record(folder: Path, number: int, switch: int, peak: int, seconds: float, channels: int = 1, longer: int = 0) -> None:
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(number)
    x = (0.1 * rng.standard_normal(int(seconds * RATE))).astype(np.float32)
    y = np.concatenate([x * (1 - peak / 200), np.zeros(longer, np.float32)])
    soundfile.write(folder / f"input_{number}_.wav", x, RATE, "FLOAT")
    columns = y if channels == 1 else np.stack([y] * channels, axis=1)
    soundfile.write(folder / f"target_{number}_LA2A_3c__{switch}__{peak}.wav", columns, RATE, "FLOAT")


@pytest.fixture
def folder(tmp_path) -> Path:
    record(tmp_path / "Train", 1, 0, 40, 3.0)
    record(tmp_path / "Train", 2, 1, 80, 2.0, channels=2)
    record(tmp_path / "Train", 138, 0, 65, 0.5, longer=100)
    record(tmp_path / "Val", 7, 0, 50, 1.0)
    record(tmp_path / "Test", 8, 0, 40, 1.0)
    record(tmp_path / "Test", 9, 1, 100, 1.0)
    return tmp_path


def test_pairs_settings_and_splits_are_read_from_the_names(folder):
    assert kind(folder) == "signaltrain"
    source = open_folder(folder, 0)
    assert isinstance(source, SignalTrainSource)
    assert (source.sample_rate, source.training_settings) == (RATE, 3)
    assert [take.setting for take in source.validation] == [{"peak_reduction": 50, "mode": 0}]
    assert [take.setting["peak_reduction"] for take in source.test["seen"]] == [40]
    assert source.test["unseen"][0].setting == {"peak_reduction": 100, "mode": 1}


def test_segments_are_aligned_and_the_same_every_time(folder, monkeypatch):
    monkeypatch.setattr(signaltrain, "SEGMENT_S", 0.8)
    source, again = SignalTrainSource(folder, 3), SignalTrainSource(folder, 3)
    lengths = set()
    for index in range(12):
        take = source.sequence(index)
        np.testing.assert_array_equal(take.x, again.sequence(index).x)
        np.testing.assert_allclose(take.y, take.x * (1 - take.setting["peak_reduction"] / 200), rtol=1e-5)
        lengths.add(len(take.x))
    assert lengths == {round(0.8 * RATE), round(0.5 * RATE)}


def test_no_more_than_a_segment_is_read_at_once(folder, monkeypatch):
    monkeypatch.setattr(signaltrain, "SEGMENT_S", 0.25)
    monkeypatch.setattr(signaltrain, "TEST_S", 0.25)
    read = []
    monkeypatch.setattr(
        signaltrain.audio, "read_part", lambda *a, part=signaltrain.audio.read_part: read.append(a[2]) or part(*a)
    )
    source = SignalTrainSource(folder, 0)
    for index in range(6):
        source.sequence(index)
    assert max(read) == round(0.25 * RATE)


def test_quirks_are_remarked(folder):
    remarks = [remark for pair in pairs(folder) for remark in pair.remarks]
    assert len(remarks) == 2
    assert "has 2 channels: one is taken" in remarks[1]
    assert f"has {RATE // 2 + 100} samples, its input {RATE // 2}: the end is left out" in remarks[0]


def test_what_does_not_fit_is_named(folder):
    (folder / "Train" / "target_5_LA2A_3c__2__65.wav").write_bytes(b"")
    (folder / "Train" / "target_6_LA2A_3c__0__165.wav").write_bytes(b"")
    (folder / "Train" / "input_1_.wav").unlink()
    with pytest.raises(RequestError) as error:
        SignalTrainSource(folder, 0)
    for part in ("target_5_LA2A_3c__2__65.wav does not name a switch", "target_6", "input_1_.wav"):
        assert part in str(error.value)


def test_channels_that_differ_are_refused(folder):
    path = folder / "Train" / "target_2_LA2A_3c__1__80.wav"
    y, rate = soundfile.read(path)
    y[100, 1] += 0.5
    soundfile.write(path, y, rate, "FLOAT")
    source = SignalTrainSource(folder, 0)
    with pytest.raises(RequestError, match="has 2 channels that differ, a recording must be mono"):
        for index in range(6):
            source.sequence(index)


def test_without_validation_recordings_it_says_so(folder):
    for path in (folder / "Val").iterdir():
        path.unlink()
    with pytest.raises(RequestError, match="Val has no recordings to validate on"):
        SignalTrainSource(folder, 0)
