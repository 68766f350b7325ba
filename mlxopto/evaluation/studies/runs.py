"""The training runs of a study: each in a folder of its own, shared out over the ranks, done once."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mlxopto import files
from mlxopto.data.takes import Source
from mlxopto.devices import DEVICES
from mlxopto.errors import DivergedError, RequestError, WorkError
from mlxopto.evaluation.statistics import nested_interval
from mlxopto.formats import documents
from mlxopto.text import quoted, shown
from mlxopto.training import run
from mlxopto.training.config import TrainConfig
from mlxopto.training.ranks import ALONE, Ranks

PLAN, REPORT = "study.json", "report.md"
SMALLEST_ESR = 1e-15  # what counts as this in logarithms

Tell = Callable[[str], None]
Runs = dict[str, TrainConfig]  # by the name of their folder
Results = dict[str, run.RunResult]  # by name, of those that came to an end


@dataclass(frozen=True)
class Study:
    """What a study is asked for. `minutes` of training a run; `seeds` runs of each kind; `data` virtual devices or folders."""

    folder: Path
    data: tuple[str, ...] = ()
    minutes: float = 1.0
    seeds: int = 3
    model: str = "cl1b"
    ranks: Ranks = ALONE
    tell: Tell = print

    def begin(self, name: str, asked: dict[str, Any], make: Callable[[], Runs] = dict) -> Runs:
        """Takes the study's folder, or goes on in it, and gives the runs as they were planned when it was begun.

        Raises:
            RequestError: the folder holds something else, or this study with other options, or cannot be made.
        """
        path = self.folder / PLAN
        if path.is_file():
            return _read(path, {"study": name, **asked})
        if not files.is_unused(self.folder):
            raise RequestError(f"{self.folder} exists already and holds no study; name another folder")
        made = [place for place in (self.folder, *self.folder.parents) if not place.exists()]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RequestError(f"the study's folder {self.folder} cannot be made: {error.strerror}") from error
        try:
            runs = make()
        except BaseException:
            with suppress(OSError):  # of another rank, which has begun
                for place in made:
                    place.rmdir()
            raise
        self.ranks.barrier()  # that no rank finds what another has begun
        if self.ranks.first:
            plan = {"asked": {"study": name, **asked}, "runs": {run: asdict(config) for run, config in runs.items()}}
            files.write_text(path, json.dumps(plan, indent=1), force=False)
        self.ranks.barrier()
        return _read(path, {"study": name, **asked})

    def finish(self, name: str, document: dict[str, Any], report: str) -> None:
        """Draws NAME.png and writes the report, on the first rank; raises WorkError on a full disk."""
        if self.ranks.first:
            from mlxopto.evaluation.studies import pictures  # matplotlib

            files.write_text(self.folder / REPORT, report)
            getattr(pictures, name)(self.folder / f"{name}.png", document)

    def trained(self, name: str, make: Callable[[], Runs]) -> tuple[Runs, Results]:
        """The runs of a study that trains, and the results of those that did not diverge.

        Raises:
            RequestError, WorkError: as `begin` and `complete`.
        """
        asked = {"data": list(self.data), "minutes": self.minutes, "seeds": self.seeds}
        runs = self.begin(name, asked, make)
        with files.alone_in(self.folder) if self.ranks.first else nullcontext():
            results = complete(self, runs)
        return {run: config for run, config in runs.items() if run in results}, results


@dataclass(frozen=True)
class _Plan:
    """What study.json holds."""

    asked: dict[str, Any]
    runs: dict[str, TrainConfig]


def _read(path: Path, asked: dict[str, Any]) -> Runs:
    try:
        plan = documents.read_json(path, _Plan)
    except RequestError as error:
        raise RequestError(f"{path} is damaged or of another version: {error}") from error
    for name, config in plan.runs.items():
        if not files.is_plain_name(name):
            raise RequestError(f"{path} names a run {quoted(name)}, which is no plain name")
        config.checked(f"{path}, run {name}")
    for key, value in asked.items():
        if plan.asked.get(key) != value:
            raise RequestError(
                f"{path.parent} was begun with {key} {shown(str(plan.asked.get(key)))[:40]}, not {value}; name another folder"
            )
    return plan.runs


def virtual_only(study: Study, name: str) -> None:
    """Raises RequestError for data that no virtual device makes."""
    for data in study.data:
        if data not in DEVICES:
            raise RequestError(f"the study {name} needs virtual devices ({', '.join(DEVICES)}), got {data}")


def of_data(name: str) -> dict[str, Any]:
    """The part of a configuration that names a virtual device or a folder."""
    return {"device": name, "data": None} if name in DEVICES else {"device": None, "data": str(Path(name).resolve())}


def label(config: TrainConfig) -> str:
    """What the data of a run are called: the device, or the folder's own name."""
    return config.device or Path(config.data or "").name


def first_budget(study: Study) -> TrainConfig:
    """A quick run's configuration on the study's first device, with the steps that its minutes allow."""
    config = TrainConfig(quick=True, **of_data(study.data[0]))
    return budgeted(config, run.open_source(config), study)


def budgeted(config: TrainConfig, source: Source, study: Study) -> TrainConfig:
    """With the engine, and the steps and validations that this machine makes in the study's minutes on this data."""
    study.tell(f"measuring how fast {config.arch} trains")
    config = replace(config, minutes=study.minutes, engine=run.engine(config))
    return run.measured(config, source)


def complete(study: Study, runs: Runs) -> Results:
    """Trains what is not done yet, this rank's share of it, and gives the results by name; runs that diverged have none.

    Raises:
        RequestError, WorkError: as training does; WorkError also if another rank's run is missing.
    """
    for number, (name, config) in enumerate(runs.items()):
        folder = study.folder / "runs" / name
        if number % study.ranks.size == study.ranks.rank and run.finished(folder) is None:
            study.tell(f"run {number + 1} of {len(runs)}: {name}, {config.steps} steps")
            _train(folder, config)
    study.ranks.barrier()
    results = {name: run.finished(study.folder / "runs" / name) for name in runs}
    if missing := [name for name, result in results.items() if result is None]:
        raise WorkError(f"{study.folder / 'runs' / missing[0]} has no result; the same command goes on with it")
    for name in [name for name, result in results.items() if result and "diverged" in result]:
        study.tell(f"{name} diverged and is left out")
        del results[name]
    return {name: result for name, result in results.items() if result}


def _train(folder: Path, config: TrainConfig) -> None:
    try:
        if (folder / run.CONFIG).is_file():
            run.resume(folder, _quiet, pictures=False)
        else:
            run.train(config, folder, _quiet, pictures=False)
    except DivergedError as error:
        files.write_text(folder / run.RESULT, json.dumps({"diverged": str(error)}))


def _quiet(_progress: run.Progress) -> None:
    """A study tells of runs, not of steps."""


def take_errors(result: run.RunResult, split: str, metric: str) -> np.ndarray:
    """A metric of every test take of a run, what is not a number left out."""
    values = np.array([take[metric] for take in result["takes"].get(split, [])], np.float64)
    return values[np.isfinite(values)]


def summary(results: Sequence[run.RunResult], split: str) -> dict[str, Any] | None:
    """Geometric mean ESR and mean gain error over runs and their takes, with intervals; None without takes."""
    esr = [take_errors(result, split, "esr") for result in results]
    gain = [take_errors(result, split, "gain_error_db") for result in results]
    if not sum(map(len, esr)) or not sum(map(len, gain)):
        return None
    return {
        "esr": float(geometric_mean(np.concatenate(esr))),
        "esr_ci95": nested_interval(esr, geometric_mean),
        "gain_error_db": float(np.concatenate(gain).mean()),
        "gain_error_db_ci95": nested_interval(gain),
        "runs": len(results),
        "takes": sum(map(len, esr)),
    }


def cells(found: dict[str, Any] | None) -> tuple[str, str]:
    """A summary in two cells of a table."""
    if not found:
        return "", ""
    (low, high), (least, most) = found["esr_ci95"], found["gain_error_db_ci95"]
    return f"{found['esr']:.1e} ({low:.1e} to {high:.1e})", f"{found['gain_error_db']:.2f} ({least:.2f} to {most:.2f})"


ERRORS = ("seen ESR", "seen gain, dB", "unseen ESR", "unseen gain, dB")  # columns over two times `cells`


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def geometric_mean(values: np.ndarray, axis: int | None = None) -> Any:
    """exp of the mean logarithm."""
    return np.exp(logarithm(values).mean(axis=axis))


def logarithm(values: np.ndarray) -> np.ndarray:
    """Natural; of errors that may be zero."""
    return np.log(np.maximum(values, SMALLEST_ESR))
