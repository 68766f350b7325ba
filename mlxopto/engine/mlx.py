"""The same through MLX: for the GPU, and to check the native engine by."""

from __future__ import annotations

from collections.abc import Sequence

import mlx.core as mx
import numpy as np

from mlxopto.models import Network


class MlxEngine:
    """A network as MLX runs it, on `device`, with controls that stand still; otherwise as `NativeEngine`."""

    def __init__(self, model: Network, channels: int, link: str, device: mx.Device):
        self._model, self._channels, self._link, self._device = model, channels, link, device
        self.good_block = model.good_block

    def aim(self, knobs: Sequence[float], wet: float, dry: float) -> None:
        """Sets the controls, at once; before the first block, because the state begins anew."""
        self._wet, self._dry = np.float32(wet), np.float32(dry)
        rows = self._channels if self._link == "off" else 1
        with mx.stream(self._device):
            self._controls = mx.array(np.tile(np.array(knobs, np.float32), (rows, 1)))
        self.reset()

    def reset(self) -> None:
        """At rest, as after silence."""
        with mx.stream(self._device):
            self._state = self._model.initial_state(self._controls, 1 if self._link == "off" else self._channels)
            mx.eval(self._state)

    def process(self, x: np.ndarray, key: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """As `NativeEngine.process`."""
        if not len(x):
            return x, np.ones((0, len(self._controls)), np.float32)
        with mx.stream(self._device):
            heard = self._keys(mx.array(x if key is None else key))
            sound = mx.array(np.ascontiguousarray(x.T)) if self._link == "off" else mx.array(x[None])
            gain, state = self._model.gain(heard, self._controls, self._state)
            y, self._state = self._model.amplify(sound, gain, state)
            mx.eval(y, gain, self._state)
        wet = np.array(y).T if self._link == "off" else np.array(y)[0]
        return self._wet * wet + self._dry * x, np.array(gain).T

    def _keys(self, key: mx.array) -> mx.array:
        """(samples, keys) to (gain paths, samples)."""
        if self._link == "off":
            return mx.broadcast_to(key.T, (self._channels, len(key)))
        loudest = mx.take_along_axis(key, mx.abs(key).argmax(-1)[:, None], axis=-1).T
        return loudest if self._link == "max" else mx.sign(loudest) * mx.sqrt(mx.square(key).mean(-1))
