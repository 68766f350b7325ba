"""The passage that is played through a compressor to be measured: tones alone, so that a recording of it tells the same.

Levels are those of a sine in dBFS: 0 has a peak of 1. Between the parts a probe tone plays, by which the gain can be read while
a release lasts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

TONE_HZ, LOW_HZ = 1000.0, 60.0  # of all parts but the frequency response; where a cell may follow the wave
PROBE_DBFS, LOUD_DBFS, FAINT_DBFS = -36.0, -8.0, -50.0
REST_S = 8.0  # of the probe, from part to part
SILENCE_S = 2.0
FREQUENCIES_HZ = tuple(round(1000 * 2 ** (k / 3), 1) for k in range(-16, 14))  # thirds of an octave, 25 Hz to 20 kHz
FREQUENCY_S, SETTLING_S = 0.3, 2.0
HIGHEST = 0.46  # of the sample rate
LEVELS_DBFS = tuple(-50 + 2.5 * k for k in range(21))
LOW_LEVELS_DBFS = (-30.0, -20.0, -14.0, -8.0, -2.0)
LEVEL_S = 1.5
DEPTHS_DBFS = (-24.0, -18.0, -12.0, -6.0, 0.0)
DEPTH_S, DEPTH_RELEASE_S = 2.0, 5.0
EXPOSURES_S = (0.1, 0.3, 1.0, 3.0, 10.0, 20.0)
RELEASE_S = 6.0  # after an exposure; the probe before it lasts as long


@dataclass(frozen=True)
class Section:
    """A tone of the passage, from sample `start` to before `end`.

    part: silence, rest, response, reducing, static, low, depth, exposure, or release, which follows the last two.
    """

    part: str
    start: int
    end: int
    hz: float
    level_dbfs: float


@dataclass(frozen=True)
class Passage:
    """x: float32 (samples,), full scale +-1."""

    x: np.ndarray
    sample_rate: int
    sections: tuple[Section, ...]

    def of(self, part: str) -> list[Section]:
        """The sections of a part, in order."""
        return [section for section in self.sections if section.part == part]


@cache
def passage(sample_rate: int) -> Passage:
    """The passage at a sample rate in Hz, four minutes; frequencies above `HIGHEST` of it are left out."""
    plan: list[tuple[str, float, float, float]] = [("silence", SILENCE_S, TONE_HZ, -np.inf)]  # part, seconds, Hz, dBFS
    audible = [hz for hz in FREQUENCIES_HZ if hz < HIGHEST * sample_rate]
    plan += [("response", FREQUENCY_S, hz, FAINT_DBFS) for hz in audible]
    plan += [("rest", SETTLING_S, TONE_HZ, LOUD_DBFS), *(("reducing", FREQUENCY_S, hz, LOUD_DBFS) for hz in audible)]
    plan += [_rest(REST_S), *(("static", LEVEL_S, TONE_HZ, level) for level in LEVELS_DBFS)]
    plan += [_rest(REST_S), *(("low", LEVEL_S, LOW_HZ, level) for level in LOW_LEVELS_DBFS), _rest(REST_S)]
    for level in DEPTHS_DBFS:
        plan += [_rest(1.0), ("depth", DEPTH_S, TONE_HZ, level), ("release", DEPTH_RELEASE_S, TONE_HZ, PROBE_DBFS)]
    for seconds in EXPOSURES_S:
        plan += [_rest(RELEASE_S), ("exposure", seconds, TONE_HZ, LOUD_DBFS), ("release", RELEASE_S, TONE_HZ, PROBE_DBFS)]
    sections, tones, at = [], [], 0
    for part, seconds, hz, level in plan:
        count = round(seconds * sample_rate)
        tones.append(10 ** (level / 20) * np.sin(2 * np.pi * hz * np.arange(count) / sample_rate))
        sections.append(Section(part, at, at + count, hz, level))
        at += count
    return Passage(np.concatenate(tones).astype(np.float32), sample_rate, tuple(sections))


def _rest(seconds: float) -> tuple[str, float, float, float]:
    return "rest", seconds, TONE_HZ, PROBE_DBFS
