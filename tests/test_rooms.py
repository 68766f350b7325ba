"""Imports go one way: each room of the package stands on those below it, and on nothing else."""

import ast
from pathlib import Path

import pytest

import mlxopto

ROOT = Path(mlxopto.__file__).parent
# from below; rooms of one line know nothing of one another
FLOORS = (
    ("errors", "text"),
    ("files", "native"),
    ("formats", "audio", "controls"),
    ("presets", "metrics", "scan"),
    ("nn", "devices"),
    ("models", "data"),
    ("engine",),
    ("golden",),
    ("weights",),
    ("compressor",),
    ("exchange", "portaudio", "render"),
    ("plots", "matching", "live"),
    ("response",),
    ("training", "capture"),
    ("speed",),
    ("evaluation",),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
MODULES = sorted(ROOT.rglob("*.py"))
LONGEST = 350  # lines


def room(module: str) -> str:
    """mlxopto.engine.cpu to engine."""
    return module.split(".")[1]


def imported(path: Path) -> set[str]:
    """The rooms that a module imports from, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "mlxopto":
            names = [f"mlxopto.{name.name}" for name in node.names] if node.module == "mlxopto" else [node.module]
            found |= {room(name) for name in names if not name.startswith("mlxopto.__")}
        elif isinstance(node, ast.Import):
            found |= {room(name.name) for name in node.names if name.name.startswith("mlxopto.")}
    return found


def test_every_room_has_its_floor():
    rooms = {path.relative_to(ROOT).parts[0].removesuffix(".py") for path in MODULES} - {"__init__"}
    assert rooms == set(FLOOR)


@pytest.mark.parametrize(
    "path", [path for path in MODULES if path != ROOT / "__init__.py"], ids=lambda path: str(path.relative_to(ROOT))
)
def test_imports_lead_down(path):
    own = path.relative_to(ROOT).parts[0].removesuffix(".py")
    assert {other for other in imported(path) - {own} if FLOOR[other] >= FLOOR[own]} == set()


def test_the_test_finds_an_import_that_leads_up(tmp_path):
    (tmp_path / "wrong.py").write_text("def f():\n    from mlxopto.evaluation import compare\n    from mlxopto import plots\n")
    assert imported(tmp_path / "wrong.py") == {"evaluation", "plots"}


def test_no_module_is_long():
    assert [str(path) for path in MODULES if len(path.read_text().splitlines()) > LONGEST] == []
