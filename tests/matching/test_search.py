"""Settings found from recordings of the virtual CL 1B, whose settings are known; and silence about what cannot be known."""

import numpy as np
import pytest

import mlxopto
from mlxopto.data import program
from mlxopto.devices import device
from mlxopto.errors import RequestError
from mlxopto.matching import search
from mlxopto.matching.search import Match, match
from tests.conftest import untrained

RATE = 48000
PANEL = device("cl1b").panel


def material(seconds: float, seed: int) -> np.ndarray:
    return program.generate(seconds, RATE, np.random.SeedSequence([11, seed]))


def quick(monkeypatch) -> None:
    monkeypatch.setattr(search, "CANDIDATES", 128)
    monkeypatch.setattr(search, "STARTS", 3)


def found(x: np.ndarray, y: np.ndarray, name: str = "cl1b") -> Match:
    return match(mlxopto.load(name), x, y, RATE, lambda share: None)


def travel_between(a: dict[str, float], b: dict[str, float]) -> np.ndarray:
    """Of each knob, % of its travel."""
    return 50 * np.abs(np.subtract(PANEL.normalise(a), PANEL.normalise(b)))


def test_the_settings_of_a_render_are_found_whatever_its_level_lag_and_polarity(monkeypatch):
    quick(monkeypatch)
    setting = PANEL.setting({"threshold": -18.0, "ratio": 5.0, "attack": 6.0, "release": 300.0})
    x = material(6, 0)
    y = device("cl1b").process(x, RATE, setting)
    result = found(x, y)
    assert travel_between(result.setting, setting).max() < 5
    assert all(knob.known and knob.low <= knob.value <= knob.high for knob in result.knobs)
    assert (result.lag, result.inverted) == (0, False)
    assert result.esr < 2e-3
    late = found(x, -0.25 * np.concatenate([np.zeros(700, np.float32), y])[: len(y)])
    assert (late.lag, late.inverted) == (700, True)
    assert travel_between(late.setting, result.setting).max() < 1
    assert late.makeup_db == pytest.approx(result.makeup_db - 12.04, abs=0.1)


def test_what_a_recording_without_compression_cannot_tell_is_said(monkeypatch):
    quick(monkeypatch)
    x = 0.01 * material(4, 1)
    result = found(x, 0.5 * x)
    assert not any(knob.known for knob in result.knobs if knob.name in ("ratio", "attack", "release"))
    assert result.setting["threshold"] > -30


def test_a_stereo_recording_gives_the_settings_of_its_channels(monkeypatch):
    quick(monkeypatch)
    setting = PANEL.setting({"threshold": -15.0, "ratio": 3.0, "attack": 20.0, "release": 500.0})
    x = np.stack([material(4, 2), material(4, 3)], axis=1)
    y = np.stack(
        [level * device("cl1b").process(channel, RATE, setting) for level, channel in zip((1, 0.5), x.T, strict=True)], axis=1
    )
    assert travel_between(found(x, y).setting, setting).max() < 7


def test_a_switch_is_told_where_it_is_heard(monkeypatch):
    """The engine's own renders, so that the model is exact."""
    quick(monkeypatch)
    compressor = mlxopto.load("la2a")
    x = material(4, 4)
    for mode in ("compress", "limit"):
        result = found(x, compressor(x, RATE, peak_reduction=85, mode=mode), "la2a")
        knobs = {knob.name: knob for knob in result.knobs}
        assert compressor.panel["mode"].format(knobs["mode"].value) == mode
        assert knobs["mode"].known
        assert knobs["peak_reduction"].value == pytest.approx(85, abs=1)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.ones(RATE), np.ones(RATE + 1), "same samples and channels"),
        (np.ones(RATE // 2), np.ones(RATE // 2), "at least 1 s, got 0.50 s"),
        (np.ones(RATE), np.zeros(RATE), "the wet recording is silent"),
        (np.ones(RATE), np.ones(RATE), "never change"),
        (np.ones((RATE, 2)), np.stack([np.ones(RATE), np.zeros(RATE)], axis=1), "the wet recording, channel 2, is silent"),
    ],
)
def test_recordings_that_cannot_be_compared_are_refused(x, y, message):
    with pytest.raises(RequestError, match=message):
        match(untrained(), x, y, RATE, lambda share: None)


@pytest.mark.slow
def test_renders_of_the_cl1b_give_their_settings_back(request):
    """Settings all over the panel: at most 5 % of the travel in the median, for every knob that the recording tells about."""
    count = 3 if request.config.getoption("--small") else 16
    rng = np.random.default_rng(5)
    errors, known = [], []
    for i in range(count):
        places = rng.uniform(-0.95, 0.95, len(PANEL.controls))
        setting = {control.name: control.denormalise(at) for control, at in zip(PANEL.controls, places, strict=True)}
        x = material(12, 10 + i)
        result = found(x, device("cl1b").process(x, RATE, setting))
        errors.append(travel_between(result.setting, setting))
        known.append([knob.known for knob in result.knobs])
    masked = np.ma.array(errors, mask=~np.array(known))
    assert (np.ma.median(masked, axis=0) <= 5).all()
    assert masked.count() > 0.7 * masked.size
