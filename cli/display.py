"""Progress on the terminal: lively where a person looks, plain lines where the output is piped. All of it on stderr."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
PATIENCE_S = 3.0
LONG_S = 30.0  # files longer than this get a progress bar


def drop_outs(xruns: dict[str, int]) -> str:
    """Drop-outs by kind; one mishap often counts as two kinds, so that they are not summed."""
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in xruns.items() if count) or "no drop-outs"


@contextmanager
def patience(message: str) -> Iterator[None]:
    """Says why it takes long, if it does."""
    timer = threading.Timer(PATIENCE_S, lambda: console.print(message))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def share_done(name: str, audio_seconds: float) -> Iterator[Callable[[float], None]]:
    """A bar for a long file on a terminal; otherwise nothing is shown. Gives a function told the share done, 0 to 1."""
    if audio_seconds < LONG_S or not sys.stderr.isatty():
        yield lambda share: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(name, total=1.0)
        yield lambda share: bar.update(task, completed=share)
