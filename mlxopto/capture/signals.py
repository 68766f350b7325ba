"""What is played through a unit: a sweep by which delay is measured, a probe that shows what the knobs do, programme material.

All are float32 (samples,), peaks within +-1, the same every time.
"""

from __future__ import annotations

import numpy as np

from mlxopto.data import program

SILENCE_S = 0.5  # before everything, for the noise floor
SWEEP_S, SWEEP_PEAK = 0.25, 0.25
GAP_S = 0.05  # after a sweep
BURSTS = ((-30, 0.15), (0, 0.1), (-30, 0.2), (-10, 0.3), (-40, 0.25), (-18, 0.2), (-30, 0.1))  # dBFS peak, seconds
AROUND_S = 2 * (SWEEP_S + GAP_S) + sum(seconds for _, seconds in BURSTS)  # what a take has beside its programme material
REPEATS = 5  # sweeps at the set-up, after a first one
LONGEST_S = 0.5  # delay that is looked for


def sweep(rate: int) -> np.ndarray:
    """A logarithmic sweep of 50 Hz to four tenths of the rate, faded at both ends, then a short silence."""
    t = np.arange(round(SWEEP_S * rate)) / rate
    octaves = np.log(0.4 * rate / 50)
    phase = 2 * np.pi * 50 * SWEEP_S / octaves * np.expm1(t / SWEEP_S * octaves)
    edge = np.minimum(1, np.minimum(t, SWEEP_S - t) / 0.01)
    return np.concatenate([SWEEP_PEAK * edge * np.sin(phase), np.zeros(round(GAP_S * rate))]).astype(np.float32)


def probe(rate: int) -> np.ndarray:
    """Noise whose level jumps: what it becomes tells two settings apart."""
    rng = np.random.default_rng(0)
    parts = [10 ** (level / 20) * np.clip(rng.standard_normal(round(s * rate)) / 3, -1, 1) for level, s in BURSTS]
    return np.concatenate(parts).astype(np.float32)


def train_of_sweeps(rate: int) -> np.ndarray:
    """Silence, a sweep with so much silence behind it that any delay can be told, then as many sweeps as `REPEATS`: see
    `sweeps_at`.
    """
    silence, pause = (np.zeros(round(s * rate), np.float32) for s in (SILENCE_S, LONGEST_S))
    return np.concatenate([silence, sweep(rate), pause, *[sweep(rate)] * REPEATS])


def sweeps_at(rate: int) -> list[int]:
    """Where the sweeps of `train_of_sweeps` begin, in samples, the one that stands alone first."""
    first, length = round(SILENCE_S * rate), len(sweep(rate))
    second = first + length + round(LONGEST_S * rate)
    return [first, *(second + k * length for k in range(REPEATS))]


def take(seconds: float, rate: int, seed: int) -> np.ndarray:
    """One take: a sweep, the probe, programme material of that seed, a sweep."""
    return framed(program.generate(seconds, rate, np.random.SeedSequence([2, seed])), rate)


def framed(material: np.ndarray, rate: int) -> np.ndarray:
    """Material with what every take has around it: a sweep and the probe before, a sweep behind."""
    return np.concatenate([sweep(rate), probe(rate), material, sweep(rate)])


def probe_part(rate: int) -> slice:
    """The samples of the probe in a take."""
    start = len(sweep(rate))
    return slice(start, start + len(probe(rate)))
