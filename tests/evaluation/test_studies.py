"""Studies: figures of known size, and every study run small, interrupted and gone on with."""

import json
from dataclasses import replace

import numpy as np
import pytest

from mlxopto import compressor
from mlxopto.data import virtual
from mlxopto.data.virtual import VirtualSource
from mlxopto.devices import device
from mlxopto.errors import DivergedError, RequestError
from mlxopto.evaluation.studies import density, latency, networks, settings, units
from mlxopto.evaluation.studies.runs import Study
from mlxopto.models import ARCHITECTURES
from mlxopto.training import run
from mlxopto.training.config import TrainConfig
from tests.cli.test_bad_requests import refused
from tests.cli.test_bad_requests import run as command


def result(esr: float, takes: int = 8, gain: float = 0.1) -> dict:
    """Of a run whose takes have this ESR, up to a factor that all runs share."""
    spread = np.exp(np.random.default_rng(0).normal(0, 1, takes))
    rows = [{"controls": {}, "esr": float(esr * s), "gain_error_db": gain} for s in spread]
    return {"parameters": 1000, "steps": 10, "seconds": 10.0, "takes": {"seen": rows, "unseen": rows}}


def test_the_comparison_finds_the_ratio_and_its_sign():
    errors = dict.fromkeys(ARCHITECTURES, 0.01) | {"lstm": 2e-2, "s4d": 5e-3, "opto": 1e-3}
    runs = {arch: TrainConfig(device="la2a", arch=arch) for arch in ARCHITECTURES}
    found = networks.compared(runs, {arch: result(esr) for arch, esr in errors.items()})
    ratios = {(t["a"], t["b"]): t["ratio"] for t in found["tests"]}
    assert ratios["s6_paper", "lstm"] == pytest.approx(0.5)
    assert ratios["s6_paper", "s4d"] == pytest.approx(2)
    assert ratios["s6_paper", "s6_memoryless"] == pytest.approx(1)
    assert ratios["opto", "s6_paper"] == pytest.approx(0.1)
    rows = {row["arch"]: row["unseen"] for row in found["rows"]}
    assert rows["lstm"]["esr"] / rows["opto"]["esr"] == pytest.approx(20)
    said = networks.verdict(found["tests"], "la2a")
    assert "s6_paper beats lstm (ratio 0.5, " in said
    assert "s6_paper and encoder_decoder cannot be told apart" in said
    assert "s6_paper loses to s4d (ratio 2, " in said


def test_seeds_that_disagree_decide_nothing():
    """Many takes of three runs are three runs: better in one, worse in another."""
    runs, results = {}, {}
    for seed, factor in enumerate((0.3, 1.0, 2.0)):
        for arch in ("s6_paper", "lstm"):
            name = f"{arch}-{seed}"
            runs[name] = TrainConfig(device="la2a", arch=arch, seed=seed)
            results[name] = result(1e-2 * (factor if arch == "lstm" else 1.0), takes=50)
    (test,) = networks.compared(runs, results)["tests"]
    low, high = test["ratio_ci95"]
    assert low < 0.7 < 1 < high
    assert test["runs"] == 3


def test_takes_that_cannot_be_measured_and_splits_that_are_missing_are_left_out():
    poor = result(1e-2)
    poor["takes"] = {"unseen": [*poor["takes"]["unseen"], {"controls": {}, "esr": float("nan"), "gain_error_db": float("nan")}]}
    found = networks.compared({"a": TrainConfig(device="la2a")}, {"a": poor})
    assert found["rows"][0]["seen"] is None
    assert found["rows"][0]["unseen"]["takes"] == 8
    assert "| opto |" in networks.report({"minutes": 1, "seeds": 1, **found})


def test_density_correlates_what_was_planted():
    runs = {str(n): TrainConfig(device="cl1b", settings=n) for n in (4, 8, 16, 32, 64)}
    results = {name: result(1 / config.settings, gain=100 / config.settings) for name, config in runs.items()}
    (found,) = density.correlated(runs, results)
    for correlation in found["correlations"].values():
        assert correlation["spearman"] == pytest.approx(-1)
        assert correlation["ci95"] == pytest.approx((-1, -1), abs=1e-9)
        assert correlation["p"] == pytest.approx(2 / 120, abs=5e-3)  # 5! orders, two of them as extreme


def test_the_hardest_corner_is_the_planted_one():
    panel = device("cl1b").panel
    errors = np.full((4, 4, 8, 2), 1e-3) * np.exp(np.random.default_rng(0).normal(0, 0.1, (4, 4, 8, 2)))
    errors[:2, 2:] *= 10  # fast attack, slow release
    found = settings.corners(panel["attack"], panel["release"], errors)
    assert found["hardest"] == {"attack": "low", "release": "high"}
    hardest = next(corner for corner in found["corners"] if corner["corner"] == found["hardest"])
    assert hardest["esr_against_rest"] == pytest.approx(10, rel=0.1)
    assert hardest["p"] == pytest.approx(2 / 2**8)


@pytest.fixture
def small(monkeypatch):
    """Runs of a few steps on a few seconds."""

    def source(config: TrainConfig) -> VirtualSource:
        return VirtualSource(device(config.device), 48000, config.seed, settings=config.settings or 4, takes=2, pool_s=4.0)

    monkeypatch.setattr(virtual, "TAKE_S", 2.0)
    monkeypatch.setattr(virtual, "SEQUENCE_S", (0.4, 0.5))
    monkeypatch.setattr(run, "open_source", source)
    monkeypatch.setattr(run, "measured", lambda config, *rest: replace(config, steps=2, validations=1))
    trained = []
    train = run.train

    def remembered(config, folder, *rest, **options):
        trained.append(folder.name)
        return train(config, folder, *rest, **options)

    monkeypatch.setattr(run, "train", remembered)
    return trained


def test_networks_are_trained_once_and_gone_on_with(small, tmp_path):
    study = Study(tmp_path / "s", ("la2a",), seeds=1, tell=lambda what: None)
    small.clear()
    first = networks.study(study)
    assert len(small) == len(ARCHITECTURES)
    assert {row["arch"] for row in first["rows"]} == set(ARCHITECTURES)
    report = (tmp_path / "s/report.md").read_text()
    assert all(f"| {arch} |" in report for arch in ARCHITECTURES)
    assert (tmp_path / "s/networks.png").stat().st_size > 10_000
    (tmp_path / "s/runs/la2a-lstm-0/result.json").unlink()
    small.clear()
    again = networks.study(study)
    assert small == []  # its checkpoint is gone on with, nothing is trained anew
    assert [row["unseen"] for row in again["rows"]] == [row["unseen"] for row in first["rows"]]
    with pytest.raises(RequestError, match="was begun with seeds 1, not 2; name another folder"):
        networks.study(replace(study, seeds=2))
    with pytest.raises(RequestError, match="was begun with study networks, not density"):
        density.study(study)


def test_a_folder_with_something_else_is_not_touched(small, tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(RequestError, match="exists already and holds no study"):
        units.study(Study(tmp_path, ("la2a",)))
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_density_and_units_write_reports(small, tmp_path, monkeypatch):
    monkeypatch.setattr(density, "SETTINGS", (2, 4))
    found = density.study(Study(tmp_path / "density", ("la2a",), seeds=2, tell=lambda what: None))
    assert [point["settings"] for point in found["data"][0]["points"]] == [2, 4, 2, 4]
    assert "Spearman's correlation of settings and unseen esr" in (tmp_path / "density/report.md").read_text()
    found = units.study(Study(tmp_path / "units", ("fet", "digital"), seeds=1, tell=lambda what: None))
    assert [row["device"] for row in found["rows"]] == ["fet", "digital"]
    assert "virtual FET limiter" in (tmp_path / "units/report.md").read_text()
    for picture in ("density/density.png", "units/units.png"):
        assert (tmp_path / picture).stat().st_size > 10_000


def test_error_maps_are_those_of_the_model_against_its_device(tmp_path, monkeypatch, weights_file):
    monkeypatch.setattr(settings, "GRID", 2)
    monkeypatch.setattr(settings, "CONTEXTS", 2)
    monkeypatch.setattr(settings, "EXCERPT_S", 0.5)
    found = settings.study(Study(tmp_path / "s", model=str(weights_file), tell=lambda what: None))
    assert [tuple(m["knobs"]) for m in found["maps"]] == [("threshold", "ratio"), ("attack", "release")]
    assert np.array(found["maps"][0]["esr"]).shape == (2, 2)
    report = (tmp_path / "s/report.md").read_text()
    assert "the paper" in report
    assert (tmp_path / "s/attack_release.png").stat().st_size > 10_000
    model = compressor.load(str(weights_file))
    assert model.card.name == "cl1b"


def test_latency_is_measured_for_every_network_and_the_engine(tmp_path, monkeypatch):
    monkeypatch.setattr(latency, "BLOCKS", (64, 128))
    monkeypatch.setattr(latency, "LENGTHS", (256,))
    monkeypatch.setattr(latency, "_TURNS", 1)
    found = latency.study(Study(tmp_path / "s", tell=lambda what: None))
    names = {row["name"] for row in found["rows"]}
    assert names == {f"{arch}, MLX" for arch in ARCHITECTURES} | {"opto, native engine"}
    assert all(row["ns_per_sample"] > 0 for row in found["rows"])
    assert "opto, native engine" in (tmp_path / "s/report.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["taste"], ["taste"]),
        (["latency", "--minutes", "2"], ["the study latency has no --minutes"]),
        (["units", "--model", "cl1b"], ["the study units has no --model"]),
        (["units", "--minutes", "0"], ["--minutes must be above 0 and at most 100,000, got 0"]),
        (["networks", "--seeds", "0"], ["--seeds must be 1 to 1000, got 0"]),
        (["networks", "--data", "nowhere"], ["nowhere"]),
        (["settings", "--model", "nothing"], ["nothing"]),
    ],
)
def test_wrong_requests_are_named(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(command("study", *arguments), *words)
    assert not list(tmp_path.iterdir())


def test_a_run_that_diverges_is_left_out_and_told(small, tmp_path, monkeypatch):
    train = run.train

    def diverging(config, folder, *rest, **options):
        if "vca" in folder.name:
            folder.mkdir(parents=True)
            raise DivergedError("training diverged")
        return train(config, folder, *rest, **options)

    monkeypatch.setattr(run, "train", diverging)
    said = []
    study = Study(tmp_path / "s", ("fet", "vca"), seeds=1, tell=said.append)
    for _ in range(2):
        assert [row["device"] for row in units.study(study)["rows"]] == ["fet"]
    assert said.count("vca-0 diverged and is left out") == 2
    assert len([line for line in said if line.startswith("run ")]) == 2


def test_a_damaged_plan_is_named(tmp_path):
    (tmp_path / "study.json").write_text("{")
    with pytest.raises(RequestError, match=r"study\.json is damaged or of another version"):
        latency.study(Study(tmp_path))


def test_data_of_one_name_and_data_without_a_device_are_refused(tmp_path):
    for name in ("a/unit", "b/unit"):
        (tmp_path / name).mkdir(parents=True)
    data = (str(tmp_path / "a/unit"), str(tmp_path / "b/unit"))
    with pytest.raises(RequestError, match="--data must have different names"):
        networks.study(Study(tmp_path / "s", data))
    for module in (density, units):
        with pytest.raises(RequestError, match=f"the study {module.NAME} needs virtual devices"):
            module.study(Study(tmp_path / "s", data))
    assert not (tmp_path / "s").exists()


def test_a_study_does_not_write_into_another(tmp_path):
    (tmp_path / "study.json").write_text(json.dumps({"asked": {"study": "networks"}, "runs": {}}))
    with pytest.raises(RequestError, match="was begun with study networks, not latency"):
        latency.study(Study(tmp_path))
