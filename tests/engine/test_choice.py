"""Where networks compute: what is refused and what is advised."""

import os
import subprocess
import sys

import pytest

from mlxopto.engine import choice
from mlxopto.errors import RequestError


def test_an_engine_that_is_not_there_is_named():
    with pytest.raises(RequestError, match="engine must be one of auto, cpu, gpu, got 'tpu'"):
        choice.check("tpu")
    choice.check("auto")
    choice.check("cpu")


def test_without_a_gpu_the_cpu_is_offered(monkeypatch):
    monkeypatch.setattr(choice.gpu, "obstacle", lambda name: "MLX finds no GPU here")
    monkeypatch.setattr(choice.gpu, "available", lambda: False)
    with pytest.raises(RequestError, match=r"the engine gpu cannot be had: MLX finds no GPU here; take cpu$"):
        choice.check("gpu")
    monkeypatch.setattr(choice.metadata, "version", lambda name: "9.9")
    with pytest.raises(RequestError, match=r"pip install --force-reinstall --no-deps mlx-cuda-13==9\.9$"):
        choice.check("gpu")


def test_a_forced_back_end_keeps_networks_off_the_gpu(monkeypatch):
    monkeypatch.setattr(choice.gpu, "obstacle", lambda name: None)
    choice.check("gpu")
    monkeypatch.setenv("MLXOPTO_SCAN", "cpu")
    with pytest.raises(RequestError, match="cannot be had: MLXOPTO_SCAN is cpu; take cpu"):
        choice.check("gpu")


@pytest.mark.parametrize(("given", "expected"), [(None, "0"), ("1", "1")])
def test_products_of_float32_are_exact_unless_the_user_says_otherwise(given, expected):
    environment = {name: value for name, value in os.environ.items() if name != "MLX_ENABLE_TF32"}
    environment |= {"MLX_ENABLE_TF32": given} if given else {}
    code = "import mlxopto, os; print(os.environ['MLX_ENABLE_TF32'])"
    told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == expected
