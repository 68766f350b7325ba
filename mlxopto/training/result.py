"""What stands in a run folder at the end: weights, result and pictures."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypedDict, cast

import mlxopto
from mlxopto import files, weights
from mlxopto.data.takes import Source
from mlxopto.errors import Notice, RequestError
from mlxopto.formats import documents
from mlxopto.models import Network, parameter_count
from mlxopto.text import shown
from mlxopto.training.config import TrainConfig
from mlxopto.training.scores import errors

RESULT = "result.json"
WEIGHTS = f"weights{weights.SUFFIX}"


class RunResult(TypedDict, total=False):
    """A result.json. `test` and `calibration` hold rounded `Scores` by split or moment, `takes` rows of `Errors` by split."""

    run: str
    weights: str
    arch: str
    parameters: int
    steps: int
    seconds: float
    audio_seconds_per_second: float
    calibration: dict[str, dict[str, Any]]
    test: dict[str, dict[str, Any]]
    takes: dict[str, list[dict[str, Any]]]
    diverged: str  # alone, where a study's run came to nothing: why


@dataclass(frozen=True)
class _Take:
    """Errors at a test take, None where they are no numbers."""

    controls: dict[str, float]
    esr: float | None
    gain_error_db: float | None


@dataclass(frozen=True)
class _Medians:
    """Errors on one split of the test takes, as they are told."""

    esr_median: float | None
    gain_error_db_rms: float | None
    takes: int


@dataclass(frozen=True)
class _Result:
    """What a result.json must hold to be used."""

    run: str
    weights: str
    parameters: int
    seconds: float
    test: dict[str, _Medians]
    takes: dict[str, list[_Take]]
    steps: int = 0
    calibration: dict[str, _Medians] = field(default_factory=dict)


def finished(folder: Path) -> RunResult | None:
    """The result of a run that has ended, None of any other; raises RequestError if it is damaged."""
    path = folder / RESULT
    if not path.is_file():
        return None
    try:
        result: dict[str, Any] = documents.read_json(path, dict[str, Any])
        if "diverged" not in result:
            documents.typed(result, _Result, str(path), others=True)
    except RequestError as error:
        raise RequestError(f"{path} is damaged; without it, --resume makes it again: {error}") from error
    return cast(RunResult, result)


def conclude(
    folder: Path,
    config: TrainConfig,
    source: Source,
    model: Network,
    training: dict[str, Any],
    figures: RunResult,
    log: Path | None,
    pictures: bool,
) -> RunResult:
    """Tests the model and writes its weights, pictures and result."""
    found = {split: errors(model, source.panel, source.sample_rate, takes) for split, takes in source.test.items() if takes}
    test = {split: scored.scores().rounded() for split, scored in found.items()}
    card = weights.Card(
        name=source.name,
        architecture=config.arch,
        config=model.config.__dict__,
        sample_rate=source.sample_rate,
        panel=source.panel,
        dbu_at_full_scale=source.dbu_at_full_scale,
        training=training,
        test=test,
        created=datetime.now(UTC).strftime("%Y-%m-%d"),
        mlxopto=mlxopto.__version__,
    )
    weights.save(folder / WEIGHTS, model, card)
    result: RunResult = {
        "run": str(folder),
        "weights": str(folder / WEIGHTS),
        "arch": config.arch,
        "parameters": parameter_count(model),
        **figures,
        "test": test,
        "takes": {split: scored.rows() for split, scored in found.items()},
    }
    files.write_text(folder / RESULT, json.dumps(result, indent=2) + "\n")
    if pictures:
        _draw(folder, config, source, model, card, log)
    return result


def _draw(folder: Path, config: TrainConfig, source: Source, model: Network, card: weights.Card, log: Path | None) -> None:
    """The run's pictures; one that fails takes nothing from the result."""
    try:
        from mlxopto.training import pictures  # matplotlib

        truth = pictures.device_curve(config.device, source.sample_rate) if config.device else None
        takes = source.test["unseen"] or source.validation or [source.sequence(0)]
        pictures.training_pictures(folder, model, card, log, takes, truth)
    except Exception as error:
        warnings.warn(f"{folder} has no pictures: {shown(str(error))[:100]}", Notice, stacklevel=2)
