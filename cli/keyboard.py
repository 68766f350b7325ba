"""Keys from the terminal, one at a time, without waiting for Enter."""

from __future__ import annotations

import os
import re
import select
import signal
import sys
import termios
import tty
from collections.abc import Iterator
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
    resumed = signal.signal(signal.SIGCONT, lambda *_: tty.setcbreak(sys.stdin))  # after Ctrl-Z and fg
    try:
        yield True
    finally:
        signal.signal(signal.SIGCONT, resumed)
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


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
