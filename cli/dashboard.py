"""The picture of a live session in a terminal: meters, gain reduction, controls, load."""

from __future__ import annotations

import time
from collections import deque

import numpy as np
from rich.console import Group, RenderableType
from rich.panel import Panel as Frame
from rich.table import Table
from rich.text import Text

from mlxopto.live import advice
from mlxopto.live.session import Session, Snapshot

from .desk import HELP, Desk
from .display import drop_outs

FLOOR_DB = -60.0
HOLD_S = 1.5
HISTORY_ROWS, HISTORY_DB = 3, 20.0
_EIGHTHS = " ▁▂▃▄▅▆▇█"


class Meters:
    """Levels with peak hold, and the history of the gain, fed with snapshots."""

    def __init__(self, channels: int, columns: int):
        self.columns = columns
        self.input, self.output = ([Held() for _ in range(channels)] for _ in range(2))
        self.gain = Held(lowest=True)
        self.history: deque[float] = deque(maxlen=columns)

    def add(self, snapshot: Snapshot) -> None:
        """Takes in what was measured since the snapshot before."""
        if snapshot.gain_db is None:
            return
        now = time.monotonic()
        for held, peak in zip((*self.input, *self.output), (*snapshot.peaks_in, *snapshot.peaks_out), strict=True):
            held.add(float(20 * np.log10(max(peak, 1e-6))), now)
        self.gain.add(snapshot.gain_db, now)
        self.history.append(snapshot.gain_db)

    def reset(self) -> None:
        """Forgets."""
        for held in (*self.input, *self.output, self.gain):
            held.reset()
        self.history.clear()


class Held:
    """A level in dB that falls slowly, and its peak, held for a while."""

    def __init__(self, lowest: bool = False):
        self._sign = -1 if lowest else 1
        self.reset()

    def reset(self) -> None:
        """Forgets."""
        self.value = self.peak = self._sign * -200.0
        self._since = 0.0

    def add(self, level: float, now: float) -> None:
        """The newest level, at a time in seconds."""
        falling = self.value - self._sign * 1.5
        self.value = max(level, falling) if self._sign > 0 else min(level, falling)
        if self._sign * (level - self.peak) >= 0 or now - self._since > HOLD_S:
            self.peak, self._since = level, now


def dashboard(session: Session, desk: Desk, meters: Meters, snapshot: Snapshot, width: int) -> RenderableType:
    """The whole picture, `width` characters wide."""
    unheard = advice.unheard(session.input, snapshot.silent_s)
    return Group(
        Frame(_levels(meters, width - 4), title=_title(session, snapshot), title_align="left"),
        Frame(
            _history(meters, width - 4),
            title="gain reduction",
            title_align="left",
            subtitle=f"{HISTORY_DB:.0f} dB from top to bottom",
            subtitle_align="right",
        ),
        Frame(_controls(desk, width), title=_slot(desk), title_align="left"),
        Text(_health(session, snapshot), style="dim"),
        *([Text(unheard, style="yellow")] if unheard else []),
        Text(desk.message or HELP, style="yellow" if desk.message else "dim"),
    )


def _title(session: Session, snapshot: Snapshot) -> Text:
    return Text(session.compressor.name, style="bold").append(f"  {_where(session, snapshot)}", style="not bold")


def _where(session: Session, snapshot: Snapshot) -> str:
    source = session.input.name if session.input else session.options.play.name if session.options.play else ""
    latency = f"latency {1000 * session.latency_samples / session.sample_rate:.1f} ms as reported"
    return f"{source} -> {session.output.name}   {session.sample_rate} Hz, block {snapshot.block}, {latency}"


def _levels(meters: Meters, width: int) -> Table:
    grid = Table.grid(padding=(0, 1))
    for _ in range(3):
        grid.add_column(no_wrap=True)
    bar = max(10, width - 24)
    for name, channels in (("in", meters.input), ("out", meters.output)):
        for index, held in enumerate(channels):
            label = f"{name} {index + 1}"
            grid.add_row(label, _bar(held.value, held.peak, bar), _decibels(held.peak))
    low = min(0.0, meters.gain.value) if meters.gain.value < 100 else 0.0
    peak = min(0.0, meters.gain.peak) if meters.gain.peak < 100 else 0.0
    filled = round(bar * min(1.0, -low / HISTORY_DB))
    gain = Text("█" * filled, style="dark_orange").append("─" * (bar - filled), style="grey23")
    grid.add_row("gain", gain, _decibels(peak))
    return grid


def _bar(level: float, peak: float, width: int) -> Text:
    """Green to -12 dB, yellow to -3, red above; a mark where the held peak is."""
    text = Text()
    mark = _place(peak, width)
    for column in range(width):
        at_db = FLOOR_DB * (1 - (column + 0.5) / width)
        colour = "red" if at_db > -3 else "yellow" if at_db > -12 else "green"
        if column == mark:
            text.append("┃", style="bright_white" if peak < 0 else "bold red")
        elif column < _place(level, width):
            text.append("█", style=colour)
        else:
            text.append("─", style="grey23")
    return text


def _place(level_db: float, width: int) -> int:
    return min(width - 1, round(width * (1 - level_db / FLOOR_DB))) if level_db > FLOOR_DB else -1 if level_db < -199 else 0


def _decibels(level: float) -> Text:
    if abs(level) >= 120:
        return Text("   -inf dB", style="dim")
    return Text(f"{level:7.1f} dB", style="bold red" if level > 0 else "")


def _history(meters: Meters, width: int) -> Text:
    """Reduction hangs from the top, newest at the right, in eighths of a character."""
    recent = list(meters.history)[-width:]
    depths = [min(1.0, max(0.0, -gain / HISTORY_DB)) * HISTORY_ROWS for gain in recent]
    lines = []
    for row in range(HISTORY_ROWS):
        line = Text(" " * (width - len(depths)))
        for depth in depths:
            filled = round(8 * min(1.0, max(0.0, depth - row)))
            # a block that hangs is a standing one with its colours turned round
            line.append(
                "█" if filled == 8 else _EIGHTHS[8 - filled] if filled else " ",
                style="dark_orange" if filled in (0, 8) else "dark_orange reverse",
            )
        lines.append(line)
    return Text("\n").join(lines)


def _controls(desk: Desk, width: int) -> Table:
    grid = Table.grid(padding=(0, 2), expand=True)
    for ratio in (None, None, None, 1, None):
        grid.add_column(ratio=ratio, no_wrap=True)
    for index, control in enumerate(desk.panel.controls):
        value = desk.values[control.name]
        number = control.format(
            control.denormalise(control.normalise(value)) if control.taper == "steps" else float(f"{value:.4g}")
        )
        labels = [
            label
            for label, place in control.positions.items()
            if abs(control.normalise(place) - control.normalise(value)) < 1e-6
        ]
        chosen = index == desk.selected
        midi = f"CC {desk.midi[control.name]}" if control.name in desk.midi else ""
        grid.add_row(
            Text(str(index + 1), style="dim"),
            Text(control.name.replace("_", " "), style="bold reverse" if chosen else ""),
            Text(f"{number}{f'  {labels[0]}' if labels and labels[0] != number else ''}", style="bold" if chosen else ""),
            _knob(control.normalise(value), min(30, max(8, width - 60)), chosen),
            Text(midi, style="dim"),
        )
    return grid


def _knob(position: float, width: int, chosen: bool) -> Text:
    at = round((position + 1) / 2 * (width - 1))
    at = min(max(at, 0), width - 1)
    style = "bright_cyan" if chosen else "cyan"
    return Text("─" * at, style=style).append("●", style=style).append("─" * (width - 1 - at), style="grey23")


def _slot(desk: Desk) -> Text:
    title = Text("setting ").append(desk.slot, style="bold")
    return title.append("  ").append(" BYPASS ", style="bold black on yellow") if desk.session.bypassed else title


def _health(session: Session, snapshot: Snapshot) -> str:
    drops = drop_outs(snapshot.xruns)
    record = f"   recording {session.recorder.samples / session.sample_rate:.0f} s" if session.recorder else ""
    record += "".join(f"   {complaint}" for complaint in session.complaints())
    odd = f"   {snapshot.not_numbers} input samples were no numbers" if snapshot.not_numbers else ""
    minutes, seconds = divmod(int(snapshot.seconds), 60)
    return (
        f"{minutes}:{seconds:02d}   load {100 * snapshot.load_median:.2f} % median, {100 * snapshot.load_max:.1f} % most"
        f"   {snapshot.late} late   {drops}{record}{odd}"
    )
