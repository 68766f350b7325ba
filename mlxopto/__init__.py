"""mlxopto learns an optical compressor from recordings, and then is that compressor.

comp = mlxopto.load("cl1b")
y = comp(x, sample_rate, attack="fast", ratio=4)
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlxopto.compressor import Compressor, Stream, load

# MLX's own default multiplies float32 matrices with 10 bits of mantissa on NVIDIA and recent Apple GPUs, an error of -60 dB
os.environ.setdefault("MLX_ENABLE_TF32", "0")

__version__ = "0.13.0"
__all__ = ["Compressor", "Stream", "__version__", "load"]


def __getattr__(name: str) -> object:
    """Loads MLX only when something is used, so that `mlxopto --help` does not wait for it."""
    if name not in __all__:
        raise AttributeError(f"module 'mlxopto' has no attribute {name!r}")
    from mlxopto import compressor

    return getattr(compressor, name)
