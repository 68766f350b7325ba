"""Keys from the terminal, one at a time, without waiting for Enter."""

from __future__ import annotations

import os
import re
import select
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# an escape sequence whole, or Alt with a key; a group for a bare arrow
_SEQUENCE = re.compile(r"\x1b(?:[\[O]([ABCD])|\[[^@-~]*[@-~]?|O.?|[^\x1b]?)", re.DOTALL)
_ARROWS = {"A": "up", "B": "down", "C": "right", "D": "left"}


@contextmanager
def keyboard() -> Iterator[bool]:
    """Hands keys over as they are pressed while the block runs; False where standard input is no terminal."""
    if sys.stdin is None or not sys.stdin.isatty():
        yield False
        return
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield True
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


@contextmanager
def stoppable(leave: Callable[[], None], enter: Callable[[], None]) -> Iterator[None]:
    """Ctrl-Z gives the terminal back as the shell knows it, and takes it again after fg: `leave` and `enter` do so with the
    screen.
    """
    before = termios.tcgetattr(sys.stdin)
    before[3] |= termios.ECHO | termios.ICANON

    def stop(*_: object) -> None:
        leave()
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)  # here the process stops, and goes on
        signal.signal(signal.SIGTSTP, stop)
        tty.setcbreak(sys.stdin)
        enter()

    other = signal.signal(signal.SIGTSTP, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTSTP, other)


def pressed(seconds: float) -> list[str]:
    """Names of the keys pressed within so many seconds: characters, or up, down, left, right."""
    descriptor = sys.stdin.fileno()
    if not select.select([descriptor], [], [], seconds)[0]:
        return []
    return parse(os.read(descriptor, 256).decode(errors="ignore"))


def parse(text: str) -> list[str]:
    """What a terminal sends, as names of keys."""
    keys, at = [], 0
    while at < len(text):
        if sequence := _SEQUENCE.match(text, at):
            keys += [_ARROWS[sequence[1]]] if sequence[1] in _ARROWS else []
            at = sequence.end()
        else:
            keys += [text[at].lower()] if text[at].isprintable() else []
            at += 1
    return keys
