"""The side-chain of a textbook compressor, every parameter of which the knobs may move.

Detectors listen at the audio rate; gain computers and their ballistics run at the control rate. Few numbers, each with a
meaning: what a dozen settings teach about them holds between the settings too, which is what a free network lacks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import mlx.core as mx
import mlx.nn as nn

from mlxopto.controls import TIME_UNITS, Panel
from mlxopto.nn import functional
from mlxopto.nn.levels import FLOOR, SCALE
from mlxopto.scan import ballistics_scan, detector_scan, reference

NEPERS_A_DB = math.log(10) / 20
ATTACKS_MS = (3.0, 12.0, 0.05, 6.0)  # of the detectors: of the rectified key twice, of a fast and of a slow root mean square
RELEASES_MS = (80.0, 300.0, 0.5, 150.0)
AVERAGES_MS = (0.3, 5.0)  # of the two root mean squares
FOLLOWS = (1.0, 1.0, 0.0, 1.0)  # whether the knobs move a detector's times
SPREAD = (0.7, 2.0, 1.0, 1.0)  # of the detectors' times about those that the panel names
DETECTORS, RECTIFIED = reference.DETECTORS, reference.RECTIFIED  # each of the above once more of the power; have a rectifier
REDUCTION_ATTACKS_MS = (0.1, 0.1, 2.0, 10.0)  # of the gain computers' reductions
REDUCTION_RELEASES_MS = (0.1, 10.0, 40.0, 150.0)
REDUCTION_FOLLOWS = (0.0, 0.0, 1.0, 1.0)
GAIN_COMPUTERS = len(REDUCTION_FOLLOWS)
RISES = (1000.0, 100.0, 1000.0, 1000.0)  # slew limits of the reductions, in nepers a second
FALLS = (1000.0, 10.0, 1000.0, 1000.0)
RANGE = 20.0  # nepers at most of a reduction
THRESHOLD, LOG_RATIO, KNEE = -2.3, 1.0, 0.3  # where they start without a word on the panel, in nepers
SHARPNESS = 10.0  # of the bend by which ratio, knee and mix stay positive
NARROWEST_KNEE = 0.01
LEAST = 1e-15  # of what that bend keeps positive, so that the mixes of a gain computer never add up to 0
REACH = 5.0  # parameters are kept in units of this, because Adam moves all alike and these have further to go than a network's


class KnobMap(nn.Module):
    """start + follows * (knobs @ weight): parameters in a scale on which knobs add up.

    One row of weights for all, or one each.
    """

    def __init__(self, controls: int, start: Sequence[float], follows: Sequence[float] | None = None):
        """`follows`: how far each parameter goes along with the common row; without it each has weights of its own."""
        super().__init__()
        self.start = mx.array(tuple(start), dtype=mx.float32) * (1 / REACH)
        self.weight = mx.zeros((controls, 1 if follows else len(start)))
        self._follows = tuple(follows or ())
        self._primed: dict[int, float] = {}  # weights that the panel gives, by knob

    def __call__(self, knobs: mx.array) -> mx.array:
        """knobs: (batch, controls) to (batch, parameters)."""
        moved = knobs @ self.weight
        return REACH * (self.start + (moved * mx.array(self._follows) if self._follows else moved))

    def affine(self) -> tuple[mx.array, mx.array]:
        """What it does to the knobs, whatever is shared: weights (controls, parameters) and offsets (parameters,)."""
        weight = self.weight * mx.array(self._follows) if self._follows else self.weight
        return REACH * weight, REACH * self.start

    def turn(self, by: mx.array) -> None:
        """Starts where the knobs, turned further by so much, would have led."""
        moved = by @ self.weight
        self.start = self.start + (moved * mx.array(self._follows) if self._follows else moved)

    def set_all(self, column: int, half: float, middle: float) -> None:
        """A knob that says what all of the parameters are, over half its travel about the middle."""
        self.start = mx.full(self.start.shape, middle / REACH)
        self._prime(column, half)

    def set_following(self, column: int, half: float, middles: Sequence[float]) -> None:
        """A knob that says what those parameters are that follow the knobs."""
        follows = mx.array(self._follows) > 0
        self.start = mx.where(follows, mx.array(tuple(middles)) * (1 / REACH), self.start)
        self._prime(column, half)

    @property
    def primed(self) -> tuple[int, ...]:
        """The knobs whose meaning is here, as the panel says."""
        return tuple(self._primed)

    def prior_penalty(self, knobs: Sequence[int]) -> mx.array:
        """Mean square of how far those knobs' weights are from what the panel says, or from none."""
        primed = mx.array([[self._primed.get(column, 0.0)] for column in knobs])
        return mx.square(REACH * self.weight[mx.array(tuple(knobs))] - primed).mean(axis=1).sum()

    def _prime(self, column: int, half: float) -> None:
        self._primed[column] = half
        self.weight[column] = half / REACH


class SideChain(nn.Module):
    """Detectors, then gain computers, each with a threshold, a ratio, a soft knee and a range, then ballistics of the
    reduction: attack, release and slew limits.

    A detector is the rectified key or a root mean square of the key, charged and discharged at two rates; half of them work on
    the power. A rectifier is an angle: 0 gives the magnitude, a quarter of pi one half of the wave (minus: the other half),
    half of pi the key itself. A gain computer hears a mix of the detectors. Times are kept as logarithms of seconds, levels in
    nepers, limits as logarithms.
    """

    features = DETECTORS + 2 * GAIN_COMPUTERS

    def __init__(self, controls: int, sample_rate: float, hop: int):
        super().__init__()
        self._rate, self._hop = sample_rate, hop
        twice = 2 * FOLLOWS
        self.average = KnobMap(controls, _log_seconds(AVERAGES_MS), (0.0, 1.0))
        self.attack = KnobMap(controls, 2 * _log_seconds(ATTACKS_MS), twice)
        self.release = KnobMap(controls, 2 * _log_seconds(RELEASES_MS), twice)
        self.mix = KnobMap(controls, (0.2,) * (DETECTORS * GAIN_COMPUTERS))
        self.threshold = KnobMap(controls, (THRESHOLD,) * GAIN_COMPUTERS)
        self.ratio = KnobMap(controls, (LOG_RATIO,) * GAIN_COMPUTERS)
        self.knee = KnobMap(controls, (KNEE,) * GAIN_COMPUTERS, (1.0,) * GAIN_COMPUTERS)
        self.reduction_attack = KnobMap(controls, _log_seconds(REDUCTION_ATTACKS_MS), REDUCTION_FOLLOWS)
        self.reduction_release = KnobMap(controls, _log_seconds(REDUCTION_RELEASES_MS), REDUCTION_FOLLOWS)
        self.range = KnobMap(controls, (math.log(RANGE),) * GAIN_COMPUTERS)
        self.rise = KnobMap(controls, [math.log(rise) for rise in RISES])
        self.fall = KnobMap(controls, [math.log(fall) for fall in FALLS])
        self.makeup = KnobMap(controls, (0.0,))
        self.rectifier = mx.zeros((RECTIFIED,))  # in units of REACH
        self.share = mx.zeros((GAIN_COMPUTERS,))  # of the whole reduction, as logits in units of REACH
        self.auto_makeup = mx.zeros((1,))  # share of the reduction at full scale that is given back, in units of REACH

    def prime(self, panel: Panel) -> None:
        """Starts from what the panel says: times in seconds by name, threshold, knee and gain in decibels, ratio as n:1."""
        for column, control in enumerate(panel.controls):
            low, high = control.travel
            half, middle = 0.5 * (high - low), 0.5 * (high + low)
            if control.unit in TIME_UNITS and control.taper == "log":
                middle += math.log(TIME_UNITS[control.unit])
                for name in ("attack", "release"):
                    if name in control.name:
                        getattr(self, name).set_following(column, half, [middle + math.log(s) for s in 2 * SPREAD])
                        getattr(self, f"reduction_{name}").set_following(column, half, [middle] * GAIN_COMPUTERS)
            elif control.unit.startswith("dB") and control.taper != "log":
                half, middle = half * NEPERS_A_DB, middle * NEPERS_A_DB
                if "threshold" in control.name:
                    self.threshold.set_all(column, half, middle)
                elif "knee" in control.name:
                    self.knee.set_all(column, 0.3 * half, max(0.3 * middle, 0.05))
                elif any(word in control.name for word in ("gain", "makeup", "output")):
                    self.makeup.set_all(column, half, middle)
            elif control.unit == ":1" and control.taper == "log":
                self.ratio.set_all(column, half, middle)

    def turn(self, by: mx.array) -> None:
        """Makes every setting do what it did with the knobs turned further by so much, (controls,), in half travels."""
        for knob_map in self.children().values():
            knob_map.turn(by)

    def prior_penalty(self) -> mx.array:
        """How far the knobs whose meaning the panel says have come to do more, or other, than that; 0 without such knobs."""
        maps = tuple(self.children().values())
        knobs = sorted({column for knob_map in maps for column in knob_map.primed})
        return sum((knob_map.prior_penalty(knobs) for knob_map in maps), mx.zeros(())) if knobs else mx.zeros(())

    def initial_state(self, batch: int) -> dict[str, mx.array]:
        """Averages and detectors, as `detector_scan` keeps them, and reductions (batch, GAIN_COMPUTERS), after silence."""
        return {
            "detectors": mx.zeros((batch, 2 * reference.AVERAGES + DETECTORS)),
            "reductions": mx.zeros((batch, GAIN_COMPUTERS)),
        }

    def __call__(
        self, key: mx.array, knobs: mx.array, state: dict[str, mx.array]
    ) -> tuple[mx.array, mx.array, mx.array, dict[str, mx.array]]:
        """key: (batch, frames * hop), knobs: (batch, controls) to make-up (batch, 1) and reduction (batch, frames), both in
        nepers, features (batch, frames, features), state.
        """
        levels, listened = self._detect(key, knobs, state)
        curve = self._curve(knobs)
        heard = mx.log(levels @ self._mixes(knobs) + FLOOR)
        wanted = _reduction(curve, heard)
        frames = self._rate / self._hop
        rates = (_rate(self.reduction_attack(knobs), frames), _rate(self.reduction_release(knobs), frames))
        rise, fall = (mx.exp(limit(knobs)) * (1 / frames) for limit in (self.rise, self.fall))
        reduction, last = ballistics_scan(wanted, *rates, rise, fall, state["reductions"])
        shares = self.shares()
        at_full_scale = _reduction(curve, mx.zeros_like(curve[0]))[:, 0] @ shares
        makeup = self.makeup(knobs) + REACH * self.auto_makeup * at_full_scale[:, None]
        features = mx.concatenate([mx.log(levels + FLOOR) * SCALE + 2.0, wanted, reduction], axis=-1)
        return makeup, reduction @ shares, features, {**listened, "reductions": last}

    def shares(self) -> mx.array:
        """Of each gain computer in the whole reduction, (GAIN_COMPUTERS,), sum 1."""
        return mx.softmax(REACH * self.share)

    def _curve(self, knobs: mx.array) -> tuple[mx.array, ...]:
        """Threshold, slope (1 - 1 / ratio), width of the knee and range of each gain computer, (batch, 1,
        GAIN_COMPUTERS) each.
        """
        slope = 1 - mx.exp(-_positive(self.ratio(knobs)))
        knee = _positive(self.knee(knobs)) + NARROWEST_KNEE
        return tuple(part[:, None] for part in (self.threshold(knobs), slope, knee, mx.exp(self.range(knobs))))

    def _mixes(self, knobs: mx.array) -> mx.array:
        """What each gain computer hears of each detector: (batch, DETECTORS, GAIN_COMPUTERS), sums of 1."""
        mix = _positive(self.mix(knobs)).reshape(-1, DETECTORS, GAIN_COMPUTERS)
        return mix / mix.sum(axis=1, keepdims=True)

    def _detect(self, key: mx.array, knobs: mx.array, state: dict[str, mx.array]) -> tuple[mx.array, dict[str, mx.array]]:
        """The detectors' amplitudes at the end of each frame, (batch, frames, DETECTORS)."""
        average, attack, release = (_rate(times(knobs), self._rate) for times in (self.average, self.attack, self.release))
        angle = REACH * self.rectifier
        rectifier = (mx.cos(angle), mx.sin(angle))
        charged, last = detector_scan(key, average, attack, release, *rectifier, self._hop, FLOOR**2, state["detectors"])
        amplitudes, powers = mx.split(mx.maximum(charged, 0), 2, axis=-1)
        return mx.concatenate([amplitudes, mx.sqrt(powers + FLOOR**2)], axis=-1), {"detectors": last}


def _reduction(curve: tuple[mx.array, ...], level: mx.array) -> mx.array:
    """What the gain computers ask for at a level, in nepers: the slope beyond a threshold with a soft knee, which the range
    bends.
    """
    threshold, slope, knee, most = curve
    return -most * mx.expm1(-slope * knee * functional.softplus((level - threshold) / knee) / most)


def _rate(log_seconds: mx.array, per_second: float) -> mx.array:
    """How far a one-pole filter of that time constant goes in a step."""
    return -mx.expm1(-mx.exp(-log_seconds) * (1 / per_second))


def _positive(x: mx.array) -> mx.array:
    return functional.softplus(x * SHARPNESS) * (1 / SHARPNESS) + LEAST


def _log_seconds(milliseconds: Sequence[float]) -> tuple[float, ...]:
    return tuple(math.log(time / 1000) for time in milliseconds)
