"""mlxopto eval: models against recordings, and against one another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from mlxopto.errors import RequestError

from .display import check_plot, console, drawing
from .options import flag

if TYPE_CHECKING:
    from mlxopto.data.takes import Source

_SHOWN = {
    "esr": "ESR",
    "gain_error_db": "gain error, dB",
    "gain_error_db_p95": "95th perc.",
    "multi_resolution_stft": "MR-STFT",
}


def evaluate(
    models: Annotated[list[str], typer.Argument(metavar="MODEL...", help="Shipped names, weights files or run folders.")],
    data: Annotated[Path | None, typer.Option(help="A data folder whose takes are marked seen or unseen.")] = None,
    device: Annotated[str | None, typer.Option(help="A virtual device instead: cl1b, la2a, fet, vca or digital.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw errors and intervals to this PNG.")] = None,
    audio_folder: Annotated[
        Path | None, typer.Option("--audio", help="Write sound files, pictures and a page to listen to into this new folder.")
    ] = None,
    force: Annotated[bool, flag("--force", help="Replace a picture that exists.")] = False,
    as_json: Annotated[bool, flag("--json", help="Print everything as one JSON object.")] = False,
) -> None:
    """Compare models on recordings that they were not trained on.

    mlxopto eval runs/a runs/b --data captures/my-unit --audio listen
    """
    from mlxopto import compressor
    from mlxopto.evaluation import compare, listening

    if (data is None) == (device is None):
        raise RequestError("eval needs --data FOLDER or --device NAME, one of them")
    check_plot(plot, force)
    _make_new(audio_folder)
    names = _distinct(models)
    loaded = {name: compressor.load(model) for name, model in zip(names, models, strict=True)}
    source = _source(data, device)
    takes = sum(map(len, source.test.values()))
    quiet = not console.is_terminal
    judged = list(track(compare.judge(loaded, source), "takes", takes, console=console, transient=True, disable=quiet))
    document = compare.document(str(data or device), loaded, judged)
    if audio_folder is not None:
        page = listening.write(audio_folder, judged, source.panel, source.sample_rate)
        console.print(f"to listen: {page}")
    if as_json:
        print(json.dumps(document))
    else:
        _show(document)
    if plot is not None:
        with drawing(plot):
            from mlxopto.evaluation import pictures

            pictures.eval_picture(plot, document)


def _source(data: Path | None, device: str | None) -> Source:
    from mlxopto.data.formats import open_folder
    from mlxopto.training.config import TrainConfig
    from mlxopto.training.source import open_source

    return open_folder(data, 0) if data else open_source(TrainConfig(device=device))


def _make_new(folder: Path | None) -> None:
    """Before the work, so that it is not in vain."""
    if folder is None:
        return
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RequestError(f"{folder} exists already; --audio needs a new or empty folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError(f"the folder {folder} cannot be made: {error.strerror}") from error


def _distinct(models: list[str]) -> list[str]:
    """Short names, the last part of each path, unless two would be the same."""
    short = [Path(model).stem for model in models]
    return short if len(set(short)) == len(short) else _all_different(models)


def _all_different(models: list[str]) -> list[str]:
    if len(set(models)) < len(models):
        raise RequestError(f"the same model is given twice: {', '.join(models)}")
    return models


def _show(document: dict[str, Any]) -> None:
    out = Console(highlight=False)
    for split in ("seen", "unseen"):
        table = Table(title=f"{split} settings: mean (95 % interval)", title_justify="left")
        table.add_column("model", overflow="fold")
        for metric in _SHOWN:
            table.add_column(_SHOWN[metric], justify="right")
        for model in document["models"]:
            if model[split]:
                table.add_row(model["name"], *(_cell(model[split].get(metric)) for metric in _SHOWN))
        if table.row_count:
            out.print(table)
    for test in document["tests"]:
        out.print(
            f"{test['split']}, {test['metric'].replace('_', ' ')}: {test['better']} is better of {test['a']} and {test['b']}, "
            f"p = {test['p']:.2g} ({test['takes']} takes)",
            markup=False,
        )


def _cell(summary: dict[str, Any] | None) -> str:
    return f"{summary['mean']:.2g}\n({summary['ci95'][0]:.2g} to {summary['ci95'][1]:.2g})" if summary else ""
