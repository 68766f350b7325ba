"""The cache of native code belongs to one version of all of it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import mlxopto

CODE = """
import numpy as np
from mlxopto import compiled
from mlxopto.loudness import LoudnessMeter
meter = LoudnessMeter(48000, 1)
meter.add(np.zeros((9600, 1), np.float32))
from mlxopto import loudness
print(compiled._folder(), sum(loudness._weigh.stats.cache_hits.values()))
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
    with (package / "vector.py").open("a") as file:  # which loudness.py does not even mention
        file.write("\n# changed\n")
    other, hits = start(package, tmp_path)
    assert other != folder
    assert hits == 0
