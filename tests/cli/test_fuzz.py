"""Mutated files of every kind: no traceback, no hang, no file left behind, an exit code by the contract."""

import json
import subprocess
import sys

import pytest

COUNT, MANY = 500, 5000


def fuzzed(folder, count: int, seed: int) -> dict:
    command = [sys.executable, "-m", "tests.cli.fuzz", str(folder), str(count), str(seed)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=5400)
    assert result.returncode == 0, result.stderr[-2000:]
    document = json.loads(result.stdout)
    assert sum(document["codes"].values()) == count
    return document


@pytest.mark.parametrize("seed", [1])
def test_five_hundred_inputs(tmp_path, seed):
    document = fuzzed(tmp_path / "fuzz", COUNT, seed)
    assert document["breaches"] == []
    kinds = {name.split()[0] for name in document["codes"]}
    assert kinds == {"sound", "weights", "npz", "pickle", "captures", "preset", "run", "study", "session"}
    assert {name for name in document["codes"] if name.endswith(" 0")}  # what is still whole is used


@pytest.mark.slow
def test_five_thousand_inputs(request, tmp_path):
    assert fuzzed(tmp_path / "fuzz", 200 if request.config.getoption("--small") else MANY, 2)["breaches"] == []
