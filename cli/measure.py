"""mlxopto measure: what a compressor does, as a reviewer of hardware measures it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from mlxopto.errors import RequestError
from mlxopto.text import shown

from . import knobs
from .display import check_plot, drawing
from .options import flag

if TYPE_CHECKING:
    from mlxopto.controls import Setting
    from mlxopto.response.figures import Dynamics, Response
    from mlxopto.response.subjects import Subject


def measure(
    subjects: Annotated[
        list[str] | None,
        typer.Argument(metavar="SUBJECT...", help="Models, run folders, captures folders or virtual devices; one or two."),
    ] = None,
    device: Annotated[str | None, typer.Option(help="A virtual device besides: cl1b, la2a, fet, vca or digital.")] = None,
    attack: knobs.Attack = None,
    release: knobs.Release = None,
    threshold: knobs.Threshold = None,
    ratio: knobs.Ratio = None,
    peak_reduction: knobs.PeakReduction = None,
    mode: knobs.Mode = None,
    sets: knobs.Set = None,
    extrapolate: knobs.Extrapolate = False,
    plot: Annotated[Path | None, typer.Option(help="Draw curves to this PNG.")] = None,
    force: Annotated[bool, flag("--force", help="Replace a picture that exists.")] = False,
    as_json: Annotated[bool, flag("--json", help="Print the figures as one JSON object.")] = False,
) -> None:
    """Measure a compressor: static curve, attack and release, memory, distortion, frequency response, noise.

    mlxopto measure la2a --device la2a --peak-reduction 85
    """
    from mlxopto.response import subjects as found

    names = [*(subjects or []), *([f"the virtual {device}"] if device else [])]
    if not 1 <= len(names) <= 2:
        raise RequestError(f"measure takes one or two subjects, got {len(names)}")
    check_plot(plot, force)
    given = knobs.gather(attack, release, threshold, ratio, peak_reduction, mode, sets)
    chosen = [found.find(name) for name in subjects or []] + ([found.device(device)] if device else [])
    settings = _settings(chosen, given, extrapolate)
    responses = [subject.measure(setting) for subject, setting in zip(chosen, settings, strict=True)]
    labels = [subject.name for subject in chosen]
    if len(set(labels)) < len(labels):
        labels = names
    if as_json:
        rows = zip(labels, chosen, settings, responses, strict=True)
        print(json.dumps({"subjects": [_json(*row) for row in rows], **_difference(responses)}))
    else:
        _show(labels, chosen, settings, responses)
    if plot is not None:
        with drawing(plot):
            from mlxopto.response import pictures

            pictures.response_picture(plot, dict(zip(labels, responses, strict=True)))


def _settings(chosen: list[Subject], given: dict[str, str], extrapolate: bool) -> list[Setting]:
    """Of each subject: as recorded, otherwise as given, otherwise as the recorded one stands, otherwise the defaults."""
    recorded = next((subject.setting for subject in chosen if subject.setting), None)
    if recorded and given:
        raise RequestError("a recording has its own setting; leave the controls out")
    settings = []
    for subject in chosen:
        wanted = recorded or given
        settings.append(
            subject.setting
            or subject.panel.setting(wanted, extrapolate=extrapolate, dbu_at_full_scale=subject.dbu_at_full_scale)
        )
    return settings


def _difference(responses: list[Response]) -> dict[str, Any]:
    from mlxopto.response.figures import memory_error_db, static_error_db
    from mlxopto.response.passage import EXPOSURES_S

    if len(responses) < 2:
        return {}
    errors = memory_error_db(*responses)
    memory = [{"seconds": seconds, "error_db": error} for seconds, error in zip(EXPOSURES_S, errors, strict=True)]
    return {"difference": {"static_db": static_error_db(*responses), "memory": memory}}


def _json(label: str, subject: Subject, setting: Setting, response: Response) -> dict[str, Any]:
    return {"name": label, "controls": subject.panel.in_units(setting), **response.document()}


def _show(labels: list[str], chosen: list[Subject], settings: list[Setting], responses: list[Response]) -> None:
    console = Console(highlight=False)
    for label, subject, setting, response in zip(labels, chosen, settings, responses, strict=True):
        controls = ", ".join(f"{c.name} {c.format(setting[c.name])}" for c in subject.panel.controls)
        console.print(f"{shown(label)}: {controls}", style="bold", markup=False)
        above = "none below 0 dBFS" if response.threshold_dbfs is None else f"{response.threshold_dbfs:.1f} dBFS"
        deepest = min(response.static, key=lambda steady: steady.gain_db)
        console.print(
            f"1 dB of reduction at {above}, ratio up to {response.ratio:.1f}:1, noise {response.noise_dbfs:.0f} dBFS; "
            f"at {deepest.level_in:g} dBFS gain {deepest.gain_db:.1f} dB, THD {deepest.thd:.2g} %"
        )
        console.print(_times("tone of 2 s at", [f"{d.level_in:g} dBFS" for d in response.depths], response.depths))
        console.print(_times("tone of -8 dBFS for", [f"{d.seconds:g} s" for d in response.exposures], response.exposures))
        console.print(_levels(response))
    if difference := _difference(responses).get("difference"):
        told = ", ".join(f"{row['error_db']:.2f} after {row['seconds']:g} s" for row in difference["memory"])
        console.print(f"difference in dB RMS: static curve {difference['static_db']:.2f}; 4 s after a tone {told}")


def _times(title: str, labels: list[str], rows: list[Dynamics]) -> Table:
    table = Table(title_justify="left")
    shares = [f"{kind} t{share}" for kind in ("attack", "release") for share in (50, 90, 95)]
    for column in (title, "reduction", *shares, "left after 0.25 s"):
        table.add_column(column, justify="right")
    for label, row in zip(labels, rows, strict=True):
        left = "" if row.left is None else f"{100 * row.left:.0f} %"
        table.add_row(label, f"{row.depth_db:.1f} dB", *(_seconds(t) for t in (*row.attack, *row.release)), left)
    return table


def _levels(response: Response) -> Table:
    table = Table(title_justify="left")
    for column in ("tone", "input", "gain", "THD", "2nd", "3rd"):
        table.add_column(column, justify="right")
    for name, tones in (("1 kHz", response.static[4::4]), ("60 Hz", response.low)):
        for tone in tones:
            shares = [f"{share:.2g} %" for share in (tone.thd, tone.harmonics[2], tone.harmonics[3])]
            table.add_row(name, f"{tone.level_in:g} dBFS", f"{tone.gain_db:.2f} dB", *shares)
    return table


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{1000 * seconds:.3g} ms" if seconds < 1 else f"{seconds:.2f} s"
