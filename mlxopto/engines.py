"""Where networks compute: natively on the CPU, or through MLX on the GPU."""

from __future__ import annotations

from importlib import metadata

from mlxopto.errors import RequestError
from mlxopto.scan import gpu

ENGINES = ("auto", "cpu", "gpu")


def check(engine: str) -> None:
    """Raises RequestError if there is no such engine, or not here."""
    if engine not in ENGINES:
        raise RequestError(f"engine must be one of {', '.join(ENGINES)}, got {engine!r}")
    if engine == "gpu" and not gpu.available():
        raise RequestError(f"engine gpu needs a GPU that MLX can use, and there is none here; take cpu{_advice()}")


def _advice() -> str:
    """What to do where MLX's CUDA wheel is installed: its library and that of the CPU wheel have the same name."""
    try:
        version = metadata.version("mlx-cuda-13")
    except metadata.PackageNotFoundError:
        return ""
    return f", or put MLX's CUDA library in place with pip install --force-reinstall --no-deps mlx-cuda-13=={version}"
