"""mlxopto train: learn a device."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.live import Live
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar
from rich.table import Table

from mlxopto.errors import RequestError, WorkError
from mlxopto.text import shown
from mlxopto.training.config import QUICK_MINUTES, TrainConfig

from .display import console
from .options import flag

if TYPE_CHECKING:
    from mlxopto.training.run import Progress, RunResult

PLAIN_EVERY_S = 10.0
_FIELDS = {part.name: part for part in fields(TrainConfig)}


def _of(name: str) -> Any:
    """The option that sets a field of the configuration."""
    part = _FIELDS[name]
    told = f" [default: {part.default:g}]" if isinstance(part.default, float) else f" [default: {part.default}]"
    text = part.metadata["help"] + (told if part.default or name == "seed" else "")
    return flag(f"--{name}", help=text) if part.default is False else typer.Option(f"--{name}", help=text)


def train(
    device: Annotated[str | None, _of("device")] = None,
    data: Annotated[Path | None, _of("data")] = None,
    program: Annotated[Path | None, _of("program")] = None,
    arch: Annotated[str | None, _of("arch")] = None,
    minutes: Annotated[float | None, _of("minutes")] = None,
    steps: Annotated[int | None, _of("steps")] = None,
    out: Annotated[Path | None, typer.Option(help="The run folder. [default: runs/DEVICE]")] = None,
    engine: Annotated[str | None, _of("engine")] = None,
    seed: Annotated[int | None, _of("seed")] = None,
    init: Annotated[str | None, _of("init")] = None,
    calibrate: Annotated[bool, _of("calibrate")] = False,
    quick: Annotated[bool, _of("quick")] = False,
    resume: Annotated[
        bool, flag("--resume", help="Go on with the interrupted run in the run folder, as it was configured.")
    ] = False,
    as_json: Annotated[bool, flag("--json", help="Print the result as one JSON object when done.")] = False,
) -> None:
    """Train a network on a virtual device or on captures.

    mlxopto train --device la2a --minutes 30
    """
    from mlxopto.training import run
    from mlxopto.training.ranks import Ranks

    ranks = Ranks.launched()
    given = {
        "device": device,
        "data": data and str(data.resolve()),
        "program": program and str(program.resolve()),
        "arch": arch,
        "minutes": minutes,
        "steps": steps,
        "engine": engine,
        "seed": seed,
        "init": init,
        "calibrate": calibrate or None,
    }
    given = {name: value for name, value in given.items() if value is not None}
    folder = out or Path("runs") / (data.resolve().name if data else device or "cl1b")
    if resume:
        _same_as_before(folder, {**given, "quick": True} if quick else given)
        with _display() as show:
            result = run.resume(folder, show, ranks, tell=console.print)
    else:
        config = _configuration(given, quick)
        if config.quick and ranks.first:
            console.print("quick: less data and a few minutes, so the result is clearly worse than a full run")
        try:
            with _display() as show:
                result = run.train(config, folder, show, ranks, tell=console.print)
        except KeyboardInterrupt:
            begun = folder / (run.CONFIG if config.calibrate else run.CHECKPOINT)
            if begun.exists() and ranks.first:
                launch = f"mlx.launch -n {ranks.size} -- " if ranks.size > 1 else ""
                console.print(f"to go on: {launch}mlxopto train --resume --out {folder}")
            raise
    if result is None:  # another rank speaks
        return
    _tell(result)
    if as_json:
        print(json.dumps(result))


def _configuration(given: dict[str, Any], quick: bool) -> TrainConfig:
    if "calibrate" in given:
        if "init" not in given or "data" not in given:
            raise RequestError("--calibrate needs --init, the weights to move, and --data, recordings of the unit")
        refused = [name for name in ("minutes", "steps") if name in given] + ["quick"] * quick
        if refused:
            raise RequestError(f"--calibrate takes its own time; leave out --{refused[0]}")
    for first, second in (("device", "data"), ("program", "data"), ("minutes", "steps")):
        if first in given and second in given:
            raise RequestError(f"--{first} and --{second} contradict each other; give one of them")
    if given.get("steps", 1) < 1:
        raise RequestError(f"--steps must be at least 1, got {given['steps']}")
    if not 0 < given.get("minutes", 1) <= 100_000:
        raise RequestError(f"--minutes must be above 0, got {given['minutes']}")
    if not 0 <= given.get("seed", 0) < 2**31:
        raise RequestError(f"--seed must be 0 to {2**31 - 1}, got {given['seed']}")
    if quick:
        given = {"minutes": QUICK_MINUTES, **given}
    return TrainConfig(**{"device": None if "data" in given else "cl1b", **given}, quick=quick)


def _same_as_before(folder: Path, given: dict[str, Any]) -> None:
    """A resumed run keeps its configuration; options that say otherwise are an error, not ignored."""
    from mlxopto.training.run import CONFIG

    before = TrainConfig.load(folder / CONFIG)
    for name, value in given.items():
        if getattr(before, name) != value:
            raise RequestError(
                f"{folder} was started with {name} {getattr(before, name)}, so --{name} {value} cannot be resumed"
            )


@contextmanager
def _display() -> Iterator[Callable[[Progress], None]]:
    if not sys.stderr.isatty():
        yield _plain_lines()
        return
    bar = Bar(
        TextColumn("{task.description}"), BarColumn(bar_width=None), TextColumn("{task.percentage:>3.0f} %"), console=console
    )
    task = bar.add_task("preparing", total=None)
    table = Table.grid(expand=True)
    with Live(table, console=console, refresh_per_second=4) as live:

        def show(progress: Progress) -> None:
            bar.update(
                task, description=f"step {progress.step}/{progress.steps}", completed=progress.step, total=progress.steps
            )
            grid = Table.grid(expand=True)
            grid.add_row(bar)
            grid.add_row(_line(progress))
            live.update(grid)

        live.update(bar)
        yield show


def _plain_lines() -> Callable[[Progress], None]:
    last = 0.0

    def show(progress: Progress) -> None:
        nonlocal last
        if time.monotonic() - last >= PLAIN_EVERY_S or progress.step == progress.steps:
            last = time.monotonic()
            console.print(f"step {progress.step}/{progress.steps}  {_line(progress)}")

    return show


def _line(progress: Progress) -> str:
    checked = progress.validation
    validation = f"validation ESR {checked.esr_median:.2e}, gain {checked.gain_error_db_rms:.2f} dB  " if checked else ""
    left = int(progress.seconds_left)
    rate = f"lr {progress.learning_rate:.1e}  " if progress.learning_rate else ""
    return (
        f"loss {progress.loss:.3f}  {validation}{rate}"
        f"{progress.audio_seconds_per_second:.0f} x real time  {left // 60}:{left % 60:02d} left"
    )


def _tell(result: RunResult) -> None:
    if "diverged" in result:
        raise WorkError(f"the run has diverged: {result['diverged']}")
    for when, scores in result.get("calibration", {}).items():
        console.print(f"calibration, recordings listened to, {when}: {_errors(scores)}")
    for split, scores in result["test"].items():
        console.print(f"test, {shown(split)} settings: {_errors(scores)}")
    steps = f"{result['steps']} steps, " if "steps" in result else ""
    console.print(f"weights {shown(result['weights'])}  ({result['parameters']} parameters, {steps}{result['seconds']:.0f} s)")


def _errors(scores: dict[str, Any]) -> str:
    esr, gain = scores["esr_median"], scores["gain_error_db_rms"]
    told = ", ".join(
        ["no ESR" if esr is None else f"ESR {esr:.2e}", "no gain error" if gain is None else f"gain error {gain:.2f} dB RMS"]
    )
    return f"{told} (medians of {scores['takes']} takes)"
