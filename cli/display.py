"""Progress on the terminal: lively where a person looks, plain lines where the output is piped. All of it on stderr."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from mlxopto.errors import MlxoptoError, RequestError, WorkError
from mlxopto.native import compiling
from mlxopto.text import shown


class _Console(Console):
    """Names of files and devices are shown without what a terminal would obey."""

    def print(self, *objects: Any, **options: Any) -> None:
        plain = ["\n".join(map(shown, item.split("\n"))) if isinstance(item, str) else item for item in objects]
        super().print(*plain, **options)


console = _Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
PATIENCE_S = 3.0
LONG_S = 30.0  # files longer than this get a progress bar


def drop_outs(xruns: dict[str, int]) -> str:
    """Drop-outs by kind; one mishap often counts as two kinds, so that they are not summed."""
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in xruns.items() if count) or "no drop-outs"


@contextmanager
def patience() -> Iterator[None]:
    """Says once that native code is being compiled, where that takes long."""
    told = _Compiling()
    compiling.listen(told)
    try:
        yield
    finally:
        told(False)
        compiling.listen(None)


class _Compiling:
    """Told when compiling begins and ends; what takes less than `PATIENCE_S` in all is not worth a word."""

    def __init__(self) -> None:
        self._left, self._since, self._timer = PATIENCE_S, 0.0, threading.Timer(0, lambda: None)

    def __call__(self, begins: bool) -> None:
        self._timer.cancel()
        if begins and self._left > 0:
            self._since = time.monotonic()
            self._timer = threading.Timer(self._left, self._say)
            self._timer.daemon = True
            self._timer.start()
        elif self._since:
            self._left, self._since = self._left - (time.monotonic() - self._since), 0.0

    def _say(self) -> None:
        self._left = 0.0
        console.print("compiling native code for this machine; this happens once, for up to half a minute")


def check_plot(path: Path | None, force: bool) -> None:
    """Raises RequestError, before any work, for a picture that could not be written."""
    if path is None:
        return
    from mlxopto import files

    if path.suffix.lower() != ".png":
        raise RequestError(f"--plot must name a .png file, got {path}")
    files.check_writable(path, force)


@contextmanager
def drawing(path: Path) -> Iterator[None]:
    """A picture that fails is a sentence; it is drawn last, so that no result goes with it."""
    try:
        yield
    except MlxoptoError:
        raise
    except Exception as error:
        raise WorkError(f"the picture {path} cannot be drawn: {error}") from error
    console.print(f"picture: {path}")


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
