"""The streaming engine: a trained network as native code that takes blocks of any size, and the same network through MLX."""

from mlxopto.engine.cpu import NativeEngine
from mlxopto.engine.mlx import MlxEngine

__all__ = ["MlxEngine", "NativeEngine"]
