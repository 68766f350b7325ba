"""mlxopto render: files through a model."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlxopto.errors import RequestError, WorkError
from mlxopto.text import sentence, shown

from . import knobs
from .display import check_plot, console, drawing, share_done
from .options import flag, option

if TYPE_CHECKING:  # imported when a command runs: --help must not wait for MLX
    from mlxopto.compressor import Compressor
    from mlxopto.render import FileFailure, FileReport, RenderOptions

OUTPUT = "Output"  # a panel of the help text


def render(
    inputs: Annotated[
        list[Path] | None, typer.Argument(metavar="INPUT...", help="Sound files, or folders of them.", show_default=False)
    ] = None,
    output: Annotated[Path | None, option("Output file; a folder for several inputs.", OUTPUT, "--output", "-o")] = None,
    model: knobs.Model = None,
    preset: knobs.PresetFile = None,
    attack: knobs.Attack = None,
    release: knobs.Release = None,
    threshold: knobs.Threshold = None,
    ratio: knobs.Ratio = None,
    peak_reduction: knobs.PeakReduction = None,
    mode: knobs.Mode = None,
    sets: knobs.Set = None,
    extrapolate: knobs.Extrapolate = False,
    link: knobs.Link = None,
    mix: knobs.Mix = None,
    makeup: knobs.Makeup = None,
    engine: Annotated[str, typer.Option(help="cpu, gpu (through MLX), or auto, which is cpu.")] = "auto",
    subtype: Annotated[str | None, option("PCM_16, PCM_24, PCM_32, FLOAT or DOUBLE. [default: the input's]", OUTPUT)] = None,
    clip: Annotated[bool, flag("--clip", "Let integer output clip instead of refusing it.", OUTPUT)] = False,
    force: Annotated[bool, flag("--force", "Replace output files that exist.", OUTPUT)] = False,
    plot: Annotated[Path | None, option("Draw waveform, gain reduction and transfer curve to this PNG.", OUTPUT)] = None,
    demo: Annotated[
        bool, flag("--demo", help="Make programme material and render it at fast, medium and slow attack.")
    ] = False,
    as_json: Annotated[bool, flag("--json", "Print what was done as one JSON object.", OUTPUT)] = False,
) -> None:
    """Render sound files through a compressor.

    mlxopto render in.wav --attack fast
    """
    from mlxopto import compressor as compressors
    from mlxopto.render import RenderOptions

    given = knobs.gather(attack, release, threshold, ratio, peak_reduction, mode, sets)
    base = knobs.load_preset(preset)
    compressor, setting = knobs.choose(model, base, given, extrapolate)
    mixed = knobs.mixed(base, mix, makeup)
    compressors.check(compressor, engine, link)
    options = RenderOptions(setting, link, mixed, engine, subtype, clip, force)
    failures: list[FileFailure] = []
    if demo:
        if inputs:
            raise RequestError("--demo makes its own input; leave the input files out")
        if plot or subtype or clip:
            raise RequestError("--demo draws its own picture and writes FLOAT; leave --plot, --subtype and --clip out")
        reports = _demo(compressor, options, given, output or Path("mlxopto-demo"))
    else:
        if not inputs:
            raise RequestError("no input file is given; name one or more, or try --demo")
        reports, failures = _files(inputs, output, compressor, options, plot)
    if as_json:
        print(
            json.dumps(
                {
                    "model": compressor.name,
                    "controls": compressor.panel.in_units(setting),
                    "files": [_json(report) for report in reports],
                    "failed": [{"input": str(failure.input), "error": sentence(str(failure.error))} for failure in failures],
                }
            )
        )
    if plot is not None:
        with drawing(plot):
            from mlxopto import plots

            label = reports[0].output.name
            plots.render_picture(plot, {label: reports[0].overview}, compressor, {label: setting})
    if failures:
        for failure in failures:
            console.print(sentence(str(failure.error)))
        raise WorkError(f"{len(failures)} of {len(failures) + len(reports)} files could not be rendered")


def _files(
    inputs: list[Path], output: Path | None, compressor: Compressor, options: RenderOptions, plot: Path | None
) -> tuple[list[FileReport], list[FileFailure]]:
    """What was done, and what failed of several files; the failure of a single one is raised."""
    from mlxopto.render import FileFailure, plan, prepare, render_files

    pairs = plan(inputs, output, compressor.name)
    jobs, failures = prepare(pairs, options)
    if failures and len(pairs) == 1:
        raise failures[0].error
    if plot is not None:
        if len(pairs) > 1:
            raise RequestError(f"--plot draws one file, got {len(pairs)}")
        if os.path.realpath(plot) in {os.path.realpath(path) for pair in pairs for path in pair}:
            raise RequestError(f"{plot} is an input or output, and would be the picture too; give another name to --plot")
        check_plot(plot, options.force)
    for header, _ in jobs:
        if header.remark:
            console.print(shown(header.remark))
        if header.sample_rate != compressor.sample_rate:
            console.print(
                f"{shown(header.path.name)}: {header.sample_rate} Hz is resampled to the model's "
                f"{compressor.sample_rate} Hz and back"
            )
    total = sum(header.samples / header.sample_rate for header, _ in jobs)
    with share_done(pairs[0][0].name if len(pairs) == 1 else f"{len(pairs)} files", total) as progress:
        reports = []
        for found, (header, _) in zip(render_files(jobs, compressor, options, progress), jobs, strict=True):
            if isinstance(found, FileFailure):
                failures.append(found)
                continue
            reports.append(found)
            _tell(found, header.subtype)
    if failures and len(pairs) == 1:
        raise failures[0].error
    return reports, failures


def _demo(compressor: Compressor, options: RenderOptions, given: dict[str, str], folder: Path) -> list[FileReport]:
    """Renders the demo song at each position of one knob: fast, medium and slow attack on a CL 1B."""
    from mlxopto import audio, files, plots
    from mlxopto.data import program
    from mlxopto.render import render_file

    panel = compressor.panel
    knobs_with_positions = [c for c in panel.controls if c.positions and c.taper != "steps"]
    if not knobs_with_positions:
        raise RequestError(f"--demo needs a model with a knob that has named positions; {compressor.name} has none")
    knob = next((c for c in knobs_with_positions if c.name == "attack"), knobs_with_positions[0])
    if knob.name in given:
        raise RequestError(f"--demo sets {knob.name} itself; leave --{knob.name.replace('_', '-')} out")
    labels = {f"{knob.name}-{position}".replace("_", "-"): value for position, value in knob.positions.items()}
    source, picture = folder / "input.wav", folder / "demo.png"
    if folder.is_dir():
        for path in (source, picture, *(folder / f"{label}.wav" for label in labels)):
            files.check_writable(path, options.force)
    else:
        files.check_writable(folder, force=False)
        folder.mkdir()
    rate = compressor.sample_rate
    audio.write(source, program.demo(rate), rate, "FLOAT", options.force)
    settings = {label: {**options.setting, knob.name: value} for label, value in labels.items()}
    reports = {}
    for label, setting in settings.items():
        choices = replace(options, setting=setting, subtype="FLOAT")
        reports[label] = render_file(audio.info(source), folder / f"{label}.wav", compressor, choices, lambda share: None)
        _tell(reports[label], "FLOAT")
    plots.render_picture(picture, {label: report.overview for label, report in reports.items()}, compressor, settings)
    console.print(f"input {source}, picture {picture}")
    return list(reports.values())


def _tell(report: FileReport, subtype_in: str) -> None:
    output = shown(str(report.output))
    loudness = (
        "" if report.lufs_in is None or report.lufs_out is None else f", {report.lufs_in:.1f} to {report.lufs_out:.1f} LUFS"
    )
    kept = "" if report.subtype == subtype_in else f", written as {report.subtype}"
    clipped = f", {report.clipped} samples clipped" if report.clipped else ""
    lost = (
        f", without {', '.join(report.not_kept)}, which {report.output.suffix[1:].upper()} cannot keep"
        if report.not_kept
        else ""
    )
    console.print(
        f"{output}  gain reduction {report.gain_reduction_mean_db:.1f} dB mean, {report.gain_reduction_max_db:.1f} dB deepest"
        f"{loudness}, {report.real_time_factor:.0f} times real time{kept}{clipped}{lost}"
    )


def _json(report: FileReport) -> dict[str, Any]:
    def rounded(value: float | None, digits: int) -> float | None:
        return None if value is None else round(value, digits)

    return {
        "input": str(report.input),
        "output": str(report.output),
        "sample_rate": report.sample_rate,
        "channels": report.channels,
        "samples": report.samples,
        "peak_in": round(report.peak_in, 6),
        "peak_out": round(report.peak_out, 6),
        "clipped": report.clipped,
        "gain_reduction_db": {"mean": round(report.gain_reduction_mean_db, 3), "max": round(report.gain_reduction_max_db, 3)},
        "lufs_in": rounded(report.lufs_in, 2),
        "lufs_out": rounded(report.lufs_out, 2),
        "seconds": round(report.seconds, 3),
        "real_time_factor": round(report.real_time_factor, 1),
    }
