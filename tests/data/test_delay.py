"""The fraction of a sample by which a recording is late."""

import json

import numpy as np
import pytest
import soundfile
from scipy import signal

from mlxopto.data import program
from mlxopto.data.captures import CaptureSource
from mlxopto.data.delay import advanced, fraction_late
from mlxopto.devices import device
from tests.conftest import shared

RATE = 48000


def later(x: np.ndarray, samples: float) -> np.ndarray:
    """By a windowed sinc of 129 taps, which is none of the program's."""
    n = np.arange(-64, 65)
    return np.convolve(x, np.sinc(n - samples) * np.kaiser(129, 8.0), "same")


@pytest.mark.parametrize("samples", [-0.7, 0.0, 0.3, 1.4])
def test_a_delay_of_noise_is_found(samples):
    x = np.random.default_rng(0).standard_normal(RATE)
    assert fraction_late(x, later(x, samples)) == pytest.approx(samples, abs=0.01)


def test_a_filter_of_minimum_phase_is_no_delay():
    x = np.random.default_rng(1).standard_normal(RATE)
    y = signal.lfilter([0.85, 0.1], [1.0, -0.05], x)  # -2 dB at 15 kHz, as a transformer has
    assert fraction_late(x, y) == pytest.approx(0, abs=0.1)
    assert fraction_late(x, later(y, 0.5)) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_music_through_a_compressor_tells_it_to_a_tenth(seed):
    unit, x = device("la2a"), program.generate(4.0, RATE, seed)
    y = unit.process(x, RATE, unit.panel.setting({"peak_reduction": 70.0, "mode": 0.0}))
    at_once = fraction_late(x, y)
    assert at_once == pytest.approx(0, abs=0.15)
    assert fraction_late(x, later(y, 0.4)) - at_once == pytest.approx(0.4, abs=0.05)


def test_hardware_is_late_by_what_was_found_by_hand():
    """0.25 to 0.35 samples of the LA-2A, about 0.6 of the CL 1B."""
    for name, samples in (("la2a_pr40_compress", 0.3), ("cl1b_m20dbu_2to1", 0.55)):
        x, y = (soundfile.read(shared(f"hardware/{name}_{part}.wav"))[0] for part in ("input", "target"))
        assert fraction_late(x, y) == pytest.approx(samples, abs=0.06)


@pytest.mark.parametrize("x", [np.zeros(0), np.zeros(5000), np.ones(5000), np.ones(100)])
def test_what_tells_nothing_is_not_late(x):
    assert fraction_late(x, x) == pytest.approx(0, abs=0.15)


def test_advancing_undoes_a_delay():
    x = np.random.default_rng(2).standard_normal(4096)
    x = signal.lfilter(*signal.butter(4, 0.8), x)
    np.testing.assert_allclose(advanced(later(x, 0.3), 0.3)[200:-200], x[200:-200], atol=2e-3)


def test_a_folder_takes_it_off_and_says_so(tmp_path):
    x = signal.lfilter(*signal.butter(4, 0.8), np.random.default_rng(4).standard_normal(2 * RATE) * 0.1)
    document = {"device": "late", "controls": [{"name": "gain", "unit": "dB", "low": 0, "high": 1, "scale": "lin"}]}
    (tmp_path / "device.json").write_text(json.dumps(document))
    entry = {"input": "x.wav", "target": "y.wav", "controls": {"gain": {"value": 0, "unit": "dB"}}, "split": "train"}
    (tmp_path / "manifest.json").write_text(json.dumps([entry]))
    soundfile.write(tmp_path / "x.wav", x, RATE, "FLOAT")
    soundfile.write(tmp_path / "y.wav", later(x, 0.4), RATE, "FLOAT")
    source = CaptureSource(tmp_path, 0)
    assert source.remarks == ("the recordings are 0.40 samples late, which was taken off",)
    take = source.sequence(0)
    error = (take.y - take.x)[1000:-1000]
    assert np.square(error).mean() < 1e-3 * np.square(take.x).mean()
