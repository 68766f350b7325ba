"""Few-shot calibration: a trained opto becomes another unit of its kind, from a few seconds of recording.

Few numbers may move, all of them with a meaning: where the knobs stand, the output gain, a short filter that also aligns, what
the detectors are mixed of, and the start of each parameter of the side-chain. What a turn of a knob changes stays as it was
learnt.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import numpy as np

from mlxopto.controls import Panel
from mlxopto.data.takes import Take
from mlxopto.engine import NativeEngine
from mlxopto.errors import Notice, RequestError
from mlxopto.matching import starts
from mlxopto.metrics.levels import SILENT_DBFS, level_dbfs
from mlxopto.models import Network, Opto
from mlxopto.nn.side_chain import REACH
from mlxopto.training.schedule import learning_rate

TAKES, LONGEST_S = 8, 4.0  # takes that are enough, and what is listened to from the start of each
CANDIDATES = 512  # positions of the knobs that are tried first
STARTS, STEPS = 3, 900  # descents begun from the best of them, and steps of each; the one that ends lowest is kept
STEPS_OF_LEVELS = 200  # where nothing else is fitted
THRESHOLDS = tuple(range(8))  # nepers that they may be higher then
LEARNING_RATE = 0.06
TINY, AUDIBLE_POWER = 1e-12, 1e-5  # power that is silence, and that tells a gain
HARDLY_DB = 1.0  # of gain change, from which no ratio can be told
LEAST_ESR = 1e-4  # a fit that is better than this counts little
PARTS = (
    *("threshold", "ratio", "knee", "range", "makeup", "average", "attack", "release"),
    *("reduction_attack", "reduction_release", "rise", "fall"),
)
FREE = ("threshold", "makeup")  # input trim and output gain
CHARGE, CHARGE_EACH = 0.001, 0.01  # a square neper, or e-fold, that the parameters of a part move together, and each by itself
CHARGE_MIX = 0.0025  # of the mix of detectors and the shares of gain computers, as they are kept

Show = Callable[[int, int, float, float], None]  # steps done, of how many, the loss, the learning rate


def check(model: Network, takes: Sequence[Take], sample_rate: int) -> None:
    """Raises RequestError: another network than opto, or a take that is silent where it is listened to."""
    if not isinstance(model, Opto):
        raise RequestError(f"only models of the architecture opto can be calibrated, got {type(model).__name__}")
    for take in takes:
        heard = _counted(take, sample_rate)
        for path, signal in ((take.input, take.x), (take.target, take.y)):
            if (level := level_dbfs(signal[heard])) < SILENT_DBFS:
                raise RequestError(
                    f"{path or 'a take'} is silent ({level:.0f} dBFS) in its first {LONGEST_S:g} s, which calibration "
                    "listens to"
                )


def calibrate(model: Opto, panel: Panel, takes: Sequence[Take], sample_rate: int, show: Show) -> None:
    """Changes the model until it does to the takes what the unit did.

    Args:
        takes: of the unit, at settings on the panel; the start of each is listened to.
    """
    heard = _Heard(takes, panel, sample_rate)
    if heard.hardly_compresses:
        warnings.warn(
            f"the recordings change their gain by {heard.gain_change_db:.1f} dB only: ratio and times stay as the panel says; "
            "to fit them, record something louder or at a lower threshold",
            Notice,
            stacklevel=2,
        )
        begun, steps = [_least_reduction(model, heard)], STEPS_OF_LEVELS
    else:
        begun, steps = [Adjustments(model, *start) for start in _starts(model, panel, heard)], STEPS
    descents = [_Descent(model, heard, start) for start in begun]
    for number, descent in enumerate(descents):
        for step in range(steps):
            rate = learning_rate(step, steps, LEARNING_RATE)
            show(number * steps + step + 1, len(descents) * steps, descent.advance(rate), rate)
    min(descents, key=lambda descent: descent.loss).settle()


class Adjustments(nn.Module):
    """What calibration moves: knobs in half travels, parameters of the side-chain in nepers or e-folds, the rest as
    it is kept.
    """

    def __init__(self, model: Opto, offset: np.ndarray, log_gain: float, only_levels: bool = False):
        """`only_levels`: nothing but thresholds, the output gain and the filter moves."""
        super().__init__()
        self._only_levels = only_levels
        self.knobs = mx.array(offset, dtype=mx.float32)
        self.together = {name: mx.zeros((1,)) for name in PARTS}
        self.together["makeup"] = mx.array([log_gain])
        rests = {name: getattr(model.side_chain, name).start for name in PARTS}
        self.each = {name: mx.zeros_like(rest) for name, rest in rests.items() if rest.size > 1}
        self.mix, self.share = mx.zeros_like(model.side_chain.mix.start), mx.zeros_like(model.side_chain.share)
        self.fir = mx.zeros_like(model.colour.fir)

    def penalty(self) -> mx.array:
        """The charge for what nothing in the recordings asks for."""
        together = [mx.square(move).sum() for name, move in self.together.items() if name not in FREE]
        each = [mx.square(move).sum() for move in self.each.values()]
        mix = mx.square(self.mix).sum() + mx.square(self.share).sum()
        return CHARGE * (sum(together) + mx.square(self.knobs).sum()) + CHARGE_EACH * sum(each) + CHARGE_MIX * mix

    def on(self, base: Any) -> dict[str, Any]:
        """The parameters, of those of a network, that differ with these adjustments; `knobs` is not in them."""
        side_chain = base["side_chain"]
        moved: dict[str, Any] = {
            name: {"start": side_chain[name]["start"] + (move + self.each.get(name, 0.0)) * (1 / REACH)}
            for name, move in self.together.items()
            if name in FREE or not self._only_levels
        }
        colour = {"fir": base["colour"]["fir"] + self.fir}
        if self._only_levels:
            return {"side_chain": moved, "colour": colour}
        moved["mix"] = {"start": side_chain["mix"]["start"] + self.mix}
        moved["share"] = side_chain["share"] + self.share
        return {"side_chain": moved, "colour": colour}


class _Heard:
    """The takes side by side, float32 (takes, samples), zeros after the end of a short one; `counted` where the
    error counts.
    """

    def __init__(self, takes: Sequence[Take], panel: Panel, sample_rate: int):
        longest = round(LONGEST_S * sample_rate)
        lengths = [min(longest, len(take.x)) for take in takes]
        parts = [_counted(take, sample_rate) for take in takes]
        self.x, self.y, self.counted = (np.zeros((len(takes), max(lengths)), np.float32) for _ in range(3))
        for row, (take, length, part) in enumerate(zip(takes, lengths, parts, strict=True)):
            self.x[row, :length], self.y[row, :length] = take.x[:length], take.y[:length]
            self.counted[row, part] = 1
        self.gain_change_db = _gain_change_db(self.x, self.y, self.counted, sample_rate)
        self.hardly_compresses = self.gain_change_db < HARDLY_DB
        self.knobs = np.array([panel.normalise(take.setting) for take in takes], np.float32)
        self.turnable = starts.turnable(panel) * (not self.hardly_compresses)
        self.power = (self.counted * np.square(self.y)).sum(axis=1)

    def loss(self, y: mx.array) -> mx.array:
        """The mean logarithm of the takes' ESR: y (takes, samples)."""
        error = (mx.array(self.counted) * mx.square(y - mx.array(self.y))).sum(axis=1)
        return mx.log(error / mx.array(self.power) + LEAST_ESR).mean()


def _gain_change_db(x: np.ndarray, y: np.ndarray, counted: np.ndarray, sample_rate: int) -> float:
    """From the lowest to the highest gain of all takes, in frames of 50 ms, without a twentieth at both ends."""
    frame = round(0.05 * sample_rate)
    count = x.shape[1] // frame * frame
    powers = [np.square(part * counted)[:, :count].reshape(len(x), -1, frame).mean(axis=2) for part in (x, y)]
    audible = (powers[0] > AUDIBLE_POWER) & (powers[1] > TINY)
    gains = 10 * np.log10(powers[1][audible] / powers[0][audible])
    return float(np.ptp(np.percentile(gains, (5, 95)))) if len(gains) else 0.0


def _counted(take: Take, sample_rate: int) -> slice:
    """The samples of a take whose error counts: without its first 0.3 s, or a quarter if it is short."""
    length = min(round(LONGEST_S * sample_rate), len(take.x))
    return slice(min(round(starts.SETTLING_S * sample_rate), length // 4), length)


def _starts(model: Opto, panel: Panel, heard: _Heard) -> list[tuple[np.ndarray, float]]:
    """Offsets of the knobs and log gains from which to descend: the best of many, and apart from one another."""
    moves = heard.turnable * (starts.spread(panel, CANDIDATES) - heard.knobs.mean(axis=0))
    offsets = [np.zeros(len(panel.controls)), *moves]
    engine = NativeEngine(model, 1, "off")
    losses, gains = zip(*(_trial(engine, heard, offset) for offset in offsets), strict=True)
    best_first = np.argsort(losses, kind="stable")
    ranked = [offsets[i] for i in best_first]
    return [(ranked[i], gains[best_first[i]]) for i in starts.choose(ranked, heard.turnable, STARTS)]


def _least_reduction(model: Opto, heard: _Heard) -> Adjustments:
    """The thresholds as high as the recordings, which hardly compress, ask for: from there the gain is fitted."""
    base, rest = model.parameters(), np.zeros(heard.knobs.shape[1])
    found = []
    for nepers in THRESHOLDS:
        adjustments = Adjustments(model, rest, 0.0, only_levels=True)
        adjustments.together["threshold"] = mx.array([nepers])
        model.update(adjustments.on(base))
        loss, log_gain = _trial(NativeEngine(model, 1, "off"), heard, rest)
        adjustments.together["makeup"] = mx.array([log_gain])
        found.append((loss, adjustments))
    model.update(base)
    return min(found, key=lambda pair: pair[0])[1]


def _trial(engine: NativeEngine, heard: _Heard, offset: np.ndarray) -> tuple[float, float]:
    """The mean log ESR of the takes with the knobs moved so far, each at its best gain; the mean log gain."""
    losses, gains = [], []
    for x, y, counted, knobs in zip(heard.x, heard.y, heard.counted, heard.knobs, strict=True):
        engine.aim((knobs + offset).tolist(), 1.0, 0.0)
        engine.reset()
        estimate = engine.process(x[:, None])[0][:, 0] * counted
        product, power = abs(float(estimate @ y)) + TINY, float(estimate @ estimate) + TINY
        losses.append(math.log(max(0.0, 1 - product**2 / (power * float((counted * y) @ y))) + LEAST_ESR))
        gains.append(math.log(product / power))
    return float(np.mean(losses)), float(np.mean(gains))


class _Descent:
    """Adam on the adjustments from one start."""

    def __init__(self, model: Opto, heard: _Heard, start: Adjustments):
        self._model, self._heard, self._base = model, heard, model.parameters()
        self._adjustments = start
        self._optimizer = optim.Adam(LEARNING_RATE, betas=[0.9, 0.99])
        self._gradient = nn.value_and_grad(self._adjustments, self._objective)
        self.loss = math.inf

    def advance(self, rate: float) -> float:
        """One step at a learning rate; the loss before it."""
        loss, gradient = self._gradient()
        self._optimizer.learning_rate = rate
        self._optimizer.update(self._adjustments, gradient)
        mx.eval(loss, self._adjustments.parameters(), self._optimizer.state)
        self.loss = loss.item()
        return self.loss

    def settle(self) -> None:
        """Leaves the model as adjusted."""
        self._model.update(self._adjustments.on(self._base))
        self._model.turn(self._turned())
        mx.eval(self._model.parameters())

    def _objective(self) -> mx.array:
        self._model.update(self._adjustments.on(self._base))
        y, _ = self._model(mx.array(self._heard.x), mx.array(self._heard.knobs) + self._turned())
        return self._heard.loss(y) + self._adjustments.penalty()

    def _turned(self) -> mx.array:
        return self._adjustments.knobs * mx.array(self._heard.turnable)
