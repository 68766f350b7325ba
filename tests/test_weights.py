"""Weights files: what is written comes back; everything else is refused in a sentence."""

import json
import shutil

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from mlxopto import golden, weights
from mlxopto.errors import RequestError
from tests.cli.test_bad_requests import run
from tests.conftest import untrained


def rewrite(path, change_arrays=lambda a: None, change_metadata=lambda m: None) -> None:
    arrays, metadata = mx.load(str(path), return_metadata=True)
    mx.eval(arrays)
    change_arrays(arrays)
    change_metadata(metadata)
    mx.save_safetensors(str(path), arrays, metadata)


@pytest.fixture
def copy(weights_file, tmp_path):
    return shutil.copy(weights_file, tmp_path / "copy.safetensors")


def test_load_gives_back_what_was_saved(weights_file):
    saved = untrained()
    model, card = weights.load(weights_file)
    assert card == saved.card
    for (name, a), (_, b) in zip(tree_flatten(saved.model.parameters()), tree_flatten(model.parameters()), strict=True):
        assert mx.array_equal(a, b), name


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_file_cut_short_is_refused(copy, share):
    data = copy.read_bytes()
    copy.write_bytes(data[: int(share * len(data))])
    with pytest.raises(RequestError, match="is not a weights file, or is cut short"):
        weights.load(copy)


def test_a_wrong_shape_is_refused(copy):
    rewrite(copy, lambda a: a.update({"head.weight": mx.zeros((1, 3))}))
    with pytest.raises(RequestError, match=r"wrong shape for head\.weight: \(1, 3\), \(1, 16\) is needed"):
        weights.load(copy)


def test_a_missing_or_unknown_array_is_refused(copy):
    rewrite(copy, lambda a: a.update({"extra": mx.zeros(3)}))
    with pytest.raises(RequestError, match="extra is missing or unknown"):
        weights.load(copy)


def test_a_number_that_is_not_finite_is_refused(copy):
    rewrite(copy, lambda a: a.update({"head.bias": mx.array([float("nan")])}))
    with pytest.raises(RequestError, match=r"not finite in head\.bias"):
        weights.load(copy)


def test_a_newer_format_is_refused_with_what_to_do(copy):
    rewrite(copy, change_metadata=lambda m: m.update(mlxopto_format="4"))
    with pytest.raises(RequestError, match="has the weights format 4, this version of mlxopto reads 3; upgrade"):
        weights.load(copy)


def test_an_older_format_is_refused_with_what_to_do(copy):
    rewrite(copy, change_metadata=lambda m: m.update(mlxopto_format="2"))
    with pytest.raises(RequestError, match="has the weights format 2, this version of mlxopto reads 3; train the model again"):
        weights.load(copy)


@pytest.mark.parametrize("change", [lambda a: a.pop("golden.output"), lambda a: a.update({"golden.start": mx.zeros(3)})])
def test_a_file_without_a_golden_vector_is_refused(copy, change):
    rewrite(copy, change)
    with pytest.raises(RequestError, match=r"has no golden vector that fits its network: golden\.(output|start) is missing"):
        weights.load(copy)


@pytest.mark.parametrize("name", sorted(weights.shipped()))
def test_a_shipped_model_plays_what_it_played_when_it_was_saved(name):
    model, _, known = weights.load_with_golden(weights.shipped()[name])
    assert golden.difference(model, known) < golden.TOLERANCE
    assert np.abs(known.output).max() > 0.01


@pytest.mark.parametrize(
    "constant", ["mlxopto.nn.side_chain.REACH", "mlxopto.engine.side_chain.REACH", "mlxopto.models.opto.MAX_LOG_GAIN"]
)
def test_a_changed_constant_is_noticed(monkeypatch, constant):
    """Of those that Python reads; what a kernel has compiled in cannot be changed in a test."""
    model, _, known = weights.load_with_golden(weights.shipped()["cl1b"])
    monkeypatch.setattr(constant, 4.9)
    assert golden.difference(model, known) > golden.TOLERANCE


def test_the_command_checks_a_file_and_tells_of_one_that_strayed(copy):
    checked = run("models", copy, "--check", "--json")
    assert checked.returncode == 0
    assert json.loads(checked.stdout)[0]["golden_difference"] < golden.TOLERANCE
    rewrite(copy, lambda a: a.update({"golden.output": a["golden.output"] + 1e-3}))
    strayed = run("models", copy, "--check")
    assert strayed.returncode == 1
    assert "no longer plays what it played when it was saved" in strayed.stderr


def test_somebody_elses_safetensors_are_refused(copy):
    rewrite(copy, change_metadata=lambda m: m.clear())
    with pytest.raises(RequestError, match="not a weights file of mlxopto"):
        weights.load(copy)


def test_an_unknown_architecture_is_refused(copy):
    def change(metadata):
        card = json.loads(metadata["card"]) | {"architecture": "transformer"}
        metadata["card"] = json.dumps(card)

    rewrite(copy, change_metadata=change)
    with pytest.raises(RequestError, match="no architecture 'transformer'; the architectures are opto"):
        weights.load(copy)


def test_every_shipped_model_loads_and_names_its_test_errors():
    assert set(weights.shipped()) == {"cl1b", "cl1b-light", "la2a", "la2a-light"}
    for path in weights.shipped().values():
        _, card = weights.load(path)
        assert card.test["unseen"]["esr_median"] <= 1e-2
        assert card.test["unseen"]["gain_error_db_rms"] <= 0.5
