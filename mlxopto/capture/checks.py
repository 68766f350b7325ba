"""What can be wrong with a recorded take, found from the recording itself."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mlxopto.capture import delay, signals
from mlxopto.capture.interface import Recording
from mlxopto.data.judgement import FULL_SCALE
from mlxopto.errors import WorkError
from mlxopto.metrics import esr
from mlxopto.metrics.levels import level_dbfs
from mlxopto.metrics.spectra import correlation

MARGIN_S = 0.1  # recorded beyond a take, for one that comes later than it should
STEADY_S = 0.3 / 48000  # by which a take's end may be later than its beginning
ABOVE_NOISE_DB = 20.0  # that a return should be, to learn from
AUDIBLE = 10 ** (-45 / 20)  # RMS of what was played, where something must come back
WINDOW_S = 0.25  # in which is looked where samples were lost
UNLIKE = 0.6  # a window after that has a smaller share than this of its best correlation at its own place
FRAME_S, FRAMES = 0.00025, 4  # a gap has so many silent frames in a row: half a block of 96 samples, the whole of one of 48
GAP_DB, NEIGHBOURS = 30.0, 40  # by which the noise is below what so many frames on both sides let expect
SAME = 4.0  # times the difference of two recordings at one setting: as much may be between two at the same one
SAME_ESR = 1e-5  # or as little as that


class SetUpError(WorkError):
    """What came back cannot be recorded; to be put right and tried again."""


@dataclass(frozen=True)
class Setup:
    """What was measured before the first take. Delays in samples, levels in dBFS."""

    sample_rate: int
    delay: float  # of everything between output and input, the unit's included
    spread: float  # of that, over repeats
    polarity: int
    offset: float  # of silence, linear
    noise_dbfs: float  # RMS of silence
    level_dbfs: float  # RMS of the sweeps
    aligned_by: int  # samples that takes are moved by
    interface_delay: float | None = None  # of the interface alone, where it was measured with a cable in the unit's place

    def without_the_unit(self, interface_delay: float) -> Setup:
        """Aligned by the interface's delay alone, where the unit's own is short: then its phase is kept as it is."""
        short = abs(self.delay - interface_delay) < 2
        aligned_by = round(interface_delay) if short else self.aligned_by
        return replace(self, interface_delay=interface_delay, aligned_by=aligned_by)

    def following(self, first: Setup) -> Setup:
        """Aligned as the folder's first set-up was, so that a fraction of a sample is not rounded up one day and down the
        other.
        """
        return replace(self, aligned_by=first.aligned_by + round(self.delay - first.delay))


@dataclass(frozen=True)
class Checked:
    """A take as it will be kept, and what was found: `problems` forbid to keep it, `doubts` are for the user to judge."""

    x: np.ndarray  # what was played, float32 (samples,)
    y: np.ndarray  # what came back, aligned, of the played one's polarity, float32 (samples,)
    peak_dbfs: float
    delay: float
    problems: tuple[str, ...]
    doubts: tuple[str, ...]


def set_up(recording: Recording, sample_rate: int) -> Setup:
    """Judges what came back of `signals.train_of_sweeps`.

    Raises:
        SetUpError: clipped, nothing heard, or a delay that is not the same each time.
    """
    y, sweep = recording.y, signals.sweep(sample_rate)
    silence = y[: round(0.8 * signals.SILENCE_S * sample_rate)]
    if over := clipped(y):
        raise SetUpError(f"the return clips ({over} samples at full scale); lower it, at the unit or at the input")
    alone, *starts = signals.sweeps_at(sample_rate)
    first = delay.measure(sweep, y[alone:], round(signals.LONGEST_S * sample_rate))
    if first.likeness < delay.LIKE:
        level = level_dbfs(y)
        raise SetUpError(f"the sweeps that were played did not come back ({level:.0f} dBFS): check cables, channels and bypass")
    near = max(0, int(first.samples) - 50)
    found = [delay.measure(sweep, y[at + near :], 100).samples + near for at in starts]
    spread = float(np.ptp(found))
    if spread > 1:
        delays = ", ".join(f"{samples:.1f}" for samples in found)
        raise SetUpError(f"the delay is not steady: {delays} samples; choose a longer --block, or another interface")
    late, offset = float(np.mean(found)), float(silence.mean())
    level = level_dbfs(y[starts[0] + near : starts[-1] + near + len(sweep)] - offset)
    return Setup(sample_rate, late, spread, first.polarity, offset, level_dbfs(silence - offset), level, round(late))


def check_take(x: np.ndarray, recording: Recording, setup: Setup, before: np.ndarray | None, repeatability: float) -> Checked:
    """Judges a take of `signals.take`.

    Args:
        x: what was played. before: the take at the setting before this one, aligned; None where there is none to compare with.
        repeatability: ESR between two recordings at one setting.
    """
    kept = np.ascontiguousarray(setup.polarity * recording.y[setup.aligned_by : setup.aligned_by + len(x)])
    peak = 20 * float(np.log10(np.abs(recording.y).max(initial=0.0) + 1e-6))
    if over := clipped(recording.y):
        problem = f"the return clips ({over} samples at full scale): lower it, and begin again if takes are kept already"
        return Checked(x, kept, peak, setup.delay, (problem,), ())
    y = setup.polarity * (recording.y - np.float32(setup.offset))  # as it is judged
    aligned = y[setup.aligned_by : setup.aligned_by + len(x)]
    late, problems, doubts = _delays(x, y, setup)
    above = level_dbfs(aligned) - setup.noise_dbfs
    if problems and above < ABOVE_NOISE_DB:
        levels = f"{level_dbfs(aligned):.0f} dBFS, the noise has {setup.noise_dbfs:.0f}"
        problems = [f"hardly anything comes back ({levels}): check cables and bypass"]
    if not problems:
        if above < ABOVE_NOISE_DB:
            doubts.append(f"it is only {above:.0f} dB above the noise")
        doubts += _gaps(x, aligned, setup)
        doubts += [f"the sound system reported a drop-out: {name.replace('_', ' ')}" for name in recording.xruns]
        if before is not None and _same(aligned, before, setup, repeatability):
            doubts.append("it is the same as the take before; were the knobs turned?")
    return Checked(x, kept, peak, late, tuple(problems), tuple(doubts))


def clipped(y: np.ndarray) -> int:
    """How many samples are at full scale or beyond."""
    return int(np.count_nonzero(np.abs(y) >= FULL_SCALE))


def _delays(x: np.ndarray, y: np.ndarray, setup: Setup) -> tuple[float, list[str], list[str]]:
    """The delay at the start of a take, problems and doubts: it should be that of the set-up, and the same at the end."""
    rate, sweep = setup.sample_rate, signals.sweep(setup.sample_rate)
    most, last, steady = round(setup.delay + MARGIN_S * rate), len(x) - len(sweep), STEADY_S * rate
    start, end = delay.measure(sweep, y, most), delay.measure(sweep, y[last:], most)
    if min(start.likeness, end.likeness) < delay.LIKE:
        where = "at the start" if start.likeness < end.likeness else "at the end"
        return setup.delay, [f"the sweep {where} did not come back: a cable, the bypass, or sound was lost"], []
    late, changed, lost = start.samples, start.samples - setup.delay, end.samples - start.samples
    if start.polarity < 0:
        return late, ["the polarity is not that of the set-up"], []
    told = f"the delay is {late:.1f} samples and was {setup.delay:.1f} at the set-up"
    if abs(changed) > max(0.9, steady):
        return late, [f"{told}: the latency has changed"], []
    if abs(lost) > steady:
        at = _first_shift(x, y[round(late) :], rate)
        where = f" at {at:.1f} s" if at is not None else ""
        what = "were lost" if lost < 0 else "were put in"
        return late, [f"{abs(lost):.1f} samples {what}{where}: a drop-out, or a clock that is not the interface's"], []
    return late, [], [told] if abs(changed) > steady else []


def _first_shift(x: np.ndarray, y: np.ndarray, rate: int) -> float | None:
    """Seconds until the first window that is found at another place than where it belongs."""
    window, most = round(WINDOW_S * rate), round(0.05 * rate)
    for at in range(most, min(len(x), len(y)) - window - most, window):
        part = np.diff(x[at : at + window].astype(np.float64))
        if np.sqrt(np.mean(np.square(x[at : at + window]))) < AUDIBLE:
            continue
        around = np.diff(y[at - most : at + window + most].astype(np.float64))
        products = correlation(around, part)
        if abs(products[most - 2 : most + 3]).max() < UNLIKE * abs(products).max():
            return at / rate
    return None


def _gaps(x: np.ndarray, y: np.ndarray, setup: Setup) -> list[str]:
    """Silences where something was played, and came back before and after."""
    frame = max(8, round(FRAME_S * setup.sample_rate))
    count = len(x) // frame
    played, returned = (np.square(s[: count * frame].reshape(count, frame), dtype=np.float64).mean(axis=1) for s in (x, y))
    gain, loud = returned / (played + 1e-14), played > AUDIBLE**2
    floor = 10 ** ((setup.noise_dbfs + 6) / 10)
    edges = np.flatnonzero(np.diff((loud & (returned < floor)).astype(np.int8), prepend=0, append=0))
    gaps = []
    for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        sides = [gain[part][loud[part]] for part in (slice(max(0, start - NEIGHBOURS), start), slice(end, end + NEIGHBOURS))]
        if end - start >= FRAMES and all(len(side) for side in sides):
            around = min(float(np.median(side)) for side in sides)
            if played[start:end].mean() * around > floor * 10 ** (GAP_DB / 10):
                gaps.append((start, end))
    if not gaps:
        return []
    milliseconds = 1000 * frame / setup.sample_rate * sum(end - start for start, end in gaps)
    return [
        f"nothing came back for {milliseconds:.0f} ms, first at {gaps[0][0] * frame / setup.sample_rate:.2f} s: a drop-out?"
    ]


def _same(y: np.ndarray, before: np.ndarray, setup: Setup, repeatability: float) -> bool:
    part = signals.probe_part(setup.sample_rate)
    noise = 2 * 10 ** ((setup.noise_dbfs - level_dbfs(before[part])) / 10)
    return esr(before[part], y[part]) <= max(SAME * repeatability, SAME * noise, SAME_ESR)
