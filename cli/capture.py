"""mlxopto capture: record a unit of one's own, guided, setting by setting."""

from __future__ import annotations

import itertools
import json
import math
import re
import shlex
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from mlxopto.errors import RequestError
from mlxopto.text import quoted

from .display import console
from .options import flag
from .prompt import ask

if TYPE_CHECKING:
    from mlxopto.capture.checks import Checked
    from mlxopto.capture.folder import CaptureFolder
    from mlxopto.capture.plan import PlannedTake
    from mlxopto.capture.session import CaptureSession
    from mlxopto.controls import Panel, Setting

    Unit = tuple[str, Panel, float | None]  # name, controls, dBu at full scale

RATE, SETTINGS, SECONDS = 48000, 24, 20.0
TURNING_S = 15.0  # that setting the knobs takes, until it is known
MOVED_DB = 0.2  # by which the return may have changed between two sessions


Measured = TypeVar("Measured")


class _QuitError(Exception):
    """The user has had enough for now."""


def capture(
    context: typer.Context,
    device_file: Annotated[Path | None, typer.Option(help="The unit's controls, from `mlxopto capture init`.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The captures folder. [default: captures/UNIT]")] = None,
    resume: Annotated[bool, flag("--resume", help="Go on with the session in the folder.")] = False,
    input_: Annotated[str | None, typer.Option("--input", help="Input device: its index, or a part of its name.")] = None,
    output: Annotated[str | None, typer.Option("--output", help="Output device, the same.")] = None,
    input_channel: Annotated[int, typer.Option(min=1, help="Where the unit's output is plugged in.")] = 1,
    output_channel: Annotated[int, typer.Option(min=1, help="Where the unit's input is plugged in.")] = 1,
    rate: Annotated[int | None, typer.Option(min=8000, max=192000, help="Sample rate in Hz. [default: 48000]")] = None,
    block: Annotated[int, typer.Option(min=0, max=65536, help="Samples at once; 0 for the device's own.")] = 0,
    settings: Annotated[int | None, typer.Option(min=3, max=1000, help="How many settings to record. [default: 24]")] = None,
    seconds: Annotated[
        float | None, typer.Option(min=2, max=600, help="Of programme material at each setting. [default: 20]")
    ] = None,
    measured: Annotated[
        bool, flag("--measure", help="Record the passage of `mlxopto measure` too: four minutes at the default setting.")
    ] = False,
    loopback: Annotated[
        bool, flag("--loopback", help="First measure the interface's own delay, with a cable in the unit's place.")
    ] = False,
    as_json: Annotated[bool, flag("--json", help="Print a summary as one JSON object at the end.")] = False,
) -> None:
    """Record your unit: plays through it, tells you how to set its knobs, checks every take.

    mlxopto capture init my-unit.json, then mlxopto capture --device-file my-unit.json -o captures/my-unit
    """
    if context.invoked_subcommand is not None:
        sources = {name: context.get_parameter_source(name) for name in context.params}
        given = [name for name, source in sources.items() if source and source.name != "DEFAULT"]
        if given:
            option = given[0].rstrip("_").replace("_", "-")
            raise RequestError(f"--{option} must stand behind {context.invoked_subcommand}, or be left out")
        return
    from mlxopto.capture.interface import Interface
    from mlxopto.capture.session import CaptureSession
    from mlxopto.data.captures import load_panel

    with ExitStack() as work:
        if resume:
            begun = _begun(
                out,
                {
                    "device-file": device_file,
                    "settings": settings,
                    "seconds": seconds,
                    "rate": rate,
                    "measure": measured or None,
                },
                work,
            )
        elif device_file is None:
            raise RequestError("mlxopto capture needs --device-file, the unit's controls; `mlxopto capture init` writes one")
        else:
            begun, unit = None, load_panel(device_file)
        sample_rate = begun.sample_rate if begun else rate or RATE
        interface = work.enter_context(Interface(input_, output, sample_rate, input_channel, output_channel, block))
        folder = begun or _begin(out, unit, sample_rate, settings or SETTINGS, seconds or SECONDS, measured, work)
        console.print(f"{folder.name}: {interface.description}, {folder.sample_rate} Hz")
        try:
            _run(CaptureSession(interface, folder), folder, loopback)
        except _QuitError:
            pass
        finally:
            console.print(_left(folder))
    if as_json:
        print(json.dumps(_document(folder)))


def _begun(out: Path | None, given: dict[str, object], work: ExitStack) -> CaptureFolder:
    """The session to go on with, as it was begun; alone in its folder until the end of `work`."""
    from mlxopto import files
    from mlxopto.capture.folder import PLAN, CaptureFolder

    if out is None:
        raise RequestError("--resume needs -o, the folder to go on with")
    for name, value in given.items():
        if value is not None:
            raise RequestError(f"--resume goes on as the session was begun; leave --{name} out")
    if (out / PLAN).is_file():
        work.enter_context(files.alone_in(out))
    return CaptureFolder(out)


def _begin(
    out: Path | None, unit: Unit, rate: int, settings: int, seconds: float, measured: bool, work: ExitStack
) -> CaptureFolder:
    from mlxopto import files
    from mlxopto.capture import plan
    from mlxopto.capture.folder import CaptureFolder
    from mlxopto.response.passage import passage

    name, panel, _ = unit
    if out is None and not re.fullmatch(r"\w[\w .-]*", name):
        raise RequestError(f"the unit's name {quoted(name)} does not do for a folder; give one with -o")
    chosen = list(itertools.islice(plan.settings(panel), settings))
    if len(chosen) < settings:
        chosen = [plan.middle(panel), *chosen]
        console.print(f"the panel has {len(chosen)} settings only, and each is recorded")
    planned = plan.takes(panel, chosen, seconds, len(passage(rate).x) / rate if measured else 0.0)
    folder = CaptureFolder.create(out or Path("captures") / name, unit, rate, planned)
    work.enter_context(files.alone_in(folder.folder))
    return folder


def _run(session: CaptureSession, folder: CaptureFolder, loopback: bool) -> None:
    from mlxopto.capture import plan

    pending = folder.pending
    if not pending:
        return
    left = _minutes(_seconds_left(folder, pending, []))
    console.print(f"{len(pending)} takes at {len(_by_setting(folder, pending))} settings, {left} in all")
    interface_delay = None
    if loopback:
        _ask("connect the output to the input by a cable, without the unit, then press Enter")
        interface_delay = _tried(session.interface_delay)
        console.print(f"the interface alone: {interface_delay:.2f} samples")
        _ask("connect the unit again, then press Enter")
    if not folder.kept:
        _ask("set the unit to where it is loudest (least compression, most gain), then press Enter")
        _level(session)
    _ask(f"set {_spoken(folder.panel, plan.middle(folder.panel))}, then press Enter")
    _set_up(session, folder, interface_delay)
    _record_all(session, folder)


def _tried(measure: Callable[[], Measured]) -> Measured:
    """Measures until it succeeds or the user has had enough."""
    from mlxopto.capture.checks import SetUpError

    while True:
        try:
            return measure()
        except SetUpError as error:
            _ask(f"{error}\npress Enter to try again (q: quit)")


def _level(session: CaptureSession) -> None:
    """Until the return of the loudest setting fits."""
    while not (levels := _tried(session.levels)).good:
        if levels.clipped:
            _ask(f"the return clips ({levels.clipped} samples at full scale): lower it, then press Enter")
            continue
        least, most = sorted((abs(levels.at_least), abs(levels.at_most)))
        way = "raise" if levels.at_least > 0 else "lower"
        told = f"the return peaks at {levels.peak:.1f} dBFS: {way} it by {math.ceil(least)} to {math.floor(most)} dB"
        if _ask(f"{told}, then press Enter (k: keep it as it is)", "k") == "k":
            return
    console.print(f"the return peaks at {levels.peak:.1f} dBFS: good")


def _set_up(session: CaptureSession, folder: CaptureFolder, interface_delay: float | None) -> None:
    from mlxopto.capture.session import moved_db

    while True:
        setup = _tried(lambda: session.set_up(interface_delay))
        own = "" if interface_delay is None else f", {setup.delay - interface_delay:+.2f} of them the unit's own"
        polarity = "" if setup.polarity > 0 else "; polarity is inverted, and will be turned back in the recordings"
        milliseconds = 1000 * setup.delay / setup.sample_rate
        console.print(
            f"delay {setup.delay:.2f} samples ({milliseconds:.1f} ms), the same within {setup.spread:.2f}{own}; "
            f"noise {setup.noise_dbfs:.0f} dBFS{polarity}"
        )
        moved = moved_db(folder.first_setup, setup) if folder.first_setup else 0.0
        if abs(moved) <= MOVED_DB:
            break
        told = f"the return is {moved:+.1f} dB against the first session: a knob, or the gain of the input, has moved"
        if _ask(f"{told}\nput it right, then press Enter (k: keep it as it is)", "k") == "k":
            break
    session.accept()


def _record_all(session: CaptureSession, folder: CaptureFolder) -> None:
    """Setting by setting; b goes back to the one before."""
    from mlxopto.capture import plan

    turning: list[float] = []
    groups, place, middle = _by_setting(folder, folder.pending), 0, plan.middle(folder.panel)
    while place < len(groups):
        setting, numbers = groups[place]
        answer = ""
        if setting != middle:  # where the knobs are already
            left = _minutes(_seconds_left(folder, [n for _, group in groups[place:] for n in group], turning))
            told = f"\n{_position(folder, setting)} ({left} left)\n  {_spoken(folder.panel, setting)}\n"
            letters = "sb" if place and groups[place - 1][0] != middle else "s"
            began = time.monotonic()
            answer = _ask(f"{told}set the knobs, then press Enter (s: skip, {'b: back, ' * ('b' in letters)}q: quit)", letters)
            turning.append(time.monotonic() - began)
        if answer == "b":
            place -= 1
            continue
        if answer != "s":
            all(_record(session, folder.takes[number], number) for number in numbers)  # until one is skipped
        place += 1


def _record(session: CaptureSession, take: PlannedTake, number: int) -> bool:
    """Until a take is kept, or skipped, which gives False."""
    while True:
        console.print(f"  {_purpose(take)}, {take.seconds:g} s ...", end=" ")
        checked = session.record(number)
        if not checked.problems and not checked.doubts:
            break
        answer = _judge(checked)
        if answer == "s":
            return False
        if answer == "k":
            break
    session.keep(number, checked)
    again = ""
    if take.again:
        esr = session.folder.repeatability_esr
        again = f"; ESR {esr:.0e} between the two, which no model can be below" if esr else "; the same as before, bit for bit"
    console.print(f"kept, peak {checked.peak_dbfs:.1f} dBFS, delay {checked.delay:.2f}{again}")
    return True


def _judge(checked: Checked) -> str:
    """What the user wants to do with a take that is not as it should be: "" to record it again, s, or k where it
    may be kept.
    """
    console.print("not kept" if checked.problems else "doubtful")
    for sentence in (*checked.problems, *checked.doubts):
        console.print(f"  {sentence}")
    if checked.problems:
        return _ask("press Enter to record it again (s: skip, q: quit)", "s")
    return _ask("press Enter to record it again (k: keep it, s: skip, q: quit)", "sk")


def _ask(question: str, answers: str = "") -> str:
    """The answer: empty for Enter, or one of the letters. q and the end of the input quit."""
    while True:
        answer = ask(question, "the answers ended before the takes did; what is kept stays, and --resume goes on").lower()
        if answer == "q":
            raise _QuitError
        if answer in ("", *answers):
            return answer
        console.print(f"Enter{''.join(f', {letter}' for letter in answers)} or q")


def _spoken(panel: Panel, setting: Setting) -> str:
    return ", ".join(f"{control.name.replace('_', ' ')} {control.format(setting[control.name])}" for control in panel.controls)


def _purpose(take: PlannedTake) -> str:
    purposes = {
        "train": "training",
        "unseen": "test on a new setting",
        "seen": "test on new material",
        "measure": "measuring passage",
    }
    return "validation again" if take.again else purposes.get(take.split, "validation")


def _position(folder: CaptureFolder, setting: Setting) -> str:
    every = [other for other, _ in _by_setting(folder, range(len(folder.takes)))]
    return f"setting {every.index(setting) + 1} of {len(every)}"


def _by_setting(folder: CaptureFolder, numbers: Iterable[int]) -> list[tuple[Setting, list[int]]]:
    """Settings in order, and the numbers of their takes."""
    found: list[tuple[Setting, list[int]]] = []
    for number in numbers:
        setting = folder.takes[number].setting
        same = [group for other, group in found if other == setting]
        if same:
            same[0].append(number)
        else:
            found.append((setting, [number]))
    return found


def _seconds_left(folder: CaptureFolder, pending: list[int], turning: list[float]) -> float:
    from mlxopto.capture.signals import AROUND_S

    playing = sum(folder.takes[number].seconds + AROUND_S for number in pending)
    return playing + len(_by_setting(folder, pending)) * (median(turning) if turning else TURNING_S)


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 60 else f"{round(seconds / 60)} min"


def _left(folder: CaptureFolder) -> str:
    pending, path = len(folder.pending), shlex.quote(str(folder.folder))
    kept = f"{len(folder.takes) - pending} of {len(folder.takes)} takes are in {path}"
    return f"{kept}; to go on: mlxopto capture -o {path} --resume" if pending else f"{kept}: mlxopto train --data {path}"


def _document(folder: CaptureFolder) -> dict[str, object]:
    setup = folder.last_setup
    return {
        "folder": str(folder.folder),
        "kept": len(folder.kept),
        "pending": len(folder.pending),
        "setup": asdict(setup) if setup else None,
        "repeatability_esr": folder.repeatability_esr,
    }
