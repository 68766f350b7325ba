"""Questions on the terminal that want a line for an answer."""

from __future__ import annotations

import sys

from mlxopto.errors import WorkError

from .display import console


def ask(question: str, unanswered: str) -> str:
    """The line that is typed, without spaces around it.

    Raises:
        WorkError: `unanswered`, where the input has ended.
    """
    console.print(f"{question}: ", end="")
    line = sys.stdin.readline()
    if not line:
        console.print()
        raise WorkError(unanswered)
    return line.strip()
