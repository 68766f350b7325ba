"""Figures of the passage against gains that are known because the test makes them."""

import numpy as np
import pytest
from scipy.signal import freqz, lfilter

from mlxopto.response.figures import memory_error_db, respond, static_error_db
from mlxopto.response.passage import EXPOSURES_S, LOUD_DBFS, Passage, passage

RATE = 48000
ATTACK_S, RELEASE_S = 0.05, 0.4  # time constants, in dB


@pytest.fixture(scope="module")
def played() -> Passage:
    return passage(RATE)


def gain_db(played: Passage, reduction, release_s: float = RELEASE_S) -> np.ndarray:
    """Reduction that comes and goes exponentially; `reduction` of a section's level in dBFS where it has come."""
    now, parts = 0.0, []
    for section in played.sections:
        target = reduction(section.level_dbfs)
        tau = ATTACK_S if target > now else release_s
        t = np.arange(1, section.end - section.start + 1) / RATE
        parts.append(target + (now - target) * np.exp(-t / tau))
        now = parts[-1][-1]
    return -np.concatenate(parts)


def hard_knee(level_dbfs: float) -> float:
    """4:1 above -20 dBFS."""
    return max(0.0, 0.75 * (level_dbfs + 20))


def through(played: Passage, gain: np.ndarray) -> np.ndarray:
    return played.x * 10 ** (gain / 20)


def test_a_wire_does_nothing(played):
    found = respond(played, played.x)
    assert found.noise_dbfs == -200
    assert found.threshold_dbfs is None
    assert found.ratio == pytest.approx(1, abs=1e-3)
    assert all(abs(s.gain_db) < 1e-3 and s.thd < 1e-3 for s in (*found.static, *found.low))
    assert all(abs(db) < 1e-3 for _, *both in found.frequencies for db in both)
    assert all(d.attack == d.release == (None, None, None) for d in (*found.depths, *found.exposures))


def test_static_curve_threshold_and_ratio(played):
    found = respond(played, through(played, gain_db(played, hard_knee)))
    for steady in found.static:
        assert steady.gain_db == pytest.approx(-hard_knee(steady.level_in), abs=0.02)
    assert found.ratio == pytest.approx(4, rel=0.02)
    assert found.threshold_dbfs == pytest.approx(-20 + 1 / 0.75, abs=0.1)


def test_attack_and_release_times(played):
    """Of an exponential: ln 2, ln 10 and ln 20 time constants."""
    found = respond(played, through(played, gain_db(played, hard_knee)))
    wanted = np.log([2, 10, 20])
    for dynamics in (*found.depths[2:], *found.exposures[2:]):  # in shorter tones not all of the reduction has come
        assert dynamics.depth_db == pytest.approx(hard_knee(dynamics.level_in), rel=0.01)
        assert dynamics.attack == pytest.approx(ATTACK_S * wanted, rel=0.03, abs=0.001)
        assert dynamics.release == pytest.approx(RELEASE_S * wanted, rel=0.02, abs=0.001)
        assert dynamics.left == pytest.approx(np.exp(-0.25 / RELEASE_S), rel=0.02)


def test_release_that_does_not_come_to_an_end_is_none(played):
    found = respond(played, through(played, gain_db(played, hard_knee, release_s=20.0)))
    assert found.exposures[-1].release[1] is None


def test_harmonics_of_a_cubic(played):
    """x + a x^3: the third harmonic is a A^2 / 4 over the fundamental's 1 + 3 a A^2 / 4."""
    x = played.x.astype(np.float64)
    for steady in respond(played, x + 0.1 * x**3).static[-4:]:
        square = 10 ** (steady.level_in / 10)
        third = 100 * (0.1 * square / 4) / (1 + 3 * 0.1 * square / 4)
        assert steady.harmonics[3] == pytest.approx(third, rel=1e-3)
        assert steady.harmonics[2] < 1e-3
        assert steady.thd == pytest.approx(third, rel=1e-3)


def test_noise_and_frequency_response(played):
    noise = 1e-3 * np.random.default_rng(0).standard_normal(len(played.x))
    assert respond(played, played.x + noise).noise_dbfs == pytest.approx(-60, abs=0.2)
    pole = np.exp(-2 * np.pi * 5000 / RATE)
    found = respond(played, lfilter([1 - pole], [1, -pole], played.x)).frequencies
    hz = np.array([f for f, *_ in found])
    _, response = freqz([1 - pole], [1, -pole], worN=np.array([*hz, 1000.0]), fs=RATE)
    wanted = 20 * np.log10(np.abs(response[:-1] / response[-1]))
    for part in (1, 2):
        assert [row[part] for row in found] == pytest.approx(wanted, abs=0.05)


def test_two_compressors_differ_by_what_was_planted(played):
    quick, slow = (respond(played, through(played, gain_db(played, hard_knee, s))) for s in (0.2, 0.4))
    depth = hard_knee(LOUD_DBFS)
    t = np.arange(0.001, 4, 0.01)
    wanted = depth * np.sqrt(np.mean((np.exp(-t / 0.2) - np.exp(-t / 0.4)) ** 2))
    errors = memory_error_db(quick, slow)
    assert len(errors) == len(EXPOSURES_S)
    assert errors[2:] == pytest.approx([wanted] * 4, rel=0.03)
    assert static_error_db(quick, slow) < 0.02


@pytest.mark.parametrize("rate", [44100, 96000])
def test_other_rates_tell_the_same(rate):
    other = passage(rate)
    found = respond(other, 0.5 * other.x)
    assert all(s.gain_db == pytest.approx(-6.02, abs=0.01) for s in found.static)
    assert len(found.frequencies) == 30
