"""What is handed out: the project's declarations hold, and a wheel has everything and runs without the checkout."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import soundfile

import mlxopto

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FOLDERS = {"mlxopto": "mlxopto", "mlxopto_cli": "cli", "mlxopto_weights": "weights"}  # of the packages at the top
DATA = {"mlxopto": ["py.typed"], "mlxopto/scan": ["kernels/*.h"], "mlxopto_weights": ["*.safetensors"]}


def modules(base: Path) -> list[Path]:
    """Every module of a checkout that is handed out."""
    return [path for folder in FOLDERS.values() for path in sorted((base / folder).rglob("*.py"))]


def packages(base: Path) -> set[str]:
    """Every folder with modules, as a package's name."""
    tops = {folder: top for top, folder in FOLDERS.items()}
    folders = {path.parent.relative_to(base).parts for path in modules(base)}
    return {".".join((tops[folder], *below)) for folder, *below in folders}


def imported(path: Path) -> set[str]:
    """The names at the top of what a module imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


def distribution(requirement: str) -> str:
    """The name in a requirement, as package indices compare it."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", requirement, maxsplit=1)[0]).lower()


def run(*command: object, cwd: Path = ROOT) -> str:
    """What a command prints; it must succeed. No setting of this process adds to what it can import."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    line = list(map(str, command))
    done = subprocess.run(line, capture_output=True, text=True, timeout=300, env=environment, cwd=cwd, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_package_is_listed():
    assert sorted(PROJECT["tool"]["setuptools"]["packages"]) == sorted(packages(ROOT))
    assert PROJECT["tool"]["setuptools"]["package-dir"] == FOLDERS


def test_every_package_has_an_init():
    assert not {path.parent for path in modules(ROOT) if not (path.parent / "__init__.py").is_file()}


def test_the_version_is_the_same_everywhere_and_has_its_changes():
    version = PROJECT["project"]["version"]
    assert mlxopto.__version__ == version
    assert re.search(rf"^## {re.escape(version)} - \d{{4}}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)


def test_whatever_is_imported_is_declared():
    groups = (PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"].values())
    declared = {distribution(requirement) for group in groups for requirement in group}
    installed = metadata.packages_distributions()
    for path in modules(ROOT):
        for name in imported(path) - sys.stdlib_module_names - set(FOLDERS):
            names = {distribution(found) for found in installed.get(name, [name])}
            assert names & declared, f"{path.relative_to(ROOT)} imports {name}, which pyproject.toml does not declare"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of the files that git tracks; setuptools comes from the network."""
    if not shutil.which("git") or not (ROOT / ".git").exists():
        pytest.skip("needs git and a checkout")
    folder = tmp_path_factory.mktemp("wheel")
    for name in run("git", "-C", ROOT, "ls-files", "-z").split("\0"):
        if name and (ROOT / name).is_file():
            target = folder / "checkout" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target)
    run(sys.executable, "-m", "pip", "wheel", folder / "checkout", "--no-deps", "--quiet", "-w", folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.mark.slow
def test_a_wheel_has_every_module_and_all_data(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    checkout = wheel.parent / "checkout"
    wanted = {f"{package.replace('.', '/')}/__init__.py" for package in packages(checkout)}
    for top, folder in FOLDERS.items():
        wanted |= {f"{top}/{path.relative_to(checkout / folder)}" for path in (checkout / folder).rglob("*.py")}
    for package, patterns in DATA.items():
        top, _, rest = package.partition("/")
        place = checkout / FOLDERS[top] / rest
        for pattern in patterns:
            found = {f"{package}/{path.relative_to(place)}" for path in place.glob(pattern)}
            assert found, f"there is no {package}/{pattern}"
            wanted |= found
    assert not wanted - names
    assert {name.split("/")[0] for name in names} == {*FOLDERS, f"mlxopto-{mlxopto.__version__}.dist-info"}


@pytest.mark.slow
def test_an_installed_wheel_renders(wheel, tmp_path):
    home = tmp_path / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", home)
    run(sys.executable, "-m", "pip", "--python", home / "bin/python", "install", "--quiet", "--no-deps", "--no-index", wheel)
    (packages_of,) = home.glob("lib/python*/site-packages")
    (packages_of / "others.pth").write_text("".join(f"{sysconfig.get_path(kind)}\n" for kind in ("purelib", "platlib")))
    places = "import mlxopto, mlxopto_cli, mlxopto_weights as w; print(mlxopto.__file__, mlxopto_cli.__file__, w.__file__)"
    found = run(home / "bin/python", "-c", places, cwd=tmp_path).split()
    assert all(Path(place).is_relative_to(packages_of) for place in found)

    command = home / "bin/mlxopto"
    assert run(command, "--version", cwd=tmp_path) == f"mlxopto {mlxopto.__version__}\n"
    models = json.loads(run(command, "models", "--json", cwd=tmp_path))
    assert {model["name"] for model in models} == {path.stem for path in (ROOT / "weights").glob("*.safetensors")}
    assert all(Path(model["file"]).is_relative_to(packages_of) for model in models)

    noise = 0.3 * np.random.default_rng(1).standard_normal(48000).astype(np.float32)
    soundfile.write(tmp_path / "noise.wav", noise, 48000, "FLOAT")
    run(command, "render", "noise.wav", "-o", "out.wav", "--model", "cl1b", "--threshold", "-30dBu", cwd=tmp_path)
    rendered, rate = soundfile.read(tmp_path / "out.wav", dtype="float32")
    here = mlxopto.load("cl1b")(noise, 48000, threshold=-30)
    assert rate == 48000
    assert np.array_equal(rendered, here)
    assert 0 < np.std(rendered) < 0.1 * np.std(noise)
