"""What can be wrong with a recorded take, found from the recording itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlxopto.capture import delay, signals
from mlxopto.capture.interface import Recording
from mlxopto.data.captures import FULL_SCALE, level_dbfs
from mlxopto.errors import WorkError
from mlxopto.metrics import esr

MARGIN_S = 0.1  # recorded beyond a take, for its delay and for one that has changed
STEADY = 0.3  # samples by which the delay of a take may differ from the set-up's, and its end from its beginning
ABOVE_NOISE_DB = 20.0  # that a return must be, to learn from
AUDIBLE = 10 ** (-45 / 20)  # RMS of what was played, where something must come back
FRAME_S, WINDOW_S = 0.0005, 0.25  # in which gaps and delays are looked for
GAP_DB, NEIGHBOURS = 25.0, 20  # no unit's gain falls by as much below that of so many frames on both sides
MOST_REDUCTION_DB = 45.0  # or as far at all
UNLIKE = 0.6  # share of the best correlation that a window has at another place, if samples were lost
SAME = 4.0  # times the difference of two recordings at one setting: as much may be between two at the same one
SAME_ESR = 1e-5  # or as little as that


@dataclass(frozen=True)
class Setup:
    """What was measured before the first take. Delays in samples, levels in dBFS."""

    sample_rate: int
    delay: float  # of everything between output and input, the unit's included
    spread: float  # of that, over repeats
    polarity: int
    noise_dbfs: float  # RMS of silence
    level_dbfs: float  # RMS of the sweeps
    interface_delay: float | None = None  # of the interface alone, where it was measured with a cable in the unit's place

    @property
    def aligned_by(self) -> int:
        """Samples that takes are moved by: the interface's delay, where it is known and the unit's own is short; otherwise all."""
        if self.interface_delay is not None and abs(self.delay - self.interface_delay) < 2:
            return round(self.interface_delay)
        return round(self.delay)


@dataclass(frozen=True)
class Checked:
    """A take as it will be kept, and what was found: `problems` forbid to keep it, `doubts` are for the user to judge."""

    y: np.ndarray  # aligned, of the played one's polarity, float32 (samples,)
    peak_dbfs: float
    delay: float
    problems: tuple[str, ...]
    doubts: tuple[str, ...]


def set_up(recording: Recording, sample_rate: int, most: int) -> Setup:
    """Judges what came back of `signals.train_of_sweeps`.

    Args:
        most: longest delay looked for, in samples.
    Raises:
        WorkError: clipped, nothing heard, or a delay that is not the same each time.
    """
    y = recording.y
    silence = y[: round(0.8 * signals.SILENCE_S * sample_rate)]
    if (over := _clipped(y)) > 0:
        raise WorkError(f"the return clips ({over} samples at full scale); lower it, at the unit or at the input")
    sweep = signals.sweep(sample_rate)
    starts = signals.sweeps_at(sample_rate)
    # the sweeps follow each other so soon that a long delay would be taken for a short one: the first is found alone
    first = delay.measure(sweep, y[starts[0] :], most)
    if first.likeness < delay.LIKE:
        raise WorkError(
            f"the sweeps that were played did not come back (level {level_dbfs(y):.0f} dBFS): check cables, channels and bypass"
        )
    near = max(0, int(first.samples) - 50)
    found = [delay.measure(sweep, y[at + near :], 100).samples + near for at in starts]
    spread = float(np.ptp(found))
    if spread > 1:
        delays = ", ".join(f"{samples:.1f}" for samples in found)
        raise WorkError(f"the delay is not steady: {delays} samples; choose a longer --block, or another interface")
    noise = level_dbfs(silence - silence.mean())
    level = level_dbfs(y[starts[0] + near : starts[-1] + near + len(sweep)])
    return Setup(sample_rate, float(np.mean(found)), spread, first.polarity, noise, level)


def check_take(x: np.ndarray, recording: Recording, setup: Setup, before: np.ndarray | None, repeatability: float) -> Checked:
    """Judges a take of `signals.take`.

    Args:
        x: what was played. before: the take at the setting before this one, aligned; None where there is none to compare with.
        repeatability: ESR between two recordings at one setting.
    """
    rate, by = setup.sample_rate, setup.aligned_by
    y = setup.polarity * recording.y
    aligned = np.ascontiguousarray(y[by : by + len(x)])
    peak = 20 * float(np.log10(np.abs(recording.y).max(initial=0.0) + 1e-6))
    if over := _clipped(recording.y):
        problem = f"the return clips ({over} samples at full scale): lower it, and begin again if takes are kept already"
        return Checked(aligned, peak, setup.delay, (problem,), ())
    if level_dbfs(aligned) < setup.noise_dbfs + ABOVE_NOISE_DB:
        levels = f"{level_dbfs(aligned):.0f} dBFS, the noise has {setup.noise_dbfs:.0f}"
        problem = f"hardly anything comes back ({levels}): check cables and bypass"
        return Checked(aligned, peak, setup.delay, (problem,), ())
    problems = [*_delays(x, y, setup), *_gaps(x, aligned, setup)]
    sweep = signals.sweep(rate)
    start = delay.measure(sweep, y, round(MARGIN_S * rate))
    doubts = [f"the sound system reported {count} times {name}" for name, count in recording.xruns.items()]
    if not problems and before is not None and _same(aligned, before, setup, repeatability):
        doubts.append("it is the same as the take before; were the knobs turned?")
    return Checked(aligned, peak, start.samples, tuple(problems), tuple(doubts))


def repeatability(first: np.ndarray, second: np.ndarray) -> float:
    """ESR between two recordings at one setting, aligned alike: no model can be nearer to the unit than that."""
    return float(esr(first, second))


def _clipped(y: np.ndarray) -> int:
    return int(np.count_nonzero(np.abs(y) >= FULL_SCALE))


def _delays(x: np.ndarray, y: np.ndarray, setup: Setup) -> list[str]:
    """Whether a take begins with the delay of the set-up and ends with it."""
    rate, most = setup.sample_rate, round(MARGIN_S * setup.sample_rate) + round(setup.delay)
    sweep = signals.sweep(rate)
    last = len(x) - len(sweep)
    start, end = delay.measure(sweep, y, most), delay.measure(sweep, y[last:], most)
    if min(start.likeness, end.likeness) < delay.LIKE:
        where = "at the start" if start.likeness < end.likeness else "at the end"
        return [f"the sweep {where} did not come back: a cable, the bypass, or sound was lost"]
    if start.polarity < 0:
        return ["the polarity is not that of the set-up"]
    if abs(start.samples - setup.delay) > STEADY:
        return [f"the delay is {start.samples:.1f} samples and was {setup.delay:.1f} at the set-up: the latency has changed"]
    lost = end.samples - start.samples
    if abs(lost) > STEADY:
        at = _first_shift(x, y[round(start.samples) :], rate)
        where = f" at {at:.1f} s" if at is not None else ""
        what = "were lost" if lost < 0 else "were put in"
        return [f"{abs(lost):.1f} samples {what}{where}: a drop-out, or a clock that is not the interface's"]
    return []


def _first_shift(x: np.ndarray, y: np.ndarray, rate: int) -> float | None:
    """Seconds until the first window that is found at another place than where it belongs."""
    window, most = round(WINDOW_S * rate), round(0.05 * rate)
    for at in range(most, min(len(x), len(y)) - window - most, window):
        part = np.diff(x[at : at + window].astype(np.float64))
        if np.sqrt(np.mean(np.square(x[at : at + window]))) < AUDIBLE:
            continue
        around = np.diff(y[at - most : at + window + most].astype(np.float64))
        products = _correlate(around, part)
        if abs(products[most - 2 : most + 3]).max() < UNLIKE * abs(products).max():
            return at / rate
    return None


def _correlate(long: np.ndarray, short: np.ndarray) -> np.ndarray:
    """The short one's products with every stretch of the long one."""
    size = 1 << (len(long) + len(short)).bit_length()
    return np.fft.irfft(np.fft.rfft(long, size) * np.conj(np.fft.rfft(short, size)), size)[: len(long) - len(short) + 1]


def _gaps(x: np.ndarray, y: np.ndarray, setup: Setup) -> list[str]:
    """Places where something was played and nothing came back."""
    frame = round(FRAME_S * setup.sample_rate)
    count = len(x) // frame
    played, returned = (np.square(s[: count * frame].reshape(count, frame), dtype=np.float64).mean(axis=1) for s in (x, y))
    loud = np.flatnonzero(played > AUDIBLE**2)
    played, returned = played[loud], returned[loud]
    gain = 10 * np.log10((returned + 1e-14) / played)
    floor = 10 ** ((setup.noise_dbfs + 6) / 10)
    expected = played * 10 ** (np.maximum(_around(gain) - GAP_DB, -MOST_REDUCTION_DB) / 10)  # at the very least
    found = loud[(returned < floor) & (expected > floor)]
    if not len(found):
        return []
    milliseconds = max(1.0, 1000 * FRAME_S * len(found))
    return [f"nothing came back for {milliseconds:.0f} ms, first at {found[0] * FRAME_S:.2f} s: a drop-out, or a cable"]


def _around(gain: np.ndarray) -> np.ndarray:
    """The lower one of the medians of `NEIGHBOURS` values before and after each."""
    padded = np.pad(gain, NEIGHBOURS, mode="edge")
    medians = np.median(np.lib.stride_tricks.sliding_window_view(padded, NEIGHBOURS), axis=1)
    return np.minimum(medians[: len(gain)], medians[NEIGHBOURS + 1 :])


def _same(y: np.ndarray, before: np.ndarray, setup: Setup, repeatability: float) -> bool:
    part = signals.probe_part(setup.sample_rate)
    noise = 2 * 10 ** ((setup.noise_dbfs - level_dbfs(before[part])) / 10)
    return esr(before[part], y[part]) <= max(SAME * repeatability, SAME * noise, SAME_ESR)
