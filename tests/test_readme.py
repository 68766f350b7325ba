"""The documents against the program: what they show runs, and what they list is there."""

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import typer
from mlxopto_cli.app import app

from mlxopto import weights
from mlxopto.models import parameter_count
from tests.benchmarks import results
from tests.cli.test_bad_requests import run

ROOT = Path(__file__).parents[1]
DOCUMENTS = [path for path in ROOT.rglob("README.md") if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)]
README, COMMANDS = ROOT / "README.md", ROOT / "cli" / "README.md"
NEEDS_A_DEVICE_OR_HOURS = ("live", "capture", "train", "devices")


def shown(document: Path) -> list[list[str]]:
    """The command lines of a document , as words."""
    lines = re.findall(r"^    (.*mlxopto .*)$", document.read_text(), re.MULTILINE)
    parts = [part.strip() for line in lines for part in re.split(r"&&|>| {2,}#", line)]
    return [shlex.split(part)[1:] for part in parts if part.startswith("mlxopto ")]


def command(words: list[str]) -> Any:
    """The command that these words call, of Typer's tree, and what is left of them."""
    found, rest = typer.main.get_command(app), list(words)
    while rest and rest[0] in getattr(found, "commands", {}):
        found = found.commands[rest.pop(0)]
    return found, rest


def options(found: Any) -> set[str]:
    return {name for parameter in found.params for name in parameter.opts if name.startswith("--")}


def test_the_readme_is_one_page():
    text = README.read_text()
    assert len(text.splitlines()) <= 150
    assert len(text.encode()) <= 12_000


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_lines_end_at_120_characters_and_links_lead_somewhere(document):
    text = document.read_text()
    assert [line for line in text.splitlines() if len(line) > 120] == []
    for target in re.findall(r"\]\(([^)#]+)", text):
        here = re.sub(r"https://(github|raw\.githubusercontent)\.com/mlxopto/mlxopto/(blob/|tree/)?main/", "/", target)
        if here.startswith("http"):
            continue
        assert (ROOT / here[1:] if here.startswith("/") else document.parent / here).exists(), target
    for target in re.findall(r"^\[\w+\]: \S+/main/(\S+)$", text, re.MULTILINE):
        assert (ROOT / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_options_of_commands_that_are_shown_exist(document):
    for words in shown(document):
        found, rest = command(words)
        assert {word for word in rest if word.startswith("--")} <= options(found) | {"--version", "--help"}, words


def test_the_python_of_the_readme_runs():
    (block,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(block, names)
    assert names["y"].shape == names["x"].shape
    assert np.isfinite(names["out"]).all()


def test_the_commands_of_the_readme_run(tmp_path, monkeypatch, noise):
    monkeypatch.chdir(tmp_path)
    Path("rendered").mkdir()
    Path("mixes").mkdir()
    for name in ("song.wav", "in.wav", "dry.wav", "mixes/one.wav"):
        soundfile.write(name, 0.5 * noise, 48000, "FLOAT")
    assert run("render", "dry.wav", "-o", "wet.wav").returncode == 0
    ran = [words for words in shown(README) if words[0] not in NEEDS_A_DEVICE_OR_HOURS and "--demo" not in words]
    ran = [words for words in ran if not any(word.startswith("runs/") for word in words)]
    assert len(ran) >= 5
    for words in ran:
        result = run(*words)
        assert result.returncode == 0, (words, result.stderr)


def chapters() -> dict[str, str]:
    """The chapters of the commands' document by command."""
    parts = re.split(r"^## (\w+)$", COMMANDS.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_command_has_its_chapter_and_every_option_its_row():
    group = typer.main.get_command(app)
    assert set(chapters()) == set(group.commands)
    common = set(re.findall(r"`(--[a-z-]+)", COMMANDS.read_text().partition("\n## render")[0]))
    for name, text in chapters().items():
        found = group.commands[name]
        listed = set(re.findall(r"`(--[a-z-]+)", text))
        if "control options" in text:
            listed |= common
        own = options(found) | {o for sub in getattr(found, "commands", {}).values() for o in options(sub)}
        assert own - {"--help"} <= listed, name
        table = set(re.findall(r"^\| (?:`-\w`, )?`(--[a-z-]+)", text, re.MULTILINE))
        assert table <= own | {"--help"}, name


def keys(value: Any, variable: frozenset[str]) -> set[str]:
    """The names in a JSON document; what lies below a name in `variable` has names of its own, which are passed over."""
    if isinstance(value, list):
        return set().union(*(keys(item, variable) for item in value))
    if not isinstance(value, dict):
        return set()
    below = [
        keys(list(item.values()) if name in variable and isinstance(item, dict) else item, variable)
        for name, item in value.items()
    ]
    return set(value).union(*below)


def promised(chapter: str) -> set[str]:
    return set(re.findall(r'"(\w+)"', chapters()[chapter])) | {"value", "unit"}


def test_json_has_the_fields_that_are_promised(tmp_path, noise, weights_file):
    soundfile.write(tmp_path / "dry.wav", 0.3 * noise, 48000, "FLOAT")
    variable = frozenset({"controls", "positions"})  # whose names are of a panel
    outputs = {
        "render": run("render", tmp_path / "dry.wav", "-o", tmp_path / "wet.wav", "--json"),
        "models": run("models", shutil.copy(weights_file, tmp_path / "m.safetensors"), "--check", "--json"),
        "measure": run("measure", "cl1b", "--device", "cl1b", "--json"),
        "match": run("match", tmp_path / "dry.wav", tmp_path / "wet.wav", "--json"),
    }
    for name, result in outputs.items():
        assert result.returncode == 0, result.stderr
        assert keys(json.loads(result.stdout), variable) <= promised(name) | {"error"}, name


def test_the_results_of_the_shipped_models_are_those_of_their_cards():
    rows = re.findall(r"^\| `([\w-]+)` \| ([\d,]+) \| (\S+) \| (\S+) \| (\S+) \| (\S+) \|", README.read_text(), re.MULTILINE)
    assert {name for name, *_ in rows} == set(weights.shipped())
    for name, parameters, *figures in rows:
        model, card = weights.load(weights.shipped()[name])
        assert int(parameters.replace(",", "")) == parameter_count(model)
        errors = [card.test[split][metric] for split in ("unseen", "seen") for metric in ("esr_median", "gain_error_db_rms")]
        assert figures == [f"{e:.1e}" if place % 2 == 0 else f"{e:.2f}" for place, e in enumerate(errors)], name


def test_the_tables_of_the_benchmarks_are_made_of_their_files():
    assert results.DOCUMENT.read_text() == results.document()
