"""The authors' checkpoints: converted value for value, and what is no checkpoint is refused."""

import numpy as np
import pytest
from mlx.utils import tree_flatten

from mlxopto import weights
from mlxopto.errors import RequestError
from mlxopto.exchange import tensorflow
from tests.conftest import shared


def test_every_number_of_a_checkpoint_is_in_the_weights_file_once(tmp_path):
    source = shared("published/cl1b_s6.npz")
    target = tmp_path / "m.safetensors"
    tensorflow.import_checkpoint(source, "cl1b", target)
    model, card = weights.load(target)
    assert (card.architecture, card.name) == ("s6_paper", "cl1b")
    assert [control.name for control in card.panel.controls] == ["threshold", "ratio", "attack", "release"]
    ours = np.concatenate([np.array(array).ravel() for _, array in tree_flatten(model.parameters())])
    theirs = np.concatenate([array.ravel() for array in tensorflow.read(source).values()])
    np.testing.assert_array_equal(np.sort(ours), np.sort(theirs))


def test_tensorflow_files_hold_the_same_arrays():
    pytest.importorskip("tensorflow", reason="needs the extra tensorflow")
    folder = shared("published/la2a_checkpoint")
    expected = tensorflow.read(shared("published/la2a_s6.npz"))
    for path in (folder, folder / "best.ckpt.index", folder / "best.ckpt"):
        found = tensorflow.read(path)
        assert found.keys() == expected.keys()
        for name, array in expected.items():
            np.testing.assert_array_equal(found[name], array, err_msg=name)


def test_what_is_no_checkpoint_is_refused(tmp_path):
    text = tmp_path / "x.npz"
    text.write_text("not a zip")
    with pytest.raises(RequestError, match=r"x\.npz cannot be read as an npz file"):
        tensorflow.read(text)
    with pytest.raises(RequestError, match="is neither an npz file nor a TensorFlow checkpoint"):
        tensorflow.read(tmp_path / "nothing")
    with pytest.raises(RequestError, match="must hold one TensorFlow checkpoint, found 0"):
        tensorflow.read(tmp_path)
    np.savez(tmp_path / "objects.npz", a=np.array([{}], dtype=object))
    with pytest.raises(RequestError, match="cannot be read as an npz file"):
        tensorflow.read(tmp_path / "objects.npz")
    with pytest.raises(RequestError, match=r"has no layer_with_weights-0\.kernel; is it an S6 model of the paper"):
        tensorflow.convert({}, "la2a")
    with pytest.raises(RequestError, match="the published devices are la2a, cl1b, got '1176'"):
        tensorflow.convert({}, "1176")


def test_a_checkpoint_of_the_other_device_is_refused():
    arrays = tensorflow.read(shared("published/la2a_s6.npz"))
    with pytest.raises(RequestError, match=r"does not fit the cl1b: film.weight is \(4, 3\), \(4, 4\) is needed"):
        tensorflow.convert(arrays, "cl1b")


def test_without_tensorflow_its_files_ask_for_it(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tensorflow", None)
    (tmp_path / "best.ckpt.index").write_bytes(b"")
    with pytest.raises(RequestError, match=r"TensorFlow checkpoints need TensorFlow: pip install 'mlxopto\[tensorflow\]'"):
        tensorflow.read(tmp_path)
