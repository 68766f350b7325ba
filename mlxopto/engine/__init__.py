"""The streaming engine: a trained network as native code that takes blocks of any size, and the same network through MLX."""

from mlxopto.engine.native import NativeEngine
from mlxopto.engine.network import MlxEngine

__all__ = ["MlxEngine", "NativeEngine"]
