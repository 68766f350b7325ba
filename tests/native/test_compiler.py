"""The cache of native code belongs to one version of all of it."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mlxopto
from mlxopto.native import arithmetic

CODE = """
import numpy as np
from mlxopto.native import compiler
from mlxopto.metrics.loudness import LoudnessMeter
meter = LoudnessMeter(48000, 1)
meter.add(np.zeros((9600, 1), np.float32))
from mlxopto.metrics import loudness
print(compiler._folder(), sum(loudness._weigh.stats.cache_hits.values()))
"""


def start(package: Path, home: Path) -> tuple[str, int]:
    environment = {**os.environ, "PYTHONPATH": str(package.parent), "XDG_CACHE_HOME": str(home), "HOME": str(home)}
    environment.pop("NUMBA_CACHE_DIR", None)
    result = subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, check=True, cwd=home)
    folder, hits = result.stdout.split()
    return folder, int(hits)


def test_a_change_in_what_a_kernel_calls_compiles_it_anew(tmp_path):
    package = tmp_path / "copy" / "mlxopto"
    shutil.copytree(Path(mlxopto.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    folder, hits = start(package, tmp_path)
    assert hits == 0
    assert start(package, tmp_path) == (folder, 1)
    with (package / "native" / "vector.py").open("a") as file:  # which loudness.py does not even mention
        file.write("\n# changed\n")
    other, hits = start(package, tmp_path)
    assert other != folder
    assert hits == 0


RENDER = "from mlxopto_cli.app import main; main()"


def cached(home: Path) -> list[Path]:
    return [path for path in (home / "mlxopto").rglob("*") if path.is_file()]


def heard(package: Path, home: Path) -> tuple[int, str]:
    """Cache hits of a start, and what it said."""
    code = CODE.replace("print(compiler._folder(), ", "print(")
    environment = {**os.environ, "PYTHONPATH": str(package.parent), "XDG_CACHE_HOME": str(home), "TMPDIR": str(home / "tmp")}
    environment.pop("NUMBA_CACHE_DIR", None)
    (home / "tmp").mkdir(exist_ok=True)
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, cwd=home)
    return int(result.stdout), result.stderr


PACKAGE = Path(mlxopto.__file__).parent


def test_the_cache_is_the_users_alone_and_damaged_files_heal(tmp_path):
    assert heard(PACKAGE, tmp_path) == (0, "")
    assert heard(PACKAGE, tmp_path) == (1, "")
    for folder in (tmp_path / "mlxopto", *(tmp_path / "mlxopto").iterdir()):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    (file,) = cached(tmp_path)
    whole = file.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for damaged in (b"", whole[:20], whole[: len(whole) // 2], bytes(flipped), b"c" + whole[1:]):
        file.write_bytes(damaged)
        assert heard(PACKAGE, tmp_path) == (0, "")
        assert file.read_bytes() != damaged
        assert heard(PACKAGE, tmp_path) == (1, "")


def test_a_planted_pickle_is_not_run(tmp_path):
    assert heard(PACKAGE, tmp_path)[0] == 0
    (file,) = cached(tmp_path)
    file.write_bytes(b"cos\nsystem\n(S'touch " + str(tmp_path / "ran").encode() + b"'\ntR.")
    assert heard(PACKAGE, tmp_path)[0] == 0
    assert not (tmp_path / "ran").exists()


def test_a_cache_that_others_could_write_to_is_closed_and_emptied(tmp_path):
    heard(PACKAGE, tmp_path)
    (tmp_path / "mlxopto").chmod(0o777)
    assert heard(PACKAGE, tmp_path) == (0, "")
    assert stat.S_IMODE((tmp_path / "mlxopto").stat().st_mode) == 0o700


def test_a_folder_with_anything_else_in_it_is_not_taken_for_the_cache(tmp_path):
    (tmp_path / "mlxopto").mkdir(mode=0o777)
    (tmp_path / "mlxopto").chmod(0o777)
    (tmp_path / "mlxopto" / "thesis.txt").write_text("keep me")
    _, said = heard(PACKAGE, tmp_path)
    assert "holds what is none of mlxopto's" in said
    assert (tmp_path / "mlxopto" / "thesis.txt").read_text() == "keep me"
    assert heard(PACKAGE, tmp_path)[0] == 1  # kept in the private temporary folder


def test_without_any_place_for_a_cache_everything_works_and_says_so(tmp_path):
    (tmp_path / "mlxopto").write_text("a file")
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp" / f"mlxopto-{os.getuid()}").write_text("a file")
    for _ in range(2):
        hits, said = heard(PACKAGE, tmp_path)
        assert hits == 0
        assert "compiled code is not kept, every start compiles it" in said


def test_an_inner_function_is_for_kernels_only():
    with pytest.raises(TypeError, match="not callable"):
        arithmetic.exp(np.float32(1.0))


def test_settings_of_numba_and_of_the_terminal_that_would_end_a_command_do_not(tmp_path):
    environment = {
        **os.environ,
        "NUMBA_DISABLE_JIT": "1",
        "NUMBA_NUM_THREADS": "0",
        "COLUMNS": "0",
        "MPLBACKEND": "module://nothing",
    }
    render = [sys.executable, "-c", RENDER, "render", "--demo", "--model", "la2a-light"]
    result = subprocess.run(render, env=environment, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stderr.startswith("mlxopto: NUMBA_DISABLE_JIT is not followed")
    assert (tmp_path / "mlxopto-demo" / "demo.png").stat().st_size > 10_000
