"""Where networks compute: natively on the CPU, or through MLX on the GPU."""

from __future__ import annotations

from mlxopto.errors import RequestError
from mlxopto.scan import gpu

ENGINES = ("auto", "cpu", "gpu")


def check(engine: str) -> None:
    """Raises RequestError if there is no such engine, or not here."""
    if engine not in ENGINES:
        raise RequestError(f"engine must be one of {', '.join(ENGINES)}, got {engine!r}")
    if engine == "gpu" and not gpu.available():
        raise RequestError("engine gpu needs a GPU that MLX can use, and there is none here; take cpu")
