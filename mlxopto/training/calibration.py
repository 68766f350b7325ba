"""Few-shot calibration: a trained opto becomes another unit of its kind, from a few seconds of recording.

What may move stands in `adjustments`; what a turn of a knob changes stays as it was learnt. Positions of the knobs are tried
first. From the best of them Levenberg-Marquardt descends with the engine's renders, first in what matters most, then in
everything: a hundred renders of a second tell all slopes sooner than a network's gradient does one.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from mlxopto.controls import Panel
from mlxopto.data.takes import Take
from mlxopto.engine import NativeEngine
from mlxopto.errors import Notice, RequestError
from mlxopto.matching import starts
from mlxopto.metrics.levels import SILENT_DBFS, level_dbfs
from mlxopto.models import Network, Opto
from mlxopto.training.adjustments import Adjustments
from mlxopto.training.loss import emphasised

TAKES, LONGEST_S = 8, 4.0  # takes that are enough, and what is listened to from the start of each
SHORTEST_S = 0.1  # of a take
CANDIDATES = 256  # positions of the knobs that are tried first
STARTS = 3  # descents in what matters most, from the best of them; the one that ends lowest goes on
FIRST_STEPS, STEPS = 20, 40  # of a descent, at most
CONVERGED = 1e-3  # a step that gains less is the last
PROBE = 0.02  # widths of a move, for slopes
SLOPES_KEPT = 6  # steps for which what a move does to the packed weights is taken as it was
FARTHEST = 3.0  # widths, that a step moves anything
OBSERVATIONS = 25.0  # in which models of other units err independently, in a few seconds: how much a charge weighs
TINY, AUDIBLE_POWER = 1e-12, 1e-5  # power that is silence, and that tells a gain
HARDLY_DB = 1.0  # of gain change, from which no ratio can be told
LEAST_ESR, LEAST_ESR_HARDLY = 1e-5, 1e-3  # a fit that is better than this counts little; where hardly anything is compressed
LEVEL_S, QUIETEST = 0.02, 0.03  # over which levels are averaged, and the lowest that counts in full, of the loudest
_DAMPINGS = (0.1, 1.0, 10.0, 100.0)  # tried side by side, times the last one that was best
_MOST_DAMPING = 1e5

Job = TypeVar("Job")
Found = TypeVar("Found")
Show = Callable[[int, int, float], None]  # steps done, of how many at most, the loss


def check(model: Network, takes: Sequence[Take], sample_rate: int) -> None:
    """Raises RequestError: another network than opto, or a take that is too short, or silent where it is listened to."""
    if not isinstance(model, Opto):
        raise RequestError(f"only models of the architecture opto can be calibrated, got {type(model).__name__}")
    for take in takes:
        if (seconds := len(take.x) / sample_rate) < SHORTEST_S:
            raise RequestError(f"{take.input or 'a take'} lasts {seconds:.2g} s, calibration needs {SHORTEST_S:g} s at least")
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
    heard = [_Heard(take, panel, sample_rate) for take in takes]
    change_db = _gain_change_db(heard, sample_rate)
    tells = change_db >= HARDLY_DB
    if not tells:
        warnings.warn(
            f"the recordings change their gain by {change_db:.1f} dB only: ratio and times stay as the panel says; "
            "to fit them, record something louder or at a lower threshold",
            Notice,
            stacklevel=2,
        )
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        search = _Search(
            model, panel, heard, starts.turnable(panel) & tells, LEAST_ESR if tells else LEAST_ESR_HARDLY, pool, show
        )
        search.adjustments.settle(search.best() if tells else search.levels())


class _Heard:
    """The start of a take as calibration hears it: x and y float32 (samples,), knobs (controls,), -1 to 1.

    Errors are compared in three ways: as they are, over the target's level around, and with the treble raised, so that loud
    moments, releases and air count alike. powers: of the target in these ways.
    """

    def __init__(self, take: Take, panel: Panel, sample_rate: int):
        end = min(round(LONGEST_S * sample_rate), len(take.x))
        self.x, self.y = np.ascontiguousarray(take.x[:end, None], np.float32), np.asarray(take.y[:end], np.float32)
        self.knobs = np.array(panel.normalise(take.setting))
        self.counted = _counted(take, sample_rate)
        shape = np.hanning(2 * (round(LEVEL_S * sample_rate) // 2) + 1)
        level = np.sqrt(np.maximum(np.convolve(np.square(self.y, dtype=np.float64), shape / shape.sum(), "same"), 0))
        self._per_level = (1 / np.hypot(level, QUIETEST * level.max() + TINY)).astype(np.float32)
        self.powers = np.square(self.compared(self.y), dtype=np.float64).sum(axis=1) + TINY

    def compared(self, signal: np.ndarray) -> np.ndarray:
        """A signal (samples,) in each way, float32 (ways, counted samples)."""
        treble = emphasised(signal)
        late = len(signal) - len(treble)
        return np.stack([signal, signal * self._per_level, np.pad(treble, (late, 0))])[:, self.counted]


def _counted(take: Take, sample_rate: int) -> slice:
    """The samples of a take whose error counts: without its first 0.3 s, or a quarter if it is short."""
    length = min(round(LONGEST_S * sample_rate), len(take.x))
    return slice(min(round(starts.SETTLING_S * sample_rate), length // 4), length)


def _gain_change_db(heard: Sequence[_Heard], sample_rate: int) -> float:
    """From the lowest to the highest gain of all takes, in frames of 50 ms, without a twentieth at both ends."""
    frame, gains = round(0.05 * sample_rate), []
    for part in heard:
        signals = part.x[part.counted, 0], part.y[part.counted]
        frames = len(signals[0]) // frame
        played, got = (np.square(s[: frames * frame].reshape(frames, frame)).mean(axis=1) for s in signals)
        audible = (played > AUDIBLE_POWER) & (got > TINY)
        gains.append(10 * np.log10(got[audible] / played[audible]))
    found = np.concatenate(gains)
    return float(np.ptp(np.percentile(found, (5, 95)))) if len(found) else 0.0


@dataclass
class _Point:
    """Moves, the errors of each take there (ways, samples), and what they cost."""

    moves: np.ndarray
    errors: list[np.ndarray]
    cost: float


class _Search:
    """Looks for the moves that make the model the unit."""

    def __init__(
        self,
        model: Opto,
        panel: Panel,
        heard: Sequence[_Heard],
        turnable: np.ndarray,
        least_esr: float,
        pool: ThreadPoolExecutor,
        show: Show,
    ):
        self.adjustments = Adjustments(model, turnable)
        self._model, self._panel, self._heard, self._turnable, self._pool = model, panel, heard, turnable, pool
        self._least_esr, self._workers = least_esr, os.cpu_count() or 1
        self._show, self._done = show, 0

    def best(self) -> np.ndarray:
        """The moves where the lowest descent ends."""
        first = [self._descend(start, self.adjustments.first, FIRST_STEPS) for start in self._starts()]
        lowest = min(first, key=lambda point: point.cost)
        everything = np.arange(self.adjustments.size)
        return self._descend(lowest.moves, everything, STEPS).moves

    def levels(self) -> np.ndarray:
        """The moves of levels and tone alone that fit."""
        return self._descend(self._starts()[0], self.adjustments.levels, STEPS).moves

    def _starts(self) -> list[np.ndarray]:
        """Moves from which to descend: the best of many positions of the knobs, and apart from one another."""
        middle = np.mean([part.knobs for part in self._heard], axis=0)
        offsets = [np.zeros(len(middle)), *(self._turnable * (starts.spread(self._panel, CANDIDATES) - middle))]
        self.adjustments.apply(np.zeros(self.adjustments.size))
        found = self._shared(offsets, self._trial)
        tried = [self.adjustments.moves(offset, gain) for offset, (_, gain) in zip(offsets, found, strict=True)]
        costs = [loss + self._charge(moves) for (loss, _), moves in zip(found, tried, strict=True)]
        best_first = np.argsort(costs, kind="stable")
        ranked = [offsets[i] for i in best_first]
        return [tried[best_first[i]] for i in starts.choose(ranked, self._turnable, STARTS)]

    def _trial(self, engine: NativeEngine, offset: np.ndarray) -> tuple[float, float]:
        """The mean log ESR of the takes with the knobs moved so far, each at its best gain; the mean log gain."""
        losses, gains = [], []
        for part in self._heard:
            y, target = self._render(engine, part, offset)[part.counted].astype(np.float64), part.y[part.counted]
            product, power = abs(float(y @ target)) + TINY, float(y @ y) + TINY
            losses.append(math.log(max(0.0, 1 - product**2 / (power * part.powers[0])) + self._least_esr))
            gains.append(math.log(product / power))
        return float(np.mean(losses)), float(np.mean(gains))

    def _descend(self, moves: np.ndarray, free: np.ndarray, most: int) -> _Point:
        """Levenberg-Marquardt in some of the moves."""
        (point,), damping, slopes = self._points([moves]), 1e-2, []
        for step in range(most):
            if step % SLOPES_KEPT == 0:
                slopes = self._weight_slopes(point.moves, free)
            gradient, curvature = self._normal_equations(point, free, slopes)
            after = None
            while after is None and damping < _MOST_DAMPING:
                trials = [self._stepped(point.moves, free, gradient, curvature, damping * by) for by in _DAMPINGS]
                found = self._points(trials)
                best = int(np.argmin([trial.cost for trial in found]))
                after = found[best] if found[best].cost < point.cost else None
                damping = max(1e-6, damping * _DAMPINGS[best]) if after else damping * 1000
            gained = point.cost - after.cost if after else 0.0
            point = after or point
            self._tell(point.cost)
            if gained < CONVERGED:
                self._done += most - step - 1
                break
        return point

    def _stepped(
        self, moves: np.ndarray, free: np.ndarray, gradient: np.ndarray, curvature: np.ndarray, damping: float
    ) -> np.ndarray:
        trial = moves.copy()
        step = np.linalg.solve(curvature + damping * np.diag(np.diag(curvature)), gradient)
        trial[free] -= np.clip(step, -FARTHEST, FARTHEST)
        return trial

    def _points(self, several: Sequence[np.ndarray]) -> list[_Point]:
        """What moves cost: the mean logarithm of the takes' ESR in each way, and the charge."""
        jobs = []
        for moves in several:  # MLX's arrays stay on this thread
            self.adjustments.apply(moves)
            engine = NativeEngine(self._model, 1, "off")
            jobs.append(self._pool.submit(self._errors, engine, self.adjustments.knobs(moves)))
        points = []
        for moves, job in zip(several, jobs, strict=True):
            errors = job.result()
            ratios = [_sums(error) / part.powers for error, part in zip(errors, self._heard, strict=True)]
            cost = float(np.mean(np.log(np.array(ratios) + self._least_esr))) + self._charge(moves)
            points.append(_Point(moves, errors, cost if math.isfinite(cost) else math.inf))
        return points

    def _normal_equations(self, point: _Point, free: np.ndarray, slopes: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Gradient (free,) and Gauss and Newton's curvature (free, free) of the cost."""
        self.adjustments.apply(point.moves)
        weights = NativeEngine(self._model, 1, "off").weights.copy()

        def probe(engine: NativeEngine, place: int) -> list[np.ndarray]:
            moves = point.moves.copy()
            moves[free[place]] += PROBE
            engine.weights[:] = weights + slopes[place]
            return self._errors(engine, self.adjustments.knobs(moves))

        probes = self._shared(range(len(free)), probe)
        charged = self.adjustments.charge_weights(point.moves[free]) / OBSERVATIONS
        gradient, curvature = 2 * charged * point.moves[free], np.diag(2 * charged)
        for take, (error, part) in enumerate(zip(point.errors, self._heard, strict=True)):
            scales = 2 / (len(self._heard) * part.powers.size * (_sums(error) + self._least_esr * part.powers))
            for way, scale in enumerate(scales):
                slope = np.stack([probed[take][way] - error[way] for probed in probes]) / np.float32(PROBE)
                gradient += scale * (slope @ error[way])
                curvature += scale * (slope @ slope.T)
        return gradient, curvature

    def _weight_slopes(self, moves: np.ndarray, free: np.ndarray) -> list[np.ndarray]:
        """What a probe of each free move changes in the packed weights."""
        self.adjustments.apply(moves)
        base, found = NativeEngine(self._model, 1, "off").weights.copy(), []
        for place in free:
            probed = moves.copy()
            probed[place] += PROBE
            self.adjustments.apply(probed)
            found.append(NativeEngine(self._model, 1, "off").weights - base)
        return found

    def _errors(self, engine: NativeEngine, offset: np.ndarray) -> list[np.ndarray]:
        return [part.compared(self._render(engine, part, offset) - part.y) for part in self._heard]

    @staticmethod
    def _render(engine: NativeEngine, part: _Heard, offset: np.ndarray) -> np.ndarray:
        engine.aim((part.knobs + offset).tolist(), 1.0, 0.0)
        engine.reset()
        rendered: np.ndarray = engine.process(part.x)[0][:, 0]
        return rendered

    def _shared(self, jobs: Sequence[Job], work: Callable[[NativeEngine, Job], Found]) -> list[Found]:
        """The work of every job, on engines with the model as it is, one a thread."""
        engines = [NativeEngine(self._model, 1, "off") for _ in range(self._workers)]

        def share(first: int) -> list[Found]:
            return [work(engines[first], job) for job in jobs[first :: self._workers]]

        parts = list(self._pool.map(share, range(self._workers)))
        return [parts[i % self._workers][i // self._workers] for i in range(len(jobs))]

    def _charge(self, moves: np.ndarray) -> float:
        return self.adjustments.charge(moves) / OBSERVATIONS

    def _tell(self, cost: float) -> None:
        self._done += 1
        self._show(self._done, STARTS * FIRST_STEPS + STEPS, cost)


def _sums(errors: np.ndarray) -> np.ndarray:
    """Of squares, (ways,)."""
    sums: np.ndarray = np.square(errors, dtype=np.float64).sum(axis=1)
    return sums
