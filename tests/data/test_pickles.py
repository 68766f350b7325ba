"""The paper's pickles: read as numpy wrote them, whatever the protocol, and nothing that they carry is ever run."""

import contextlib
import io
import json
import os
import pickle
import pickletools
import struct
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlxopto.data.pickles import PickleSource, load
from mlxopto.errors import RequestError
from mlxopto.training.config import TrainConfig
from mlxopto.training.source import open_source

QUICK = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
DOCUMENT = {
    "x": np.arange(12, dtype=np.float32).reshape(3, 4),
    "y": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "z": np.array([[1, 2], [3, 4]], np.int16).T,
    "big": np.arange(3, dtype=">f8"),
    "flags": np.array([True, False]),
    "number": np.float64(0.5),
    "rest": [1, 2.5, "text", (None, True)],
}


def written(folder: Path, value: object, protocol: int = pickle.HIGHEST_PROTOCOL) -> Path:
    path = folder / "x.pickle"
    path.write_bytes(pickle.dumps(value, protocol))
    return path


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_what_numpy_wrote_is_read(tmp_path, protocol):
    found = load(written(tmp_path, DOCUMENT, protocol))
    assert found.keys() == DOCUMENT.keys()
    for name, expected in DOCUMENT.items():
        if isinstance(expected, np.ndarray):
            assert found[name].dtype == expected.dtype
            np.testing.assert_array_equal(found[name], expected)
        else:
            assert found[name] == expected


class Bomb:
    """Runs what it is given when it is unpickled by anything less careful."""

    def __init__(self, function, *arguments):
        self.parts = function, arguments

    def __reduce__(self):
        return self.parts


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (Bomb(os.system, "touch /tmp/mlxopto-was-here"), r"(posix|nt)\.system"),
        (Bomb(eval, "open('/tmp/mlxopto-was-here', 'w')"), r"builtin\w*\.eval"),
        (Bomb(getattr, "a", "upper"), r"builtin\w*\.getattr"),
        (Bomb(np.load, "/etc/passwd"), r"numpy.*load"),
        (Bomb(np.zeros, 10**12), r"zeros"),
        (OrderedDict(a=1), r"collections\.OrderedDict"),
        (np.array([{}, []], dtype=object), r"an array of 'O8'"),
        (np.array(["text"]), r"an array of 'U4'"),
        (np.zeros(2, [("a", "f4"), ("b", "i4")]), r"an array of 'V8'"),
        ({1, 2}, r"(a set|builtin\w*\.set)"),
        (1j, r"builtin\w*\.complex"),
        (b"bytes", r"a bytes"),
        (Path("x"), r"pathlib"),
    ],
)
@pytest.mark.parametrize("protocol", [2, 5])
def test_everything_else_is_refused_and_never_run(tmp_path, value, named, protocol):
    with pytest.raises(RequestError, match=rf"x\.pickle is refused: it holds .*{named}.*only arrays of numbers"):
        load(written(tmp_path, {"x": [value]}, protocol))
    assert not Path("/tmp/mlxopto-was-here").exists()


def opcodes(*parts: bytes) -> bytes:
    return b"\x80\x02" + b"".join(parts) + b"."


@pytest.mark.parametrize(
    "raw",
    [
        # attributes of a function
        opcodes(b"cnumpy.core.multiarray\n_reconstruct\n", b"}", b"X\x01\x00\x00\x00a", b"K\x01", b"s", b"b"),
        # fields of a type
        opcodes(b"cnumpy\ndtype\n", b"X\x02\x00\x00\x00f8", b"\x85R", b"(K\x03X\x01\x00\x00\x00<(K\x01tNt", b"b"),
        opcodes(b"cnumpy\nndarray\n", b"J" + struct.pack("<i", 2**31 - 1), b"\x85R"),  # a large array by its constructor
        opcodes(b"Ppersistent\n"),
        opcodes(b"cnumpy\nndarray.__reduce__\n", b")R"),
        b"(" * 10**5,
        b"",
        b"\x80",
    ],
)  # fmt: skip
def test_crafted_pickles_are_refused(tmp_path, raw):
    path = tmp_path / "x.pickle"
    path.write_bytes(raw)
    with pytest.raises(RequestError, match=r"x\.pickle"):
        load(path)


@QUICK
@given(st.integers(0, 5), st.data())
def test_a_pickle_cut_short_is_refused(tmp_path, protocol, data):
    whole = pickle.dumps(DOCUMENT, protocol)
    path = tmp_path / "x.pickle"
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(RequestError, match=r"damaged or no pickle|is refused"):
        load(path)


def only_plain(value: object) -> bool:
    if isinstance(value, dict):
        return all(only_plain(k) and only_plain(v) for k, v in value.items())
    if isinstance(value, list | tuple):
        return all(map(only_plain, value))
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "fiub"
    return value is None or isinstance(value, str | int | float | bool)


@QUICK
@given(st.integers(0, 5), st.data())
def test_a_damaged_pickle_gives_plain_values_or_an_error(tmp_path, protocol, data):
    raw = bytearray(pickle.dumps(DOCUMENT, protocol))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "x.pickle"
    path.write_bytes(bytes(raw))
    with contextlib.suppress(RequestError):
        assert only_plain(load(path))


def test_the_crafted_attack_is_an_attack_on_others():
    """The bombs above do go off in a reader that trusts its file: this one only counts."""
    assert pickle.loads(pickle.dumps(Bomb(len, "abc"))) == 3
    assert "REDUCE" in {op.name for op, *_ in pickletools.genops(io.BytesIO(pickle.dumps(Bomb(len, "abc"))))}


@pytest.fixture
def folder(tmp_path) -> Path:
    """A data set of the paper's shape: one input, five training settings, two test settings of which one is known."""
    rng = np.random.default_rng(0)
    x = 0.2 * rng.standard_normal((1, 24000))
    for part, knobs in (("train", [(0, 1), (1, 1), (2, 1), (3, 1), (4, 1)]), ("test", [(2, 1), (2.5, 1)])):
        z = np.array(knobs, np.float64)
        y = x * (1 - 0.1 * z[:, :1])
        (tmp_path / f"LA2A_{part}.pickle").write_bytes(pickle.dumps({"x": x, "y": y, "z": z}))
    return tmp_path


def test_a_data_set_becomes_a_source(folder):
    source = open_source(TrainConfig(device=None, data=str(folder)))
    assert isinstance(source, PickleSource)
    assert [control.name for control in source.panel.controls] == ["control_1", "control_2"]
    assert (source.name, source.sample_rate, source.training_settings) == ("LA2A", 48000, 4)
    assert len(source.validation) == 1
    assert [take.setting["control_1"] for take in source.test["seen"]] == [2]
    assert [take.setting["control_1"] for take in source.test["unseen"]] == [2.5]
    for index in range(8):
        take = source.sequence(index)
        assert take.x.dtype == np.float32
        np.testing.assert_allclose(take.y, take.x * (1 - 0.1 * take.setting["control_1"]), rtol=1e-5)


def test_a_device_file_names_the_columns(folder):
    controls = [
        {"name": "peak_reduction", "unit": "", "low": 0, "high": 10},
        {"name": "mode", "unit": "", "low": 0, "high": 1, "scale": "int"},
    ]
    (folder / "device.json").write_text(json.dumps({"device": "la2a", "controls": controls}))
    source = PickleSource(folder, 0)
    assert source.name == "la2a"
    assert source.test["unseen"][0].setting == {"peak_reduction": 2.5, "mode": 1}
    (folder / "device.json").write_text(json.dumps({"device": "la2a", "controls": controls[:1]}))
    with pytest.raises(RequestError, match=r"device\.json has 1 controls, .*LA2A_train\.pickle has 2"):
        PickleSource(folder, 0)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([1], "must hold a dict with the arrays x, y and z"),
        ({"x": np.zeros((1, 9)), "y": np.zeros((2, 9))}, "must hold a dict with the arrays x, y and z"),
        ({"x": np.zeros((1, 9)), "y": np.zeros((2, 8)), "z": np.zeros((2, 1))}, "do not fit one another"),
        ({"x": np.zeros((1, 9)), "y": np.full((2, 9), np.nan), "z": np.zeros((2, 1))}, "y must be rows of finite numbers"),
        ({"x": np.zeros((1, 999)), "y": np.zeros((2, 999)), "z": np.zeros((2, 2))}, "row 1 is silent"),
    ],
)
def test_arrays_that_do_not_fit_are_named(folder, document, message):
    (folder / "LA2A_train.pickle").write_bytes(pickle.dumps(document))
    with pytest.raises(RequestError, match=message):
        PickleSource(folder, 0)


def test_a_missing_half_is_named(folder):
    (folder / "LA2A_test.pickle").unlink()
    with pytest.raises(RequestError, match=r"lacks LA2A_test\.pickle beside LA2A_train\.pickle"):
        PickleSource(folder, 0)
    (folder / "other_train.pickle").write_bytes(b"")
    with pytest.raises(RequestError, match=r"must hold one file \*_train\.pickle, found 2"):
        PickleSource(folder, 0)
