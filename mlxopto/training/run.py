"""A training run on disk: its folder, its log, kill-safe checkpoints, and what stands there at the end.

config.json  log.jsonl  checkpoint.safetensors  weights.safetensors  result.json  loss.png  transfer.png  gain_reduction.png
"""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from mlxopto import files
from mlxopto.data.takes import Source, Take
from mlxopto.engine import choice
from mlxopto.errors import MlxoptoError, Notice, RequestError, WorkError
from mlxopto.models import Network, Opto
from mlxopto.scan import gpu
from mlxopto.text import shown
from mlxopto.training import calibration, checkpoint
from mlxopto.training.budget import measured
from mlxopto.training.config import TrainConfig
from mlxopto.training.ranks import ALONE, Ranks
from mlxopto.training.result import RESULT, WEIGHTS, RunResult, conclude, finished
from mlxopto.training.scores import Scores, errors
from mlxopto.training.source import fingerprint, open_source
from mlxopto.training.step import DEVICES, StepResult
from mlxopto.training.trainer import Trainer, new_model

__all__ = [  # what a run is to the rest of the program
    "CHECKPOINT",
    "CONFIG",
    "LOG",
    "RESULT",
    "WEIGHTS",
    "Progress",
    "RunResult",
    "engine",
    "finished",
    "measured",
    "open_source",
    "resume",
    "train",
]
CONFIG, LOG, CHECKPOINT = "config.json", "log.jsonl", "checkpoint.safetensors"
CHECKPOINT_EVERY_S = 20.0
LOG_EVERY = 25  # steps


@dataclass(frozen=True)
class Progress:
    """Where a run stands, for a display."""

    step: int
    steps: int
    loss: float
    learning_rate: float
    audio_seconds_per_second: float
    seconds_left: float
    validation: Scores | None


Report = Callable[[Progress], None]
Tell = Callable[[str], None]  # hears what may be odd about the recordings


def _silent(_remark: str) -> None:
    """For those who do not want to hear."""


def train(
    config: TrainConfig, folder: Path, report: Report, ranks: Ranks = ALONE, pictures: bool = True, tell: Tell = _silent
) -> RunResult | None:
    """Trains from the start into a new folder and returns the result, as in result.json, on the first rank; None on the others.

    Raises:
        RequestError: the folder is in use, or the data or weights named cannot be used.
        WorkError: the disk is full, or training diverged.
    """
    _check_unused(folder)
    config = replace(config, engine=engine(config))
    with mx.stream(DEVICES[config.engine]):
        source = open_source(config)
        for remark in source.remarks if ranks.first else ():
            tell(remark)
        if config.calibrate:
            if ranks.size > 1:
                raise RequestError("calibration runs on one machine, without mlx.launch")
            model = new_model(config, source)
            calibration.check(model, _listened_to(source), source.sample_rate)  # before there is a folder
            with _begun(folder, config):
                return _calibrated(config, source, model, folder, report, pictures)
        if not source.validation:
            raise RequestError(
                f"{source.description}, have no split val; at least 3 training settings are needed, or captures marked val"
            )
        if not config.steps:
            config = measured(config, source, ranks)
        trainer = Trainer(config, source, ranks)
        ranks.barrier()  # that no rank finds the folder made by another
        with _begun(folder, config) if ranks.first else nullcontext():
            return _Run(folder, trainer, fingerprint(source), report, ranks, pictures).go()


def resume(folder: Path, report: Report, ranks: Ranks = ALONE, pictures: bool = True, tell: Tell = _silent) -> RunResult | None:
    """Goes on with an interrupted run, to the same weights as if it had not been; a finished run only gives its result.

    Raises:
        RequestError: no run there, or its data are no longer the same.
        WorkError: as `train`.
    """
    config = TrainConfig.load(folder / CONFIG)
    if (result := finished(folder)) is not None:
        if ranks.first:
            with suppress(MlxoptoError), files.alone_in(folder):
                files.sweep(folder)  # it may have been killed while it drew its pictures
        return result if ranks.first else None
    config = replace(config, engine=engine(config))
    with files.alone_in(folder) if ranks.first else nullcontext(), mx.stream(DEVICES[config.engine]):
        files.sweep(folder)
        source = open_source(config)
        for remark in source.remarks if ranks.first else ():
            tell(remark)
        if config.calibrate:  # takes minutes: from the beginning
            return _calibrated(config, source, new_model(config, source), folder, report, pictures)
        run = _Run(folder, Trainer(config, source, ranks), fingerprint(source), report, ranks, pictures)
        if (folder / CHECKPOINT).is_file():
            run.restore()
        elif ranks.first:
            (folder / LOG).unlink(missing_ok=True)  # killed before the first checkpoint: begin again
        return run.go()


def engine(config: TrainConfig) -> str:
    """Where a run computes, cpu or gpu; raises RequestError for another."""
    choice.check(config.engine)
    if config.engine != "auto":
        return config.engine
    obstacle = choice.gpu_obstacle()
    if obstacle and gpu.available():
        warnings.warn(f"training on the CPU: {obstacle}", Notice, stacklevel=2)
    return "cpu" if obstacle else "gpu"


class _Run:
    def __init__(self, folder: Path, trainer: Trainer, data_hash: str, report: Report, ranks: Ranks, pictures: bool):
        self.folder, self.trainer, self.data_hash, self.report, self.ranks = folder, trainer, data_hash, report, ranks
        self.pictures = pictures
        self.config = trainer.config
        self.validate_every = max(20, self.config.steps // self.config.validations)
        self.validation: Scores | None = None
        self.seconds_before = 0.0  # spent by earlier parts of an interrupted run
        self.first_step = 0
        self.start = time.monotonic()

    def restore(self) -> None:
        arrays, progress = checkpoint.load(self.folder / CHECKPOINT)
        if progress.get("data_hash") != self.data_hash:
            raise RequestError(f"the training data are no longer those that {self.folder} was started with")
        try:
            self.trainer.restore(arrays, progress)
            self.first_step, self.seconds_before = int(progress["step"]), float(progress["seconds"])
            if progress["validation"]:
                self.validation = Scores(**progress["validation"])
            log_bytes = int(progress["log_bytes"])
        except (AttributeError, IndexError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise RequestError(
                f"{self.folder / CHECKPOINT} is damaged and cannot be resumed from: {shown(str(error))[:60]}"
            ) from error
        if self.ranks.first:
            with (self.folder / LOG).open("ab") as log:  # made anew where it is gone
                log.truncate(min(log_bytes, log.tell()))

    def go(self) -> RunResult | None:
        steps, saved = self.config.steps, time.monotonic()
        recent: list[StepResult] = []
        with self._open_log() as log:
            try:
                while self.trainer.step < steps:
                    recent.append(self.trainer.advance())
                    step = self.trainer.step
                    if step % LOG_EVERY == 0 or step == steps:
                        self.trainer.check()
                        self._log(log, {"step": step, **_mean(recent), "seconds": round(self.seconds, 2)})
                        self._show(recent)
                        recent = []
                    if step % self.validate_every == 0 or step == steps:
                        self.validation = self.trainer.validate()
                        self._log(log, {"step": step, "validation": self.validation.rounded()})
                    if not recent and self.ranks.agreed(time.monotonic() - saved) > CHECKPOINT_EVERY_S:
                        self._save(log)
                        saved = time.monotonic()
                self._save(log)
            except OSError as error:
                raise WorkError(f"{self.folder} cannot be written: {error.strerror}") from error
            finally:
                self.trainer.close()
        return self._finish() if self.ranks.first else None

    @property
    def seconds(self) -> float:
        return self.seconds_before + time.monotonic() - self.start

    @property
    def step_audio_s(self) -> float:
        """Seconds of audio that a step learns from, all sequences together."""
        return (
            self.ranks.size
            * self.config.batch
            * self.config.frames
            * self.trainer.model.frame
            / self.trainer.source.sample_rate
        )

    def _open_log(self) -> Any:
        try:
            return (self.folder / LOG if self.ranks.first else Path(os.devnull)).open("a", encoding="utf-8")
        except OSError as error:
            raise WorkError(f"{self.folder / LOG} cannot be written: {error.strerror}") from error

    def _log(self, log: Any, line: dict[str, Any]) -> None:
        log.write(json.dumps(line) + "\n")
        log.flush()

    def _show(self, recent: list[StepResult]) -> None:
        if not self.ranks.first:
            return
        step, config = self.trainer.step, self.config
        a_step = (time.monotonic() - self.start) / (step - self.first_step)
        mean = _mean(recent)
        self.report(
            Progress(
                step,
                config.steps,
                mean["loss"],
                mean["learning_rate"],
                self.step_audio_s / a_step,
                a_step * (config.steps - step),
                self.validation,
            )
        )

    def _save(self, log: Any) -> None:
        validation = self.validation.__dict__ if self.validation else None
        extra = {"seconds": self.seconds, "log_bytes": log.tell(), "data_hash": self.data_hash, "validation": validation}
        arrays = self.trainer.arrays()  # from all ranks
        if self.ranks.first:
            checkpoint.save(self.folder / CHECKPOINT, arrays, {**self.trainer.progress(), **extra})

    def _finish(self) -> RunResult:
        config, source, seconds = self.config, self.trainer.source, self.seconds
        training = {
            "data": source.description,
            "data_hash": self.data_hash,
            "steps": config.steps,
            "seconds": round(seconds),
            "seed": config.seed,
            "init": config.init,
        }
        figures: RunResult = {
            "steps": config.steps,
            "seconds": round(seconds, 1),
            "audio_seconds_per_second": round(config.steps * self.step_audio_s / seconds, 1),
        }
        return conclude(self.folder, config, source, self.trainer.model, training, figures, self.folder / LOG, self.pictures)


def _check_unused(folder: Path) -> None:
    if not files.is_unused(folder):
        raise RequestError(f"{folder} exists already; --resume goes on with a run, --out names another folder")


@contextmanager
def _begun(folder: Path, config: TrainConfig) -> Iterator[None]:
    """A new run folder with its configuration, which no other process works in meanwhile."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError(f"the run folder {folder} cannot be made: {error.strerror}") from error
    with files.alone_in(folder):
        _check_unused(folder)  # another process may have been quicker
        config.save(folder / CONFIG)
        yield


def _calibrated(config: TrainConfig, source: Source, model: Network, folder: Path, report: Report, pictures: bool) -> RunResult:
    """Few-shot calibration instead of a run of steps."""
    takes = _listened_to(source)
    calibration.check(model, takes, source.sample_rate)
    assert isinstance(model, Opto)
    start = time.monotonic()
    audio_s = sum(min(len(take.x) / source.sample_rate, calibration.LONGEST_S) for take in takes)

    def show(step: int, steps: int, loss: float) -> None:
        a_step = (time.monotonic() - start) / step
        report(Progress(step, steps, loss, 0.0, audio_s / a_step, a_step * (steps - step), None))

    before = errors(model, source.panel, source.sample_rate, takes).scores()
    calibration.calibrate(model, source.panel, takes, source.sample_rate, show)
    after = errors(model, source.panel, source.sample_rate, takes).scores()
    seconds = time.monotonic() - start
    training = {
        "data": source.description,
        "data_hash": fingerprint(source),
        "seconds": round(seconds),
        "calibrated_from": config.init,
    }
    figures: RunResult = {"seconds": round(seconds, 1), "calibration": {"before": before.rounded(), "after": after.rounded()}}
    return conclude(folder, config, source, model, training, figures, None, pictures)


def _listened_to(source: Source) -> list[Take]:
    """Different training takes, as many as calibration needs, from a few times around those that there are."""
    takes: dict[tuple[object, ...], Take] = {}
    for index in range(4 * calibration.TAKES):
        take = source.sequence(index)
        takes.setdefault((take.input, take.target, *take.setting.values()), take)
        if len(takes) == calibration.TAKES:
            break
    return list(takes.values())


def _mean(results: list[StepResult]) -> dict[str, float]:
    names = ("loss", "waveform", "gain", "gradient_norm", "learning_rate")
    return {name: float(f"{np.mean([float(getattr(r, name)) for r in results]):.5g}") for name in names}
