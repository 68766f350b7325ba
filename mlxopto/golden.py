"""Golden vectors: a second of sound, a move of all knobs, and what a network made of it when it was saved.

Engine and network take constants from the same files, so that a changed constant alters both alike, and nothing else would
notice.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import mlx.core as mx
import numpy as np

from mlxopto.engine import NativeEngine
from mlxopto.models import Network, Opto

TOLERANCE = 1e-5  # of full scale; processors differ by 1e-6


@dataclass(frozen=True)
class Golden:
    """`sound` and `output`: a second, (samples,), float32, full scale +-1. In its middle the knobs leave `start` for `end`.

    `start`, `end`: normalised positions, (knobs,), -1 to 1.
    """

    sound: np.ndarray
    output: np.ndarray
    start: np.ndarray
    end: np.ndarray


def golden(model: Network) -> Golden:
    """What a network makes of a second of noise whose level jumps, now."""
    rng = np.random.default_rng(0)
    rate, count = model.config.sample_rate, model.config.controls
    levels = np.repeat(10 ** rng.uniform(-3, -0.5, 20), -(-rate // 20))[:rate]
    sound = (0.3 * levels * rng.standard_normal(rate)).clip(-1, 1).astype(np.float32)
    start = np.linspace(-0.5, 0.7, count).astype(np.float32)
    return Golden(sound, _played(model, sound, start, -start), start, -start)


def difference(model: Network, known: Golden) -> float:
    """The largest difference from a golden vector, of full scale: by the native engine where there is one, and through MLX."""
    output = _played(model, known.sound, known.start, known.end)
    apart = np.abs(output - known.output).max()
    if isinstance(model, Opto):
        half = known.sound[: len(known.sound) // 2]
        apart = max(apart, np.abs(_by_mlx(model, half, [known.start]) - known.output[: len(half)]).max())
    return float(apart)


def _played(model: Network, sound: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    if not isinstance(model, Opto):
        return _by_mlx(model, sound, [start, end])
    engine, middle = NativeEngine(model, 1, "off"), len(sound) // 2
    engine.aim(start.tolist(), 1.0, 0.0)
    engine.reset()
    first = engine.process(sound[:middle, None])[0]
    engine.aim(end.tolist(), 1.0, 0.0)
    return np.concatenate([first, engine.process(sound[middle:, None])[0]])[:, 0]


def _by_mlx(model: Network, sound: np.ndarray, settings: list[np.ndarray]) -> np.ndarray:
    """Equal parts of the sound, one at each setting."""
    edges = [len(sound) * k // len(settings) for k in range(len(settings) + 1)]
    state, parts = None, []
    with mx.stream(mx.cpu):
        for (a, b), knobs in zip(pairwise(edges), settings, strict=True):
            y, state = model(mx.array(sound[None, a:b]), mx.array(knobs[None]), state)
            mx.eval(y, state)
            parts.append(np.array(y)[0])
    return np.concatenate(parts)
