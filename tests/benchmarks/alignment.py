"""How often the lag of a take is found, a jump noticed, and nothing invented, on virtual units at random settings, levels and
noises.

python -m tests.benchmarks.alignment [--takes 250] [--seeds 3]
"""

from __future__ import annotations

import argparse
from collections import Counter

import numpy as np

from mlxopto.data import program
from mlxopto.data.alignment import MAX_LAG, STEADY, Alignment, align
from mlxopto.devices import DEVICES
from tests.benchmarks.results import tell

RATE = 48000
LENGTHS_S = (1.0, 2.0, 3.0, 6.0, 10.0)
AT_THE_END = 0.3  # of the settings, whose knobs stand at an end of their travel


def moved(y: np.ndarray, lag: int) -> np.ndarray:
    """The signal later by so many samples, of its length."""
    return np.concatenate([np.zeros(lag), y])[: len(y)] if lag >= 0 else np.concatenate([y[-lag:], np.zeros(-lag)])


def jumping(y: np.ndarray, jump: int, at: int) -> np.ndarray:
    """With samples put in, or lost, at a place."""
    rest = y[at:] if jump > 0 else y[at - jump :]
    return np.concatenate([y[:at], np.zeros(max(0, jump)), rest, np.zeros(max(0, -jump))])[: len(y)]


def right(found: Alignment, lag: int, polarity: int) -> bool:
    """Whether a lag was found as it is, without an alarm."""
    return found.lag is not None and abs(found.lag - lag) <= STEADY and found.polarity == polarity and found.steady


def trials(takes: int, seed: int) -> Counter[str]:
    """Counts of what was found."""
    rng = np.random.default_rng(seed)
    pool = program.generate(120.0, RATE, np.random.SeedSequence(5))
    counts: Counter[str] = Counter()
    for number in range(takes):
        device = list(DEVICES.values())[number % len(DEVICES)]
        places = rng.random(len(device.panel.controls))
        places = np.where(rng.random(len(places)) < AT_THE_END, np.round(places), places)
        setting = {c.name: c.denormalise(2 * float(p) - 1) for c, p in zip(device.panel.controls, places, strict=True)}
        samples = round(RATE * rng.choice(LENGTHS_S))
        start = int(rng.integers(len(pool) - samples))
        x = (pool[start : start + samples] * 10 ** (rng.uniform(-30, 3) / 20)).astype(np.float32)
        y = device.process(x, RATE, setting)
        y = y + 10 ** (rng.uniform(-90, -45) / 20) * np.abs(y).max() * rng.standard_normal(samples)
        lag, polarity = int(rng.integers(-MAX_LAG, MAX_LAG + 1)), int(rng.choice([1, -1]))
        counts["lags found"] += right(align(x, polarity * moved(y, lag)), lag, polarity)
        counts["aligned, no alarm"] += right(align(x, y), 0, 1)
        other = (start + 40 * RATE) % (len(pool) - samples)
        counts["other material, none invented"] += (
            align(x, device.process(pool[other : other + samples], RATE, setting)).lag is None
        )
        if samples >= 3 * RATE:
            jump = int(rng.choice([-1, 1]) * rng.integers(5, 2000))
            counts["takes with a jump"] += 1
            counts["jumps noticed"] += not align(x, jumping(y, jump, round(samples * rng.uniform(0.45, 0.55)))).steady
    return counts


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--takes", type=int, default=250)
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    counts = [trials(asked.takes, seed) for seed in range(asked.seeds)]
    tell(
        "Alignment of takes",
        ["seed", *counts[0]],
        [(seed, *found.values()) for seed, found in enumerate(counts)],
        f"{asked.takes} takes a seed",
    )
