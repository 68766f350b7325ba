"""Preset files: what is written is what is read, and anything else is refused by name."""

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlxopto import presets
from mlxopto.errors import RequestError
from mlxopto.presets import Preset

names = st.text(string.ascii_lowercase + "_", min_size=1, max_size=12)
made = st.builds(
    Preset,
    model=st.text(st.characters(blacklist_categories=["Cs"]), max_size=30),
    controls=st.dictionaries(names, st.text(st.characters(blacklist_categories=["Cs"]), max_size=20), max_size=5),
    mix=st.floats(0, 1),
    makeup_db=st.floats(-60, 60),
    midi=st.dictionaries(names, st.integers(0, 127), max_size=5),
)


@settings(max_examples=200, deadline=None)
@given(made)
def test_a_preset_comes_back_as_it_went(tmp_path_factory, preset):
    path = tmp_path_factory.mktemp("presets") / "p.toml"
    presets.save(path, preset)
    assert presets.load(path) == preset


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_a_preset_or_refused(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("presets") / "p.toml"
    path.write_text(text, encoding="utf-8", newline="")
    try:
        presets.load(path)
    except RequestError as error:
        assert str(path) in str(error)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model = ", "is not TOML"),
        ("mix = 1.0", "lacks the key 'model'"),
        ('model = "a"\nvolume = 11', "has 'volume'; it may have model, controls, mix, makeup_db, midi"),
        ('model = "a"\nmix = "wet"', "mix must be a number, got 'wet'"),
        ('model = "a"\nmix = 1' + 400 * "0", "mix must be a finite number"),
        ('model = "a"\nmix = 1' + 5000 * "0", "is not TOML"),
        ("a = " + 3000 * "[", "is not TOML"),
        ('model = "a"\ncontrols = 3', "controls must be an object, got 3"),
        ('model = "a"\n[controls]\nattack = [1]', r"controls: attack must be text or a whole number or a number, got \[1\]"),
        ('model = "a"\n[midi]\nattack = 128', "gives 'attack' the MIDI controller 128"),
        ('model = "a"\n[midi]\nattack = true', "midi: attack must be a whole number, got True"),
    ],
)
def test_what_is_no_preset_is_refused(tmp_path, text, message):
    (tmp_path / "p.toml").write_text(text)
    with pytest.raises(RequestError, match=message):
        presets.load(tmp_path / "p.toml")


def test_saving_replaces_only_when_told(tmp_path):
    presets.save(tmp_path / "p.toml", Preset("cl1b", {}))
    with pytest.raises(RequestError, match="exists already"):
        presets.save(tmp_path / "p.toml", Preset("la2a", {}))
    presets.save(tmp_path / "p.toml", Preset("la2a", {}), force=True)
    assert presets.load(tmp_path / "p.toml").model == "la2a"


def test_a_missing_preset(tmp_path):
    with pytest.raises(RequestError, match="cannot be read: No such file"):
        presets.load(tmp_path / "p.toml")
