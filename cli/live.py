"""mlxopto live: an audio interface through a model."""

from __future__ import annotations

import json
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlxopto.errors import RequestError, WorkError

from . import knobs
from .display import console, patience

if TYPE_CHECKING:  # imported when the command runs: --help must not wait for MLX
    from mlxopto.live.midi import MidiInput
    from mlxopto.live.session import Session, Snapshot

    from .desk import Desk

FRAME_S = 0.05
LINE_S = 2.0


def live(
    model: knobs.Model = None,
    preset: knobs.PresetFile = None,
    input_: Annotated[str | None, typer.Option("--input", help="Input device: its index, or a part of its name.")] = None,
    output: Annotated[str | None, typer.Option("--output", help="Output device, the same.")] = None,
    channels: Annotated[int | None, typer.Option(min=1, help="In and out. [default: 2, or what the devices have]")] = None,
    rate: Annotated[int | None, typer.Option(min=1, help="Sample rate in Hz. [default: the output device's]")] = None,
    block: Annotated[int, typer.Option(min=0, help="Samples at once; 0 for the device's own.")] = 0,
    latency: Annotated[str, typer.Option(help="low, high, or seconds.")] = "low",
    attack: knobs.Attack = None,
    release: knobs.Release = None,
    threshold: knobs.Threshold = None,
    ratio: knobs.Ratio = None,
    peak_reduction: knobs.PeakReduction = None,
    mode: knobs.Mode = None,
    sets: knobs.Set = None,
    link: knobs.Link = None,
    mix: knobs.Mix = None,
    makeup: knobs.Makeup = None,
    sidechain_channels: Annotated[
        int, typer.Option(min=0, help="Further input channels, after the audio's, that the detectors hear instead of it.")
    ] = 0,
    duration: Annotated[float | None, typer.Option(min=0.001, help="Seconds until it ends by itself.")] = None,
    record: Annotated[Path | None, typer.Option(help="WAV file for the dry channels, then the wet ones.")] = None,
    play: Annotated[Path | None, typer.Option(help="A sound file as the input, instead of a device.")] = None,
    midi: Annotated[str | None, typer.Option(help="MIDI input, a part of its name; key m learns a controller.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a recording that exists.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a summary as one JSON object at the end.")] = False,
) -> None:
    """Run an audio interface through a compressor.

    mlxopto live --attack fast
    """
    with patience("compiling the engine for this machine; this happens once, for about half a minute"):
        from mlxopto import compressor as compressors
        from mlxopto.live.midi import MidiInput
        from mlxopto.live.session import LiveOptions, Session

        from .desk import Desk

    base = knobs.load_preset(preset)
    name = model or (base.model if base else knobs.DEFAULT_MODEL)
    compressor = compressors.load(name)
    given = {
        "attack": attack, "release": release, "threshold": threshold, "ratio": ratio, "peak_reduction": peak_reduction, "mode": mode
    }  # fmt: skip
    setting = compressor.panel.setting({**(base.controls if base else {}), **knobs.gather(given, sets)})
    for control in base.midi if base else ():
        compressor.panel[control] if control not in ("mix", "makeup") else None
    options = LiveOptions(
        input_, output, channels, sidechain_channels, rate, block, _latency(latency), link, duration, record, play, force
    )  # fmt: skip
    with MidiInput(midi) if midi else nullcontext() as midi_input:
        session = Session(compressor, options, setting, knobs.mixed(base, mix, makeup))
        if session.sample_rate != compressor.sample_rate:
            console.print(
                f"the network was trained at {compressor.sample_rate} Hz and runs at {session.sample_rate} Hz, nothing is resampled"
            )
        desk = Desk(session, name, preset or Path(f"{compressor.card.name}.toml"), base.midi if base else {})
        try:
            with session:
                _run(session, desk, midi_input)
        except KeyboardInterrupt:
            pass  # the way to end a session without a terminal
        finally:
            _end(session, as_json)
    if session.complaints():
        raise WorkError("; ".join(session.complaints()))


def _run(session: Session, desk: Desk, midi: MidiInput | None) -> None:
    """Until the stream, the user or the device ends it."""
    from .keyboard import keyboard

    with keyboard() as keys:
        if keys and sys.stderr.isatty():
            _watch(session, desk, midi)
        else:
            _report(session, desk, midi)


def _watch(session: Session, desk: Desk, midi: MidiInput | None) -> None:
    from rich.live import Live

    from .dashboard import Meters, dashboard
    from .keyboard import pressed

    meters = Meters(session.channels, 512)
    with Live(console=console, screen=True, auto_refresh=False, transient=True) as picture:
        while session.running():
            for key in pressed(FRAME_S):
                if key == "r":
                    meters.reset()
                if not desk.press(key):
                    return
            desk.hear_midi(midi.changes() if midi else [])
            snapshot = session.snapshot()
            meters.add(snapshot)
            picture.update(dashboard(session, desk, meters, snapshot, console.width), refresh=True)


def _report(session: Session, desk: Desk, midi: MidiInput | None) -> None:
    """Plain lines from time to time."""
    last = time.monotonic()
    while session.running():
        time.sleep(FRAME_S)
        desk.hear_midi(midi.changes() if midi else [])
        if time.monotonic() - last > LINE_S:
            last = time.monotonic()
            console.print(_line(session.snapshot()))


def _line(snapshot: Snapshot) -> str:
    import numpy as np

    def decibels(peaks: np.ndarray) -> str:
        return " ".join(f"{20 * np.log10(max(peak, 1e-6)):.1f}" for peak in peaks)

    gain = "" if snapshot.gain_db is None else f", gain {snapshot.gain_db:.1f} dB"
    return (
        f"{snapshot.seconds:.0f} s: in {decibels(snapshot.peaks_in)}, out {decibels(snapshot.peaks_out)} dBFS{gain}, "
        f"load {100 * snapshot.load_median:.2f} %, {sum(snapshot.xruns.values())} drop-outs"
    )


def _end(session: Session, as_json: bool) -> None:
    summary = session.summary()
    if session.recorder and session.recorder.samples:
        seconds = session.recorder.samples / session.sample_rate
        console.print(f"{session.recorder.path}  {seconds:.1f} s, channels 1 to {session.channels} dry, then as many wet")
    drops, load = sum(summary["xruns"].values()), summary["load"]
    console.print(
        f"{summary['seconds']:.1f} s at {summary['sample_rate']} Hz, block {summary['block']}: load {100 * load['median']:.2f} % median, "
        f"{100 * load['max']:.1f} % most, {summary['late']} late, {drops} drop-outs"
    )
    if as_json:
        print(json.dumps(summary))


def _latency(text: str) -> str | float:
    if text in ("low", "high"):
        return text
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < 10:
        raise RequestError(f"latency must be low, high or seconds above 0, got {text!r}")
    return seconds
