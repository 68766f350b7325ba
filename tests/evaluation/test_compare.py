"""eval: errors of known size, a page that names what it shows."""

import json
import re

import mlx.core as mx
import numpy as np
import pytest
import soundfile

from mlxopto import metrics, weights
from mlxopto.compressor import Compressor
from mlxopto.controls import Control, Panel
from mlxopto.data.takes import Take
from mlxopto.errors import RequestError
from mlxopto.evaluation import compare
from mlxopto.models.network import Network
from tests.cli.test_bad_requests import refused, run

RATE = 48000
PANEL = Panel((Control("k", "", 0, 1),))


class Volume(Network):
    """A gain that does not listen."""

    class config:  # noqa: N801
        controls, sample_rate = 1, RATE

    def __init__(self, gain: float):
        super().__init__()
        self._gain = gain

    def initial_state(self, controls, channels=1):
        return {}

    def gain(self, key, controls, state=None):
        return mx.full(key.shape, self._gain), {}


def volume(gain: float) -> Compressor:
    return Compressor(Volume(gain), weights.Card("v", "volume", {}, RATE, PANEL))


class Halves:
    """Noise at half its level: three seen takes and two unseen ones."""

    sample_rate, panel = RATE, PANEL

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        noise = [(0.1 * rng.standard_normal(RATE)).astype(np.float32) for _ in range(5)]
        takes = [Take(x, 0.5 * x, {"k": i / 10}, f"x{i}.wav", f"y{i}.wav") for i, x in enumerate(noise)]
        self.test = {"seen": takes[:3], "unseen": takes[3:]}


def test_errors_of_known_size_are_found():
    models = {"good": volume(0.5), "loud": volume(0.55)}
    judged = list(compare.judge(models, Halves()))
    document = compare.document("halves", models, judged)
    json.dumps(document, allow_nan=False)
    good, loud = document["models"]
    assert (good["name"], good["arch"], good["parameters"]) == ("good", "volume", 0)
    assert set(good["seen"]) == set(compare.METRICS)
    assert good["unseen"]["esr"] == {"median": 0.0, "mean": 0.0, "ci95": [0.0, 0.0]}
    assert loud["seen"]["esr"]["mean"] == pytest.approx(0.01, rel=1e-3)
    assert loud["unseen"]["gain_error_db"]["median"] == pytest.approx(20 * np.log10(1.1), abs=1e-3)
    assert loud["seen"]["loudness_difference"]["mean"] == pytest.approx(20 * np.log10(1.1), abs=1e-3)
    assert [pair["split"] for pair in document["pairs"]] == ["seen"] * 3 + ["unseen"] * 2
    assert document["pairs"][4]["input"] == "x4.wav"
    assert document["pairs"][4]["controls"] == {"k": 0.4}
    assert document["pairs"][0]["loud"]["mae"] == pytest.approx(
        metrics.mae(judged[0].take.y, judged[0].outputs["loud"]), rel=1e-4
    )
    seen = [test for test in document["tests"] if test["split"] == "seen"]
    assert {(test["metric"], test["better"], test["p"]) for test in seen} == {
        ("esr", "good", 0.25),
        ("gain_error_db", "good", 0.25),
    }


def test_models_and_data_that_do_not_fit_are_refused():
    other = Compressor(Volume(1.0), weights.Card("v", "volume", {}, RATE, Panel((Control("q", "", 0, 1),))))
    with pytest.raises(RequestError, match="b has the controls q, the data have k"):
        list(compare.judge({"a": volume(1.0), "b": other}, Halves()))
    empty = Halves()
    empty.test = {"seen": [], "unseen": []}
    with pytest.raises(RequestError, match="none is marked seen or unseen"):
        list(compare.judge({"a": volume(1.0)}, empty))


@pytest.fixture
def recordings(tmp_path):
    """Captures of a CL 1B that does nothing."""
    rng = np.random.default_rng(0)
    manifest = []
    for i, split in enumerate(["train", "train", "train", "seen", "unseen"]):
        x = (0.1 * rng.standard_normal(RATE // 2)).astype(np.float32)
        soundfile.write(tmp_path / f"{i}.wav", x, RATE, "FLOAT")
        values = {"threshold": (-10 - (i % 3), "dBu"), "ratio": (4, ":1"), "attack": (20, "ms"), "release": (500, "ms")}
        controls = {name: {"value": value, "unit": unit} for name, (value, unit) in values.items()}
        manifest.append({"input": f"{i}.wav", "target": f"{i}.wav", "controls": controls, "split": split})
    ranges = {"threshold": ("dBu", -40, 20), "ratio": (":1", 2, 10), "attack": ("ms", 0.5, 300), "release": ("ms", 50, 10000)}
    declared = [{"name": name, "unit": unit, "low": low, "high": high} for name, (unit, low, high) in ranges.items()]
    (tmp_path / "device.json").write_text(json.dumps({"device": "cl1b", "controls": declared}))
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    return tmp_path


def test_the_command_writes_json_a_picture_and_a_page(recordings, weights_file, tmp_path):
    out, picture = tmp_path / "listen", tmp_path / "e.png"
    arguments = ("eval", weights_file, "cl1b", "--data", recordings, "--plot", picture, "--audio", out, "--json")
    result = run(*arguments)
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    assert [model["name"] for model in document["models"]] == ["untrained", "cl1b"]
    assert document["pairs"][0]["target"].endswith("3.wav")
    assert picture.read_bytes()[:4] == b"\x89PNG"
    page = (out / "index.html").read_text()
    shown = set(re.findall(r'src="([^"]+)"', page))
    assert shown | {"index.html"} == {path.name for path in out.iterdir()}
    assert len(shown) == 2 * 5  # input, target, two models and a picture for each take
    assert "http" not in page
    y, _ = soundfile.read(out / "001_seen_1.wav")
    np.testing.assert_allclose(y, soundfile.read(recordings / "3.wav")[0], atol=2e-7)
    refused(run(*arguments[:-3]), "e.png exists")
    refused(run("eval", "cl1b", "--data", recordings, "--audio", out), "needs a new or empty folder")
    refused(run("eval", "cl1b", "cl1b", "--data", recordings), "the same model is given twice")
    refused(run("eval", "la2a", "--data", recordings), "la2a has the controls peak_reduction, mode, the data have threshold")
    refused(run("eval", "cl1b"), "eval needs --data FOLDER or --device NAME, one of them")
    table = run("eval", weights_file, "cl1b", "--data", recordings).stdout
    assert "unseen settings" in table
    assert "cl1b" in table
