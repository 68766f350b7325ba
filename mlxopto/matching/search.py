"""Which settings turn one recording into another, as far as a recording can tell.

The engine renders the dry recording at many settings; from the best of them Levenberg-Marquardt descends on the difference of
gains, in nepers, in short windows. That does not care about output level, polarity or a filter, and hears releases as well as
peaks.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from mlxopto.compressor import Compressor
from mlxopto.controls import Setting
from mlxopto.data.captures import lag_and_polarity
from mlxopto.engine import NativeEngine
from mlxopto.errors import RequestError
from mlxopto.matching import starts
from mlxopto.metrics import esr, gain_error_db
from mlxopto.metrics.levels import SILENT_DBFS, level_dbfs
from mlxopto.models import Opto

LONGEST_S, SHORTEST_S = 20.0, 1.0
WINDOW_S = 128 / 48000
AUDIBLE = 1e-6  # power of -60 dBFS: what is fainter hardly counts
CANDIDATES, STARTS = 384, 6  # settings tried, descents from the best of them
DESCENT = 15  # steps of Levenberg-Marquardt at most
PROBE = 0.02  # half travels to either side, for derivatives
BLOCK_S = 2.0  # errors of the model last, so that a block counts as one observation
KNOWN = 0.15  # of the travel: a knob whose interval is wider cannot be told
AS_GOOD = 2.0  # a cost at most so many times the lowest, most of which is the error of the model, may be the right one


@dataclass(frozen=True)
class Knob:
    """Where a knob stands: its value, and the values between which it is with about 95 % certainty if the model were exact."""

    name: str
    value: float
    low: float
    high: float
    known: bool  # whether the recording tells


@dataclass(frozen=True)
class Match:
    """The knobs; the output gain in dB after the model; how far its output then is from the recording."""

    knobs: tuple[Knob, ...]
    makeup_db: float
    esr: float
    gain_error_db: float
    lag: int  # samples by which the wet recording was late, which were taken off
    inverted: bool

    @property
    def setting(self) -> Setting:
        """A value for every control."""
        return {knob.name: knob.value for knob in self.knobs}


def match(compressor: Compressor, dry: np.ndarray, wet: np.ndarray, sample_rate: int, show: Callable[[float], None]) -> Match:
    """The settings with which the model turns `dry` into `wet`.

    Args:
        dry, wet: float (samples,) or (samples, channels), of one shape, 1 s at least; the first 20 s are used. Channels are not
        linked. show: is told the share that is done, 0 to 1.
    Raises:
        RequestError: shapes that differ, too short, silent; another network than opto.
    """
    if not isinstance(compressor.model, Opto):
        raise RequestError(f"only models of the architecture opto can be matched, got {compressor.card.architecture}")
    dry, wet, lag, inverted = _aligned(dry, wet, sample_rate)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        search = _Search(compressor, dry, wet, sample_rate, pool)
        ends = search.descents(show)
    return search.judged(ends, lag, inverted)


def _aligned(dry: np.ndarray, wet: np.ndarray, sample_rate: int) -> tuple[np.ndarray, np.ndarray, int, bool]:
    """Both as float32 (samples, channels) without the lag between them."""
    if dry.shape != wet.shape:
        raise RequestError(f"both recordings must have the same samples and channels, got {dry.shape} and {wet.shape}")
    samples = round(LONGEST_S * sample_rate)
    dry, wet = (np.atleast_2d(signal.T).T[:samples].astype(np.float32) for signal in (dry, wet))
    if len(dry) < SHORTEST_S * sample_rate:
        raise RequestError(f"the recordings must last at least {SHORTEST_S:g} s, got {len(dry) / sample_rate:.2f} s")
    loudest = int(np.argmax(np.square(dry).sum(axis=0)))
    lag, polarity = lag_and_polarity(dry[:, loudest], wet[:, loudest])
    if lag > 0:
        dry, wet = dry[:-lag], wet[lag:]
    elif lag < 0:
        dry, wet = dry[-lag:], wet[:lag]
    settled = round(starts.SETTLING_S * sample_rate)
    _check_audible(dry[settled:], wet[settled:])
    if not polarity:
        raise RequestError("the recordings never change, so that nothing can be matched")
    return np.ascontiguousarray(dry), np.ascontiguousarray(polarity * wet), lag, polarity < 0


def _check_audible(dry: np.ndarray, wet: np.ndarray) -> None:
    for name, signal in (("dry", dry), ("wet", wet)):
        for number, channel in enumerate(signal.T):
            level = level_dbfs(channel)
            if level < SILENT_DBFS:
                which = f", channel {number + 1}," if signal.shape[1] > 1 else ""
                raise RequestError(f"the {name} recording{which} is silent in its first {LONGEST_S:g} s ({level:.0f} dBFS)")


class _Search:
    """Positions of the knobs, (controls,) each -1 to 1, and what they cost."""

    def __init__(self, compressor: Compressor, dry: np.ndarray, wet: np.ndarray, sample_rate: int, pool: ThreadPoolExecutor):
        self.panel, self.dry, self.wet, self.rate, self._pool = compressor.panel, dry, wet, sample_rate, pool
        self._engines = [NativeEngine(compressor.model, dry.shape[1], "off", sample_rate) for _ in range(os.cpu_count() or 1)]
        self._window = round(WINDOW_S * sample_rate)
        self._settling = round(starts.SETTLING_S / WINDOW_S)
        heard = self._power(dry)
        self._weight = np.sqrt(heard / (heard + AUDIBLE))
        self._wanted = np.log(self._power(wet) + 1e-12)
        self._turnable = starts.turnable(self.panel)

    def descents(self, show: Callable[[float], None]) -> list[_End]:
        """Where descents from the best of many settings end, the lowest first."""
        candidates = list(starts.spread(self.panel, CANDIDATES))
        costs: list[float] = []
        for at in range(0, CANDIDATES, 16):
            costs += [float(r @ r) for r in self._residuals(candidates[at : at + 16])]
            show(0.5 * len(costs) / CANDIDATES)
        ranked, ends = [candidates[i] for i in np.argsort(costs)], []
        for start in (chosen := starts.choose(ranked, self._turnable, STARTS)):
            ends.append(self._descend(ranked[start]))
            show(0.5 + 0.5 * len(ends) / len(chosen))
        return sorted(ends, key=lambda end: end.cost)

    def judged(self, ends: Sequence[_End], lag: int, inverted: bool) -> Match:
        """The best end in the panel's units; the others that are as good widen its intervals."""
        best = ends[0]
        likely = [end for end in ends if end.cost <= AS_GOOD * best.cost]
        low = np.min([end.position - 2 * end.deviation for end in likely], axis=0)
        high = np.max([end.position + 2 * end.deviation for end in likely], axis=0)
        knobs = []
        for i, control in enumerate(self.panel.controls):
            ends_of_travel = np.clip([low[i], high[i]], -1, 1)
            value, least, most = (control.denormalise(at) for at in (best.position[i], *ends_of_travel))
            knobs.append(Knob(control.name, value, least, most, bool(np.ptp(ends_of_travel) <= 2 * KNOWN)))
        y = self._render(self._engines[0], best.position)
        gain = float((y * self.wet).sum() / np.square(y).sum())
        scaled = gain * y
        errors = [gain_error_db(self.dry[:, c], self.wet[:, c], scaled[:, c], self.rate) for c in range(y.shape[1])]
        return Match(
            tuple(knobs), 20 * float(np.log10(abs(gain) + 1e-12)), esr(self.wet, scaled), float(np.mean(errors)), lag, inverted
        )

    def _descend(self, position: np.ndarray) -> _End:
        """Levenberg-Marquardt within the travel; switches stay."""
        (residual,), damping = self._residuals([position]), 1e-2
        jacobian = self._jacobian(position)
        factors = (0.1, 1.0, 10.0, 100.0)
        for _ in range(DESCENT):
            gradient, curvature = jacobian.T @ residual, jacobian.T @ jacobian
            stuck = ((position >= 1) & (gradient < 0)) | ((position <= -1) & (gradient > 0)) | ~self._turnable
            free = np.flatnonzero(~stuck)
            curvature = curvature[np.ix_(free, free)]
            scale = np.diag(np.diag(curvature) + 1e-6 * np.trace(curvature) + 1e-9)
            trials = []
            for factor in factors:
                trial = position.copy()
                trial[free] -= np.clip(np.linalg.solve(curvature + factor * damping * scale, gradient[free]), -0.5, 0.5)
                trials.append(np.clip(trial, -1, 1))
            found = self._residuals(trials)
            best = int(np.argmin([r @ r for r in found]))
            gained = float(residual @ residual - found[best] @ found[best])
            if gained <= 0:
                damping *= 1000
                if damping > 1e6:
                    break
                continue
            position, residual, damping = trials[best], found[best], max(1e-6, damping * factors[best])
            jacobian = self._jacobian(position)
            if gained <= 1e-4 * float(residual @ residual):
                break
        return _End(position, float(residual @ residual), self._deviation(residual, jacobian))

    def _deviation(self, residual: np.ndarray, jacobian: np.ndarray) -> np.ndarray:
        """Standard deviations, by the sandwich estimator over blocks of time; that of the whole travel where nothing is to be
        heard.
        """
        count = round(BLOCK_S / WINDOW_S) * self.dry.shape[1]
        blocks = [slice(at, at + count) for at in range(0, len(residual), count)]
        scores = np.array([jacobian[block].T @ residual[block] for block in blocks])
        prior = 3 * count * (float(residual @ residual) / len(residual) + 1e-9)  # as much as a block of full sensitivity tells
        bread = np.linalg.inv(jacobian.T @ jacobian + prior * np.eye(jacobian.shape[1]))
        covariance = bread @ (scores.T @ scores + prior**2 / 3 * np.eye(len(bread))) @ bread
        return np.where(self._turnable, np.sqrt(np.diag(covariance)), 0.0)

    def _jacobian(self, position: np.ndarray) -> np.ndarray:
        """(residuals, controls), central differences; one-sided at the ends of the travel, zeros for switches."""
        columns = np.flatnonzero(self._turnable)
        if not len(columns):
            return np.zeros((len(self._residuals([position])[0]), len(position)))
        sides = [
            [np.clip(position + sign * PROBE * (np.arange(len(position)) == c), -1, 1) for c in columns] for sign in (1, -1)
        ]
        found = self._residuals([*sides[0], *sides[1]])
        jacobian = np.zeros((len(found[0]), len(position)))
        for i, column in enumerate(columns):
            width = sides[0][i][column] - sides[1][i][column]
            jacobian[:, column] = (found[i] - found[len(columns) + i]) / width
        return jacobian

    def _residuals(self, positions: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The weighted differences of gain at each position, nepers, after the output gain of each channel that makes them
        least.
        """

        def work(job: tuple[int, NativeEngine]) -> list[np.ndarray]:
            first, engine = job
            return [self._residual(engine, position) for position in positions[first :: len(self._engines)]]

        parts = list(self._pool.map(work, enumerate(self._engines)))
        return [parts[i % len(parts)][i // len(parts)] for i in range(len(positions))]

    def _residual(self, engine: NativeEngine, position: np.ndarray) -> np.ndarray:
        difference = 0.5 * (np.log(self._power(self._render(engine, position)) + 1e-12) - self._wanted)
        difference -= (np.square(self._weight) * difference).sum(axis=0) / np.square(self._weight).sum(axis=0)
        residual: np.ndarray = (self._weight * difference)[self._settling :].ravel()
        return residual

    def _render(self, engine: NativeEngine, position: np.ndarray) -> np.ndarray:
        engine.aim(position.tolist(), 1.0, 0.0)
        engine.reset()
        return engine.process(self.dry)[0]

    def _power(self, signal: np.ndarray) -> np.ndarray:
        """Mean power in windows, (windows, channels)."""
        windows = len(signal) // self._window
        power: np.ndarray = np.square(
            signal[: windows * self._window].reshape(windows, self._window, -1), dtype=np.float64
        ).mean(axis=1)
        return power


@dataclass(frozen=True)
class _End:
    """Where a descent ended: position and standard deviation of each knob, half travels, and the cost."""

    position: np.ndarray
    cost: float
    deviation: np.ndarray
