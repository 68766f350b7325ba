"""mlxopto live: an audio interface through a model."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlxopto.errors import RequestError, WorkError

from . import knobs
from .display import console, drop_outs
from .options import flag, option

if TYPE_CHECKING:  # imported when the command runs: --help must not wait for MLX
    from mlxopto.live.midi import MidiInput
    from mlxopto.live.session import Session, Snapshot

    from .desk import Desk

FRAME_S = 0.05
DEVICES, FILES = "Devices", "Files"  # panels of the help text
LINE_S = 2.0


def live(
    model: knobs.Model = None,
    preset: knobs.PresetFile = None,
    input_: Annotated[str | None, option("Input device: its index, or a part of its name.", DEVICES, "--input")] = None,
    output: Annotated[str | None, option("Output device, the same.", DEVICES, "--output")] = None,
    channels: Annotated[int | None, option("In and out. [default: 2, or what the devices have]", DEVICES, min=1)] = None,
    rate: Annotated[int | None, option("Sample rate in Hz. [default: the output device's]", DEVICES, min=1)] = None,
    block: Annotated[int, option("Samples at once; 0 for the device's own.", DEVICES, min=0, max=65536)] = 0,
    latency: Annotated[str, option("low, high, or seconds.", DEVICES)] = "low",
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
    sidechain_channels: Annotated[
        int,
        option("Further input channels, after the audio's, that the detectors hear instead of it.", DEVICES, min=0),
    ] = 0,
    duration: Annotated[float | None, typer.Option(min=0.001, help="Seconds until it ends by itself.")] = None,
    record: Annotated[Path | None, option("WAV file for the dry channels, then the wet ones.", FILES)] = None,
    play: Annotated[Path | None, option("A sound file as the input, instead of a device.", FILES)] = None,
    midi: Annotated[str | None, typer.Option(help="MIDI input, a part of its name; key m learns a controller.")] = None,
    force: Annotated[bool, flag("--force", "Replace a recording that exists.", FILES)] = False,
    as_json: Annotated[bool, flag("--json", help="Print a summary as one JSON object at the end.")] = False,
) -> None:
    """Run an audio interface through a compressor.

    mlxopto live --attack fast
    """
    from mlxopto.live import advice
    from mlxopto.live.midi import MidiInput
    from mlxopto.live.session import LiveOptions, Session

    from .desk import Desk

    base = knobs.load_preset(preset)
    given = knobs.gather(attack, release, threshold, ratio, peak_reduction, mode, sets)
    compressor, setting = knobs.choose(model, base, given, extrapolate)
    options = LiveOptions(
        input_, output, channels, sidechain_channels, rate, block, _latency(latency), link, duration, record, play, force
    )  # fmt: skip
    with MidiInput(midi) if midi else nullcontext() as midi_input:
        session = Session(compressor, options, setting, knobs.mixed(base, mix, makeup))
        if session.sample_rate != compressor.sample_rate:
            console.print(
                f"the network was trained at {compressor.sample_rate} Hz and runs at {session.sample_rate} Hz, "
                "nothing is resampled"
            )
        for sentence in advice.beforehand(session.input, session.output, session.sample_rate):
            console.print(sentence)
        if session.player and session.player.header.remark:
            console.print(session.player.header.remark)
        desk = Desk(session, knobs.model_name(model, base), preset, base.midi if base else {})
        try:
            with session, _uninterrupted_end():
                _run(session, desk, midi_input)
        finally:
            _end(session, as_json)
    if session.complaints():
        raise WorkError("; ".join(session.complaints()))


@contextmanager
def _uninterrupted_end() -> Iterator[None]:
    """Lets Ctrl-C and SIGTERM end the session, once: what follows is quick, and has to be whole."""
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)


def _run(session: Session, desk: Desk, midi: MidiInput | None) -> None:
    """Until the stream, the user or the device ends it."""
    from .keyboard import keyboard

    with keyboard() as keys:
        if keys and sys.stderr.isatty():
            _watch(session, desk, midi)
        else:
            _report(session, desk, midi)


def _watch(session: Session, desk: Desk, midi: MidiInput | None) -> None:
    from rich.console import Console
    from rich.live import Live

    from .dashboard import Meters, dashboard
    from .keyboard import pressed, stoppable

    meters = Meters(session.channels, 512)
    screen = Console(stderr=True, highlight=False)  # which wraps its lines

    def full(on: bool) -> None:
        screen.set_alt_screen(on)
        screen.show_cursor(not on)

    live = Live(console=screen, screen=True, auto_refresh=False, transient=True)
    with live as picture, stoppable(lambda: full(False), lambda: full(True)):
        while session.running():
            for key in pressed(FRAME_S):
                if key == "r":
                    meters.reset()
                if not desk.press(key):
                    return
            desk.hear_midi(midi.changes() if midi else [])
            snapshot = session.snapshot()
            meters.add(snapshot)
            picture.update(dashboard(session, desk, meters, snapshot, screen.width), refresh=True)


def _report(session: Session, desk: Desk, midi: MidiInput | None) -> None:
    """Plain lines from time to time, and once that nothing is heard."""
    from mlxopto.live import advice

    last, heard, told = time.monotonic(), [], False
    while session.running():
        time.sleep(FRAME_S)
        desk.hear_midi(midi.changes() if midi else [])
        heard.append(session.snapshot())
        unheard = advice.unheard(session.input, heard[-1].silent_s)
        if unheard and not told:
            console.print(unheard)
            told = True
        if time.monotonic() - last > LINE_S:
            console.print(_line(heard))
            last, heard = time.monotonic(), []


def _line(heard: list[Snapshot]) -> str:
    """Some seconds in a line."""
    import numpy as np

    def decibels(peaks: list[np.ndarray]) -> str:
        return " ".join(f"{20 * np.log10(max(peak, 1e-6)):.1f}" for peak in np.max(peaks, axis=0))

    latest = heard[-1]
    gains = [snapshot.gain_db for snapshot in heard if snapshot.gain_db is not None]
    gain = f", gain {min(gains):.1f} dB" if gains else ""
    return (
        f"{latest.seconds:.0f} s: in {decibels([s.peaks_in for s in heard])}, out "
        f"{decibels([s.peaks_out for s in heard])} dBFS{gain}, "
        f"load {100 * latest.load_median:.2f} %, {drop_outs(latest.xruns)}"
    )


def _end(session: Session, as_json: bool) -> None:
    summary = session.summary()
    if session.recorder and session.recorder.kept:
        seconds = session.recorder.samples / session.sample_rate
        console.print(f"{session.recorder.path}  {seconds:.1f} s, channels 1 to {session.channels} dry, then as many wet")
    load = summary["load"]
    console.print(
        f"{summary['seconds']:.1f} s at {summary['sample_rate']} Hz, block {summary['block']}: load "
        f"{100 * load['median']:.2f} % median, "
        f"{100 * load['max']:.1f} % most, {summary['late']} late, {drop_outs(summary['xruns'])}"
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
