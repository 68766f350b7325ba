"""The engine that plays: native, exact to the bit for any block size, at any sample rate, with controls that may move."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlxopto.engine import kernel
from mlxopto.engine.knobs import ENDS, MIXES
from mlxopto.engine.layout import MAX, MEAN, OFF, Plan, lay_out, parts_of, room
from mlxopto.engine.rate import at_rate
from mlxopto.engine.table import Source
from mlxopto.errors import RequestError
from mlxopto.models import Network, Opto
from mlxopto.native.threads import over_ranges

LINKS = {"off": OFF, "max": MAX, "mean": MEAN}
_WORTH_THREADS = 8192  # samples: shorter blocks are done before another thread has woken up


class NativeEngine:
    """A network as native code for a number of channels, at rest.

    Args:
        link: off, a gain for each channel; max or mean, one for all.
        sample_rate: Hz; other rates than the network's own change its frames and filters, see `mlxopto.engine.rate`.
    Raises:
        RequestError: another network than opto, or a sample rate that it cannot be moved to.
    """

    good_block = 1 << 16

    def __init__(self, model: Network, channels: int, link: str, sample_rate: int | None = None):
        if not isinstance(model, Opto):
            raise RequestError("only models of the architecture opto can be played live; others can be rendered")
        frames, filters = at_rate(model, model.config.sample_rate if sample_rate is None else sample_rate)
        self.layout, self.weights = lay_out(Source(model, frames, filters), channels, LINKS[link])
        self.plan = Plan(*self.layout[: len(Plan._fields)].tolist())
        self.state = room(self.plan)
        self._parts = parts_of(self.state, self.plan)

    def aim(self, knobs: Sequence[float], wet: float, dry: float, channel: int | None = None) -> None:
        """Sends the controls on their way: they glide straight to their new values within 20 ms, frame by frame.

        Args:
            knobs: each -1 to 1. wet, dry: linear levels. channel: only this one's; channels must not be linked then.
        """
        target = np.array([*knobs, wet, dry], np.float32)
        for voice in range(self.plan.voices) if channel is None else [channel]:
            kernel.aim(self.layout, self.state, target, voice)

    def reset(self) -> None:
        """The network's state of rest, which training begins with, with the controls arrived: what comes next begins without a
        pop.
        """
        self._forget()
        for part in self._named("gliding"):
            part[:] = 1  # with the next frame, which is silent
        self.process(np.zeros((self.plan.hop, self.plan.channels), np.float32))
        for ends in self._named("ends"):
            rows = ends.reshape(1 + MIXES, ENDS)
            rows[:, 0] = rows[:, 1]
        self._forget()

    def process(self, x: np.ndarray, key: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """A block of any length, float32 (samples, channels), to the output and the linear gain of each sample (samples, gain
        paths).

        Args:
            key: (samples, keys), what the detectors hear instead of x: one for all, one a channel, or any number to be linked.
        """
        x = np.ascontiguousarray(x)
        heard = x if key is None else np.ascontiguousarray(key)
        y, gain = np.empty(x.shape, np.float32), np.empty((len(x), self.plan.voices), np.float32)
        arguments = (self.layout, self.weights, self.state, x, heard, y, gain)
        if len(x) < _WORTH_THREADS:
            kernel.process(*arguments, 0, self.plan.voices)
        else:
            over_ranges(self.plan.voices, kernel.process, *arguments)
        return y, gain

    def _forget(self) -> None:
        """What was heard; the controls stay."""
        for row, part in self._parts:
            if row.rest is not None:
                part[:] = row.rest

    def _named(self, name: str) -> list[np.ndarray]:
        return [part for row, part in self._parts if row.name == name]
