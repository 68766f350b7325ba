"""What a compressor made of the passage, in figures: static curve, harmonics, frequency response, attack, release, memory."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mlxopto.response.passage import Passage, Section

READ_S = 0.3  # of a steady tone, at its end
ORDERS = (2, 3, 4, 5)  # of harmonics
LEAST_DEPTH_DB = 0.5  # of reduction, from which times are told
CURVE_S = 0.01  # between the points of a gain curve
SHARES = (0.5, 0.9, 0.95)
LEFT_AFTER_S = 0.25
LONGEST_ATTACK_S = 3.0  # that is looked for
COMPARED_S = 4.0  # after an exposure
SILENCE_DBFS = -200.0


@dataclass(frozen=True)
class Steady:
    """A tone that has settled: levels in and out in dBFS, harmonics in percent of the fundamental by order."""

    level_in: float
    level_out: float
    harmonics: dict[int, float]

    @property
    def gain_db(self) -> float:
        """Out over in."""
        return self.level_out - self.level_in

    @property
    def thd(self) -> float:
        """Total harmonic distortion in percent, of the orders 2 to 5."""
        return float(np.sqrt(sum(share**2 for share in self.harmonics.values())))


@dataclass(frozen=True)
class Dynamics:
    """A loud tone between probe tones: how deep the reduction is at its end, in dB, and how long it takes to come and to go.

    attack, release: seconds until 50, 90 and 95 % of the reduction in dB have come, or gone; None where they have not in the
    time that there was, or where there is too little reduction to tell. left: share of the reduction that is left 0.25 s after.
    """

    level_in: float
    seconds: float
    depth_db: float
    attack: tuple[float | None, ...]
    release: tuple[float | None, ...]
    left: float | None


@dataclass(frozen=True)
class Response:
    """All figures of one compressor at one setting.

    Gain curves are in dB, a point every 10 ms, from the end of each exposure.
    """

    noise_dbfs: float
    static: list[Steady]
    low: list[Steady]
    frequencies: list[tuple[float, float, float]]  # Hz; dB relative to 1 kHz without and with reduction
    depths: list[Dynamics]
    exposures: list[Dynamics]
    release_curves: list[np.ndarray]

    @property
    def threshold_dbfs(self) -> float | None:
        """The input level at which 1 dB is taken away, of what a faint tone is given."""
        given = self.static[0].gain_db
        levels, taken = [s.level_in for s in self.static], [given - s.gain_db for s in self.static]
        above = [place for place, reduction in enumerate(taken) if reduction >= 1]
        if not above or above[0] == 0:
            return None
        place = above[0]
        return float(np.interp(1.0, taken[place - 1 : place + 1], levels[place - 1 : place + 1]))

    @property
    def ratio(self) -> float:
        """The steepest change of input over change of output between levels 5 dB apart."""
        rise = [high.level_out - low.level_out for low, high in zip(self.static, self.static[2:], strict=False)]
        change = self.static[2].level_in - self.static[0].level_in
        return float(change / max(min(rise), 1e-3))

    def document(self) -> dict[str, Any]:
        """As JSON, without the curves."""
        tones = {name: [{**asdict(s), "thd": s.thd} for s in getattr(self, name)] for name in ("static", "low")}
        return {
            "noise_dbfs": self.noise_dbfs,
            "threshold_dbfs": self.threshold_dbfs,
            "ratio": self.ratio,
            **tones,
            "frequencies": [{"hz": hz, "faint_db": faint, "reducing_db": loud} for hz, faint, loud in self.frequencies],
            "depths": [asdict(dynamics) for dynamics in self.depths],
            "exposures": [asdict(dynamics) for dynamics in self.exposures],
        }


def respond(passage: Passage, y: np.ndarray) -> Response:
    """The figures of what came back, float (samples,), for the passage that was played, aligned to the sample."""
    y = np.asarray(y, np.float64)
    (silence,) = passage.of("silence")
    depths, exposures = ([_dynamics(passage, y, section) for section in passage.of(part)] for part in ("depth", "exposure"))
    return Response(
        noise_dbfs=_dbfs(float(np.sqrt(np.mean(y[silence.end // 2 : silence.end] ** 2)))),
        static=[_steady(passage, y, section) for section in passage.of("static")],
        low=[_steady(passage, y, section) for section in passage.of("low")],
        frequencies=_frequencies(passage, y),
        depths=[dynamics for dynamics, _ in depths],
        exposures=[dynamics for dynamics, _ in exposures],
        release_curves=[curve for _, curve in exposures],
    )


def memory_error_db(one: Response, other: Response) -> list[float]:
    """RMS difference in gain, in dB, over the 4 s after each exposure."""
    count = round(COMPARED_S / CURVE_S)
    pairs = zip(one.release_curves, other.release_curves, strict=True)
    return [float(np.sqrt(np.mean((a[:count] - b[:count]) ** 2))) for a, b in pairs]


def static_error_db(one: Response, other: Response) -> float:
    """RMS difference in gain, in dB, over the levels of the static curve."""
    differences = [a.gain_db - b.gain_db for a, b in zip(one.static, other.static, strict=True)]
    return float(np.sqrt(np.mean(np.square(differences))))


def _steady(passage: Passage, y: np.ndarray, section: Section) -> Steady:
    amplitudes = _amplitudes(passage, y, section, READ_S, (1, *ORDERS))
    harmonics = {order: float(100 * amplitudes[order] / max(amplitudes[1], 1e-12)) for order in ORDERS}
    return Steady(section.level_dbfs, _dbfs(amplitudes[1]), harmonics)


def _frequencies(passage: Passage, y: np.ndarray) -> list[tuple[float, float, float]]:
    """Level out over level in at each frequency, relative to 1 kHz, without and with reduction."""
    gains = []
    for part in ("response", "reducing"):
        sections = passage.of(part)
        levels = [_dbfs(_amplitudes(passage, y, s, READ_S / 2, (1,))[1]) - s.level_dbfs for s in sections]
        middle = min(range(len(sections)), key=lambda place: abs(sections[place].hz - 1000))
        gains.append([level - levels[middle] for level in levels])
    return [(s.hz, float(a), float(b)) for s, a, b in zip(passage.of("response"), *gains, strict=True)]


def _amplitudes(passage: Passage, y: np.ndarray, section: Section, seconds: float, orders: tuple[int, ...]) -> dict[int, float]:
    """Of the harmonics at the end of a section, by least squares."""
    count = min(round(seconds * passage.sample_rate), section.end - section.start)
    t = np.arange(section.end - count, section.end) / passage.sample_rate
    orders = tuple(order for order in orders if order * section.hz < 0.5 * passage.sample_rate)
    waves = [f(2 * np.pi * order * section.hz * t) for order in orders for f in (np.cos, np.sin)]
    found, *_ = np.linalg.lstsq(np.stack(waves, axis=1), y[section.end - count : section.end], rcond=None)
    return {order: float(np.hypot(*found[2 * place : 2 * place + 2])) for place, order in enumerate(orders)} | {
        order: 0.0 for order in ORDERS if order not in orders
    }


def _gain_db(passage: Passage, y: np.ndarray, start: int, end: int, hz: float) -> np.ndarray:
    """The gain of a tone at every sample: what is left of both signals of its frequency, averaged over a period."""
    period = round(passage.sample_rate / hz)
    turn = np.exp(-2j * np.pi * hz * np.arange(start - period, end) / passage.sample_rate)

    def level(signal: np.ndarray) -> np.ndarray:
        sums = np.cumsum(signal[start - period : end] * turn)
        return np.abs(sums[period:] - sums[:-period])

    return 20 * np.log10(np.maximum(level(y), 1e-12) / np.maximum(level(passage.x), 1e-12))


def _parts(passage: Passage, section: Section) -> tuple[Section, Section]:
    """What plays before a section, and after it."""
    place = passage.sections.index(section)
    return passage.sections[place - 1], passage.sections[place + 1]


def _dynamics(passage: Passage, y: np.ndarray, section: Section) -> tuple[Dynamics, np.ndarray]:
    """Its figures, and the gain in dB from its end on, against that before it, every 10 ms; the first period is left out."""
    before, after = _parts(passage, section)
    rate, period = passage.sample_rate, round(passage.sample_rate / section.hz)
    rest = float(_gain_db(passage, y, before.end - rate // 5, before.end, before.hz).mean())
    going = rest - _gain_db(passage, y, after.start + period, after.end, after.hz)
    depth = rest - float(_gain_db(passage, y, section.end - max(1, rate // 100), section.end, section.hz).mean())
    seconds, curve = (section.end - section.start) / rate, -going[:: round(CURVE_S * rate)]
    if depth < LEAST_DEPTH_DB:
        nothing = (None,) * len(SHARES)
        return Dynamics(section.level_dbfs, seconds, depth, nothing, nothing, None), curve
    watched = min(section.end, section.start + round(LONGEST_ATTACK_S * rate))
    coming = rest - _gain_db(passage, y, section.start, watched, section.hz)
    attack = tuple(_first(coming >= share * depth, rate) for share in SHARES)
    release = tuple(_first(going <= (1 - share) * depth, rate, period) for share in SHARES)
    left = float(going[round(LEFT_AFTER_S * rate)] / depth)
    return Dynamics(section.level_dbfs, seconds, depth, attack, release, left), curve


def _first(reached: np.ndarray, sample_rate: int, later: int = 0) -> float | None:
    """Seconds until something is so for the first time; None if never."""
    return float((np.argmax(reached) + later) / sample_rate) if reached.any() else None


def _dbfs(amplitude: float) -> float:
    return max(float(20 * np.log10(max(amplitude, 1e-30))), SILENCE_DBFS)
