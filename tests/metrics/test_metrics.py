"""Error measures, on cases whose answer is known."""

import numpy as np
import pytest
import scipy

from mlxopto import metrics
from mlxopto.metrics import spectra

RATE = 48000


@pytest.fixture
def pair(noise) -> tuple[np.ndarray, np.ndarray]:
    """A target and a filtered, noisy estimate."""
    rng = np.random.default_rng(7)
    estimate = scipy.signal.lfilter([0.8, 0.15], [1], noise) + 0.003 * rng.standard_normal(len(noise))
    return noise, estimate.astype(np.float32)


def test_esr_of_a_scaled_signal_is_the_square_of_what_is_missing(noise):
    assert metrics.esr(noise, 0.9 * noise) == pytest.approx(0.01, rel=1e-5)
    assert metrics.esr(noise, noise) == 0
    assert metrics.esr(noise, np.zeros_like(noise)) == 1
    assert metrics.esr(np.zeros(4), np.zeros(4)) == 0
    assert metrics.esr(np.zeros(4), np.ones(4)) == np.inf


def test_gain_error_of_a_half_decibel_offset_is_half_a_decibel(noise):
    off = noise * np.float32(10 ** (0.5 / 20))
    assert metrics.gain_error_db(noise, noise, off, 48000) == pytest.approx(0.5, abs=1e-3)


def test_gain_error_ignores_what_cannot_be_heard(noise):
    x = np.concatenate([noise[:48000], 1e-4 * noise[48000:]])
    y = np.concatenate([noise[:48000], noise[48000:]])
    assert metrics.gain_error_db(x, x, y, 48000) == pytest.approx(0, abs=1e-6)


def test_errors_of_samples(pair):
    target, estimate = (a.astype(np.float64) for a in pair)
    assert metrics.mse(*pair) == pytest.approx(np.var(target - estimate) + np.mean(target - estimate) ** 2)
    assert metrics.rmse(*pair) == pytest.approx(np.linalg.norm(target - estimate) / np.sqrt(len(target)))
    assert metrics.mae(*pair) == pytest.approx(scipy.spatial.distance.cityblock(target, estimate) / len(target))
    assert metrics.mae_rectified(target, -target) == 0  # what a true root mean square error is not
    assert metrics.rmse(target, -target) == pytest.approx(2 * np.sqrt(np.mean(target**2)))
    assert metrics.mae_rectified(*pair) <= metrics.mae(*pair)


def test_emphasis_is_a_first_order_filter(pair):
    target, estimate = (scipy.signal.lfilter([1, -0.85], [1], a.astype(np.float64)) for a in pair)
    assert metrics.esr_emphasised(*pair) == pytest.approx(np.sum((target - estimate) ** 2) / np.sum(target**2))


def test_the_papers_spectral_error_by_scipy(pair):
    errors = []
    for window in (32, 64, 128):
        transform = scipy.signal.ShortTimeFFT(scipy.signal.get_window("hann", window), window // 4, RATE)
        y, p = (np.abs(transform.stft(a.astype(np.float64), p0=0)) ** 2 for a in pair)
        whole = slice(2, 2 + (len(pair[0]) - window) // (window // 4) + 1)  # frames wholly inside; scipy's are centred
        errors.append(np.abs(y - p)[:, whole].sum() / (y[:, whole].sum() + 1e-5))
    assert metrics.multi_resolution_stft_paper(*pair) == pytest.approx(np.mean(errors), rel=1e-9)
    assert metrics.multi_resolution_stft_paper(pair[0], pair[0]) == 0


def test_multi_resolution_stft_is_auralosss(pair):
    auraloss = pytest.importorskip("auraloss", reason="needs the extra peers", exc_type=ImportError)
    import torch

    estimate, target = (torch.tensor(a)[None, None] for a in (pair[1], pair[0]))
    theirs = auraloss.freq.MultiResolutionSTFTLoss()(estimate, target)
    assert metrics.multi_resolution_stft(*pair) == pytest.approx(float(theirs), rel=1e-4)


def test_multi_resolution_stft_knows_an_offset(noise):
    """Half the level: convergence is 1/2, the log magnitude differs by log 2 (but for what is below the floor)."""
    loud = noise + 0.1 * np.random.default_rng(1).standard_normal(len(noise))
    assert metrics.multi_resolution_stft(loud, loud / 2) == pytest.approx(0.5 + np.log(2), rel=1e-3)
    assert metrics.multi_resolution_stft(loud, loud) == 0


@pytest.mark.parametrize(
    ("size", "bands", "low", "high", "slaney"), [(1024, 80, 80, 20000, False), (2048, 128, 0, 24000, True)]
)
def test_mel_bands_are_librosas(size, bands, low, high, slaney):
    librosa = pytest.importorskip("librosa")
    norm = "slaney" if slaney else None
    theirs = librosa.filters.mel(sr=RATE, n_fft=size, n_mels=bands, fmin=low, fmax=high, htk=not slaney, norm=norm)
    np.testing.assert_allclose(spectra.mel_bands(RATE, size, bands, low, high, slaney), theirs, atol=1e-6)


def test_mfcc_error_by_librosa_and_scipy(pair):
    librosa = pytest.importorskip("librosa")
    mel = librosa.filters.mel(sr=RATE, n_fft=1024, n_mels=80, fmin=80, fmax=20000, htk=True, norm=None)
    found = []
    for a in pair:
        spectrum = np.abs(librosa.stft(a.astype(np.float64), n_fft=1024, hop_length=256, center=False))
        found.append(scipy.fft.dct(np.log(mel @ spectrum + 1e-6), axis=0, norm="ortho"))
    expected = np.abs(found[0] - found[1]).sum() / np.abs(found[0]).sum()
    assert metrics.mfcc_error(*pair, RATE) == pytest.approx(expected, rel=1e-4)


def test_spectral_flux_is_the_difference_of_librosas_onset_strength(pair):
    librosa = pytest.importorskip("librosa")
    ours, theirs = (librosa.onset.onset_strength(y=a, sr=RATE) for a in pair)
    np.testing.assert_allclose(spectra.onset_strength(pair[0], RATE), ours, atol=1e-3)
    assert metrics.spectral_flux(*pair, RATE) == pytest.approx(np.mean(np.abs(ours - theirs)), rel=1e-3)


def test_spectral_flux_is_a_mean_over_long_windows(noise):
    target = np.tile(noise, 8)
    estimate = target * np.linspace(0.5, 1, len(target))
    windows = [slice(at, at + 480_000) for at in range(0, len(target) - 480_000 + 1, 120_000)]
    assert len(windows) == 3
    expected = np.mean([metrics.spectral_flux(target[w], estimate[w], RATE) for w in windows])
    assert metrics.spectral_flux(target, estimate, RATE) == pytest.approx(expected)


def test_loudness_difference_of_three_decibels_is_three(noise):
    assert metrics.loudness_difference(noise, noise * 10 ** (3 / 20), RATE) == pytest.approx(3, abs=1e-3)
    assert np.isnan(metrics.loudness_difference(noise, np.zeros_like(noise), RATE))


def test_the_95th_percentile_of_the_gain_error_hears_what_the_rms_hides():
    x = 0.1 * np.random.default_rng(2).standard_normal(RATE)
    off = x.copy()
    off[: RATE // 10] *= 2
    assert metrics.gain_error_db_p95(x, x, off, RATE) == pytest.approx(6.02, abs=0.01)
    assert metrics.gain_error_db(x, x, off, RATE) == pytest.approx(6.02 * np.sqrt(0.1), abs=0.01)
    assert metrics.gain_error_db_p95(np.zeros(RATE), x, off, RATE) == 0
