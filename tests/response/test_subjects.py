"""What can be measured by name, and the command."""

import json

import numpy as np
import pytest
import soundfile

from mlxopto.data.captures import CaptureSource, panel_document
from mlxopto.devices import DEVICES
from mlxopto.errors import RequestError
from mlxopto.response import subjects
from mlxopto.response.figures import memory_error_db
from mlxopto.response.passage import passage
from tests.cli.test_bad_requests import refused, run

RATE = 48000


@pytest.fixture
def recorded(tmp_path):
    """The virtual VCA compressor as if it had been captured: the passage somewhere in a longer take, and two takes
    to train on.
    """
    unit, played = DEVICES["vca"], passage(RATE)
    folder = tmp_path / "unit"
    folder.mkdir()
    setting, manifest = unit.panel.setting({}), []
    noise = 0.1 * np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    for number, (x, split) in enumerate(
        [(np.concatenate([noise, played.x, noise]), "measure"), (noise, "train"), (noise, "unseen")]
    ):
        y = unit.process(x, RATE, setting)
        for name, samples in ((f"x{number}.wav", x), (f"y{number}.wav", y)):
            soundfile.write(folder / name, samples, RATE, "FLOAT")
        controls = unit.panel.in_units(setting)
        manifest.append({"input": f"x{number}.wav", "target": f"y{number}.wav", "controls": controls, "split": split})
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "device.json").write_text(json.dumps(panel_document("my vca", unit.panel)))
    return folder


def test_a_recorded_unit_is_measured_as_the_unit_itself(recorded):
    found = subjects.find(str(recorded))
    unit = subjects.device("vca")
    by_recording, by_itself = found.measure(found.setting), unit.measure(DEVICES["vca"].panel.setting({}))
    assert by_recording.ratio == pytest.approx(by_itself.ratio, rel=0.01)
    assert max(memory_error_db(by_recording, by_itself)) < 0.05


def test_the_passage_is_not_trained_on(recorded):
    source = CaptureSource(recorded, 0)
    assert len(source.sequence(0).x) < 2 * RATE
    assert sum(map(len, source.test.values())) == 1


def test_names():
    assert subjects.find("la2a").name == "la2a"  # the shipped model
    assert subjects.find("fet").name == DEVICES["fet"].title
    with pytest.raises(RequestError, match="there is no model 'nothing'"):
        subjects.find("nothing")


def test_the_command_compares_a_model_with_its_device(tmp_path):
    result = run("measure", "la2a", "--device", "la2a", "--mode", "limit", "--json", "--plot", tmp_path / "p.png")
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    assert [subject["name"] for subject in document["subjects"]] == ["la2a", "virtual Teletronix LA-2A"]
    assert all(subject["controls"]["mode"]["value"] == 1 for subject in document["subjects"])
    assert len(document["difference"]["memory"]) == 6
    assert document["difference"]["static_db"] < 1
    assert (tmp_path / "p.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "measure takes one or two subjects, got 0"),
        (("cl1b", "la2a", "fet"), "measure takes one or two subjects, got 3"),
        (("cl1b", "--device", "tube"), "there is no virtual device 'tube'"),
        (("cl1b", "--ratio", "99:1"), "ratio must be"),
        (("cl1b", "--plot", "p.jpg"), "--plot must name a .png file"),
    ],
)
def test_wrong_requests_are_a_sentence(arguments, said):
    refused(run("measure", *arguments), said)


def test_a_captures_folder_without_the_passage_is_refused(recorded):
    manifest = json.loads((recorded / "manifest.json").read_text())
    (recorded / "manifest.json").write_text(json.dumps(manifest[1:]))
    refused(run("measure", recorded), "has no recording of the passage to measure by; mlxopto capture --measure makes one")
