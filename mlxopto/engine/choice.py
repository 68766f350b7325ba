"""Where networks compute: natively on the CPU, or through MLX on the GPU."""

from __future__ import annotations

from importlib import metadata

from mlxopto.errors import RequestError
from mlxopto.scan import forced_backend, gpu

ENGINES = ("auto", "cpu", "gpu")


def check(engine: str) -> None:
    """Raises RequestError if there is no such engine, or if it cannot be had here."""
    if engine not in ENGINES:
        raise RequestError(f"engine must be one of {', '.join(ENGINES)}, got {engine!r}")
    if engine == "gpu" and (obstacle := gpu_obstacle()):
        raise RequestError(f"the engine gpu cannot be had: {obstacle}; take cpu{_advice()}")


def gpu_obstacle() -> str | None:
    """Why networks cannot run on a GPU here, in words, or None."""
    forced = forced_backend()
    if forced not in (None, "gpu"):
        return f"MLXOPTO_SCAN is {forced}"
    return next((found for name in gpu.FUNCTIONS if (found := gpu.obstacle(name))), None)


def _advice() -> str:
    """What to do where MLX's CUDA wheel is installed and not seen: its library and that of the CPU wheel have the same name."""
    try:
        version = metadata.version("mlx-cuda-13")
    except metadata.PackageNotFoundError:
        return ""
    if gpu.available():
        return ""
    return f", or put MLX's CUDA library in place with pip install --force-reinstall --no-deps mlx-cuda-13=={version}"
