"""Who is told when native code is being compiled: apart from the compiler, so that telling waits for no import."""

from __future__ import annotations

from collections.abc import Callable

Listener = Callable[[bool], None]  # told True when compiling begins, False when it ends
_listener: Listener | None = None


def listen(listener: Listener | None) -> None:
    """From now on tells this listener, in place of another."""
    global _listener
    _listener = listener


def tell(begins: bool) -> None:
    """Compiling begins, or ends."""
    if _listener:
        _listener(begins)
