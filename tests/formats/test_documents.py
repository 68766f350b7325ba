"""JSON and TOML: what fits its schema is given, and everything else is refused in a line that quotes little."""

import json
import os
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlxopto.errors import RequestError
from mlxopto.formats import documents


@dataclass(frozen=True)
class Knob:
    name: str
    low: float
    places: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Unit:
    title: str
    knobs: list[Knob]
    count: int = 0
    on: bool = False
    level: float | None = None
    either: str | int = ""


def parsed(document: Any, **options: bool) -> Unit:
    return documents.parse_json(json.dumps(document), Unit, "u.json", **options)


def test_a_document_becomes_its_dataclass():
    unit = parsed({"title": "t", "knobs": [{"name": "a", "low": 1, "places": {"x": 2.5}}], "level": 3, "either": 4})
    assert unit == Unit("t", [Knob("a", 1.0, {"x": 2.5})], level=3.0, either=4)
    assert isinstance(unit.knobs[0].low, float)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"title": 3}, "u.json: title must be text, got 3"),
        ({"knobs": {}}, "u.json: knobs must be a list, got {}"),
        ({"knobs": [{"name": "a", "low": "x"}]}, "u.json, knob 1: low must be a number, got 'x'"),
        ({"knobs": [{"name": "a", "lo": 1}]}, "u.json, knob 1 has 'lo'; it may have name, low, places"),
        ({"knobs": [{"name": "a", "low": 1, "places": {"x": "y"}}]}, "u.json, knob 1, places: x must be a number, got 'y'"),
        ({"count": 1.5}, "count must be a whole number, got 1.5"),
        ({"count": True}, "count must be a whole number, got True"),
        ({"count": 1 << 70}, "count must be a whole number of 64 bits"),
        ({"level": 10**400}, "level must be a finite number"),
        ({"level": float("nan"), "either": None}, "either must be text or a whole number, got None"),
        ({"on": 1}, "on must be true or false, got 1"),
        ({"title": None}, "title must be text, got None"),
    ],
)
def test_what_does_not_fit_is_named_with_its_place(change, message):
    with pytest.raises(RequestError) as caught:
        parsed({"title": "t", "knobs": [], **change})
    assert message in str(caught.value)


def test_other_keys_are_left_out_where_they_are_allowed_and_a_missing_one_is_guessed():
    assert parsed({"title": "t", "knobs": [], "more": 1}, others=True) == Unit("t", [])
    with pytest.raises(RequestError, match=r"lacks the key 'title' \(it has 'titel'\)"):
        parsed({"titel": "t", "knobs": []}, others=True)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"[" * 100_000, "is not JSON: it is nested too deeply"),
        (b"[" * 60 + b"]" * 60, "nested too deeply: more than 24 levels"),
        (b'"\\ud800"', "has half a character"),
        (b'"\xff"', "is not JSON: byte 1 is no UTF-8 text; save it as UTF-8"),
        (json.dumps("x").encode("utf-16"), "it may be UTF-16 or UTF-32; save it as UTF-8"),
        (b"1" * 5000, "is not JSON"),
        (b"", "is not JSON"),
    ],
)
def test_text_that_is_no_document(tmp_path, data, message):
    (tmp_path / "d.json").write_bytes(data)
    with pytest.raises(RequestError, match=message):
        documents.read_json(tmp_path / "d.json", Any)


def test_a_byte_order_mark_is_read_and_a_file_that_is_too_large_is_not(tmp_path):
    (tmp_path / "d.json").write_bytes(b'\xef\xbb\xbf{"a": NaN}')
    assert documents.read_json(tmp_path / "d.json", Any) == {"a": None}
    with (tmp_path / "d.json").open("r+b") as file:
        os.truncate(file.fileno(), 1 << 40)  # sparse
    with pytest.raises(RequestError, match="files of its kind have at most"):
        documents.read_json(tmp_path / "d.json", Any)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=50),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=20) | st.sampled_from(["title", "knobs"]), inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(anything | st.fixed_dictionaries({"title": anything, "knobs": anything}))
def test_anything_is_a_unit_or_one_short_line(document):
    try:
        documents.typed(document, Unit, "u")
    except RequestError as error:
        assert len(str(error)) <= 200
        assert str(error).isprintable()


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_json_or_refused(data):
    try:
        documents.parse_json(data, Any, "d")
    except RequestError as error:
        assert len(str(error)) <= 200
        assert str(error).isprintable()
