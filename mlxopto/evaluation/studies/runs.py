"""The training runs of a study: each in a folder of its own, shared out over the ranks, done once."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mlxopto import audio
from mlxopto.devices import DEVICES
from mlxopto.errors import RequestError, WorkError
from mlxopto.training import run
from mlxopto.training.config import TrainConfig
from mlxopto.training.ranks import ALONE, Ranks

PLAN, REPORT = "study.json", "report.md"

Tell = Callable[[str], None]


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


Runs = dict[str, TrainConfig]  # by the name of their folder


def planned(study: Study, name: str, make: Callable[[], Runs]) -> Runs:
    """The runs of a study, as they were planned when it was begun.

    Raises:
        RequestError: the folder holds another study, or this one with other options.
    """
    asked = {"study": name, "data": list(study.data), "minutes": study.minutes, "seeds": study.seeds}
    path = study.folder / PLAN
    if path.is_file():
        plan = json.loads(path.read_text())
        if plan["asked"] != asked:
            differ = next(key for key in asked if plan["asked"].get(key) != asked[key])
            raise RequestError(
                f"{study.folder} was begun with {differ} {plan['asked'].get(differ)}, not {asked[differ]}; name another folder"
            )
        return {key: TrainConfig(**config) for key, config in plan["runs"].items()}
    if study.folder.exists() and (not study.folder.is_dir() or any(study.folder.iterdir())):
        raise RequestError(f"{study.folder} exists already and holds no study; name another folder")
    runs = make()
    study.ranks.agreed(0)  # that no rank finds what another has begun
    if study.ranks.first:
        (study.folder / "runs").mkdir(parents=True, exist_ok=True)
        with audio.replacing(path) as temporary:
            temporary.write_text(json.dumps({"asked": asked, "runs": {k: asdict(v) for k, v in runs.items()}}, indent=1))
    study.ranks.agreed(0)
    return {key: TrainConfig(**config) for key, config in json.loads(path.read_text())["runs"].items()}


def of_data(name: str) -> dict[str, Any]:
    """The part of a configuration that names a virtual device or a folder."""
    return {"device": name, "data": None} if name in DEVICES else {"device": None, "data": str(Path(name).resolve())}


def budgeted(config: TrainConfig, study: Study) -> TrainConfig:
    """With the steps that this machine makes in the study's minutes."""
    study.tell(f"measuring how fast {config.arch} trains")
    config = replace(config, minutes=study.minutes, engine=run.engine(config))
    source = run.open_source(config)
    return run.measured(config, source, study.ranks)


def complete(study: Study, runs: Runs) -> dict[str, dict[str, Any]]:
    """Trains what is not done yet, this rank's share of it, and gives all results by name.

    Raises:
        RequestError, WorkError: as training does; WorkError also if another rank's run is missing.
    """
    for number, (name, config) in enumerate(runs.items()):
        folder = study.folder / "runs" / name
        if number % study.ranks.size != study.ranks.rank or run.finished(folder):
            continue
        study.tell(f"run {number + 1} of {len(runs)}: {name}, {config.steps} steps")
        if (folder / run.CONFIG).is_file():
            run.resume(folder, _quiet, pictures=False)
        else:
            run.train(config, folder, _quiet, pictures=False)
    study.ranks.agreed(0)
    results = {name: run.finished(study.folder / "runs" / name) for name in runs}
    if missing := [name for name, result in results.items() if result is None]:
        raise WorkError(f"{study.folder / 'runs' / missing[0]} has no result; the same command goes on with it")
    return {name: result for name, result in results.items() if result}


def _quiet(_progress: run.Progress) -> None:
    """A study tells of runs, not of steps."""


def take_errors(results: Sequence[dict[str, Any]], split: str, metric: str) -> np.ndarray:
    """A metric of every test take of some runs, one after the other."""
    return np.array([take[metric] for result in results for take in result["takes"][split]], np.float64)


def write(path: Path, text: str) -> None:
    """A text file, whole or not at all; raises WorkError on a full disk."""
    with audio.replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def geometric_mean(values: np.ndarray, axis: int | None = None) -> Any:
    """exp of the mean logarithm; values of zero count as 1e-15."""
    return np.exp(np.log(np.maximum(values, 1e-15)).mean(axis=axis))
