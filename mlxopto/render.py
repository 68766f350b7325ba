"""File in, file out: blocks through a compressor in constant memory, with everything said about what was done."""

from __future__ import annotations

import functools
import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlxopto import audio, files
from mlxopto.audio.ahead import ahead
from mlxopto.compressor import FULLY_WET, Compressor, Mix, Stream
from mlxopto.controls import Setting
from mlxopto.errors import MlxoptoError, RequestError, WorkError
from mlxopto.metrics.gain import gain_where_audible
from mlxopto.metrics.loudness import LoudnessMeter

AUDIBLE = 1e-3  # -60 dBFS: gain reduction is counted where the input is louder
COLUMNS = 2000  # of an overview

ShareDone = Callable[[float], None]  # told the share done, 0 to 1


@dataclass(frozen=True)
class RenderOptions:
    """How every file of a job is rendered; see `Compressor.stream` for link and engine.

    subtype: of the output, None to keep the input's. clip: allow an integer output to be clipped. force: replace files.
    """

    setting: Setting
    link: str | None = None
    mix: Mix = FULLY_WET
    engine: str = "auto"
    subtype: str | None = None
    clip: bool = False
    force: bool = False


@dataclass(frozen=True)
class Overview:
    """A render in 2,000 columns or fewer, for a picture: peaks of input and output, deepest and mean gain in dB
    where audible.
    """

    seconds: float
    peak_in: np.ndarray
    peak_out: np.ndarray
    gain_db: np.ndarray


@dataclass(frozen=True)
class FileReport:
    """What was done to one file. Gain reduction in dB, negative when compressing; loudness in LUFS, None for silence.

    not_kept: names of metadata that the output's format does not have.
    """

    input: Path
    output: Path
    sample_rate: int
    channels: int
    samples: int
    subtype: str
    peak_in: float
    peak_out: float
    clipped: int
    gain_reduction_mean_db: float
    gain_reduction_max_db: float
    lufs_in: float | None
    lufs_out: float | None
    seconds: float
    real_time_factor: float
    not_kept: tuple[str, ...]
    overview: Overview


@dataclass(frozen=True)
class FileFailure:
    """A file of several that could not be rendered."""

    input: Path
    error: MlxoptoError


def plan(inputs: Sequence[Path], output: Path | None, model_name: str) -> list[tuple[Path, Path]]:
    """Pairs of input and output files: a folder stands for the sound files in it; outputs keep their inputs' names.

    `output` is a file for one input file, otherwise a folder that exists. Without it, each output lies beside its
    input as NAME_MODEL. Hidden files in folders are left alone.

    Raises:
        RequestError: nothing to render, a missing folder, two inputs with one output, or an output that is an input.
    """
    files: list[Path] = []
    for path in inputs:
        files += _sounds_in(path) if path.is_dir() else [path]
    single = len(inputs) == 1 and not inputs[0].is_dir()
    if output is not None and not single and not output.is_dir():
        raise RequestError(f"{output} must be a folder that exists, because there are several inputs")
    pairs = []
    for path in files:
        suffix = path.suffix if path.suffix.lower() in audio.WRITABLE else ".wav"
        if output is None:
            target = path.with_name(f"{path.stem}_{model_name}{suffix}")
        elif output.is_dir():
            target = output / f"{path.stem}{suffix}"
        else:
            target = output
        pairs.append((path, target))
    taken: dict[object, Path] = {}
    for source, target in pairs:
        where = _file(target)
        if where in taken:
            raise RequestError(f"{taken[where]} and {source} would both be written to {target}")
        taken[where] = source
    for source, _ in pairs:
        if _file(source) in taken:
            raise RequestError(f"{source} is an input and would be an output too; give another output folder or file")
    return pairs


def _file(path: Path) -> object:
    """What two names of one file have in common, also where a volume takes IN.wav and in.wav for one."""
    try:
        found = path.stat()
    except OSError:
        return os.path.realpath(path)
    return found.st_dev, found.st_ino


def prepare(
    pairs: Sequence[tuple[Path, Path]], options: RenderOptions
) -> tuple[list[tuple[audio.SoundInfo, Path]], list[FileFailure]]:
    """Inputs that can be read with the outputs that can be made of them, and why the others cannot: all that is known
    beforehand.
    """
    jobs, failures = [], []
    for source, target in pairs:
        try:
            header = audio.info(source)
            output_subtype(header, target, options.subtype)
            files.check_writable(target, options.force)
            jobs.append((header, target))
        except MlxoptoError as error:
            failures.append(FileFailure(source, error))
    return jobs, failures


def render_files(
    jobs: Sequence[tuple[audio.SoundInfo, Path]], compressor: Compressor, options: RenderOptions, progress: ShareDone
) -> Iterator[FileReport | FileFailure]:
    """Several files, as many at a time as there are cores, in order: what was done to each, or why it failed."""
    seconds = [header.samples / header.sample_rate for header, _ in jobs]
    done = [0.0] * len(jobs)
    stopped = threading.Event()

    def job(index: int) -> FileReport | FileFailure:
        def told(share: float) -> None:
            if stopped.is_set():
                raise WorkError("interrupted")
            done[index] = share * seconds[index]
            progress(sum(done) / sum(seconds))

        header, target = jobs[index]
        try:
            return render_file(header, target, compressor, options, told)
        except MlxoptoError as error:
            return FileFailure(header.path, error)

    with ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="mlxopto-file") as pool:
        try:
            yield from pool.map(job, range(len(jobs)))
        finally:
            stopped.set()
            pool.shutdown(cancel_futures=True)


def render_file(
    header: audio.SoundInfo, target: Path, compressor: Compressor, options: RenderOptions, progress: ShareDone
) -> FileReport:
    """One file, as `audio.info` found it, through the compressor from rest; the output appears whole or not at all.

    Raises:
        RequestError: an input that can no longer be read, an output that cannot be made, or integer output beyond full scale
            without `options.clip`.
        WorkError: the disk is full.
    """
    subtype = output_subtype(header, target, options.subtype)
    stream = Stream(compressor, header.channels, None, options.engine, options.link, options.mix, options.setting)
    start = time.perf_counter()
    meters = _Meters(header)
    carried = audio.Metadata.of(header.path)
    with files.replacing(target, options.force) as temporary:
        writer = audio.Writer(temporary, header.sample_rate, header.channels, header.samples, subtype, carried)
        try:
            for dry, wet, gain in ahead(_blocks(header, stream, compressor.sample_rate)):
                meters.add(dry, wet, gain)
                writer.write(wet)
                progress(meters.heard / header.samples)
        except BaseException:
            writer.abandon()
            raise
        writer.close()
        clipped = writer.over if subtype.startswith("PCM") else 0
        if clipped and not options.clip:
            raise RequestError(
                f"{target} would be clipped: its peak is {20 * np.log10(writer.peak):+.2f} dBFS and {subtype} ends at 0; "
                "lower --makeup, take --subtype FLOAT, or allow it with --clip"
            )
    seconds = time.perf_counter() - start
    written = audio.Metadata.of(target).tags
    lost = [*carried.lost_in(audio.WRITABLE[target.suffix.lower()]), *(name for name in carried.tags if name not in written)]
    not_kept = tuple(dict.fromkeys(lost))
    return meters.report(target, subtype, writer.peak, clipped, seconds, not_kept)


def _blocks(header: audio.SoundInfo, stream: Stream, model_rate: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(input block, output block, gain block): inputs and outputs cover the file exactly; gain is at the model's rate."""
    size = max(1, stream.good_block // max(1, header.channels // 2))  # of many channels fewer samples, for the memory's sake
    if header.sample_rate == model_rate:
        for block in audio.read_blocks(header.path, size):
            yield block, *stream.play(block)
        return
    there = audio.Resampler(header.sample_rate, model_rate, header.channels, header.samples)
    back = audio.Resampler(model_rate, header.sample_rate, header.channels, there.length_out, header.samples)
    read = 0
    for block in audio.read_blocks(header.path, size):
        read += len(block)
        last = read == header.samples
        wet, gain = stream.play(there(block, last))
        yield block, back(wet, last), gain


class _Meters:
    """Peaks, loudness and gain reduction of a render, in constant memory."""

    def __init__(self, header: audio.SoundInfo):
        self._header = header
        self._loudness = [LoudnessMeter(header.sample_rate, header.channels) for _ in range(2)]
        self.heard = 0
        self._column = max(1, -(-header.samples // COLUMNS))
        columns = -(-header.samples // self._column)
        self._peaks = np.zeros((2, columns), np.float32)
        self._gain_sum = np.zeros(columns)
        self._gain_count = np.zeros(columns)
        self._deepest = math.inf
        self._written = 0

    def add(self, dry: np.ndarray, wet: np.ndarray, gain: np.ndarray) -> None:
        for meter, block in zip(self._loudness, (dry, wet), strict=True):
            meter.add(block)
        self._add_peaks(0, self.heard, dry)
        self._add_peaks(1, self._written, wet)
        if len(gain):
            self._add_gain(dry, gain)
        self.heard += len(dry)
        self._written += len(wet)

    def _add_peaks(self, row: int, at: int, block: np.ndarray) -> None:
        if len(block):
            first, starts = self._columns(at, len(block))
            peaks = np.maximum.reduceat(_over_channels(np.maximum, np.abs(block)), starts)
            part = self._peaks[row, first : first + len(starts)]
            np.maximum(part, peaks, out=part)

    def _add_gain(self, dry: np.ndarray, gain: np.ndarray) -> None:
        """Gain, read where the input is audible; resampled renders pair each input sample with the gain nearest in
        the block.
        """
        if not len(dry):
            return
        nearest = gain if len(gain) == len(dry) else gain[np.arange(len(dry)) * len(gain) // len(dry)]
        first, starts = self._columns(self.heard, len(dry))
        part = slice(first, first + len(starts))
        lowest = gain_where_audible(dry, nearest, AUDIBLE, starts, self._gain_sum[part], self._gain_count[part])
        self._deepest = min(self._deepest, lowest)

    def _columns(self, at: int, samples: int) -> tuple[int, np.ndarray]:
        """The overview's first column that a block touches, and where in the block each column starts."""
        first = at // self._column
        starts = np.arange(first * self._column - at, samples, self._column)
        starts[0] = 0
        return first, starts

    def report(
        self, target: Path, subtype: str, peak_out: float, clipped: int, seconds: float, not_kept: tuple[str, ...]
    ) -> FileReport:
        header = self._header
        length = header.samples / header.sample_rate
        count = self._gain_count.sum()
        with np.errstate(invalid="ignore"):
            gain_db = self._gain_sum / self._gain_count
        return FileReport(
            input=header.path,
            output=target,
            sample_rate=header.sample_rate,
            channels=header.channels,
            samples=header.samples,
            subtype=subtype,
            peak_in=float(self._peaks[0].max()),
            peak_out=peak_out,
            clipped=clipped,
            gain_reduction_mean_db=float(self._gain_sum.sum() / count) if count else 0.0,
            gain_reduction_max_db=self._deepest if count else 0.0,
            lufs_in=self._loudness[0].integrated(),
            lufs_out=self._loudness[1].integrated(),
            seconds=seconds,
            real_time_factor=length / seconds,
            not_kept=not_kept,
            overview=Overview(length, self._peaks[0], self._peaks[1], gain_db),
        )


def _over_channels(combine: np.ufunc, block: np.ndarray) -> np.ndarray:
    """(samples, channels) to (samples,); numpy's own reduction is ten times slower along so short an axis."""
    combined: np.ndarray = functools.reduce(combine, block.T)
    return combined


def output_subtype(header: audio.SoundInfo, target: Path, chosen: str | None) -> str:
    """The sub-type that an output will have: the chosen one, or the input's where the output's format has it.

    Raises:
        RequestError: a sub-type or suffix that cannot be written.
    """
    have = audio.subtypes(target)
    if chosen is not None:
        if chosen not in have:
            raise RequestError(f"{target.suffix} files have the sub-types {', '.join(have)}, not {chosen}")
        return chosen
    if header.subtype in have:
        return header.subtype
    return "PCM_24"  # compressed, float or odd inputs whose sub-type the output's format lacks


def _sounds_in(folder: Path) -> list[Path]:
    files = sorted(
        path for path in folder.iterdir() if path.suffix.lower() in audio.READABLE and path.is_file() and path.name[0] != "."
    )
    if not files:
        raise RequestError(f"{folder} holds no sound file")
    return files
