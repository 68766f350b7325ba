"""Control changes from a MIDI port, through mido; needs the extra `midi`."""

from __future__ import annotations

from collections import deque
from types import TracebackType

from mlxopto.errors import RequestError, WorkError


class MidiInput:
    """An open MIDI input; use in a `with` block.

    Args:
        wanted: a part of the port's name that only one port has.
    Raises:
        RequestError: the extra is not installed; no port, or several, of that name.
        WorkError: the system refuses the port.
    """

    def __init__(self, wanted: str):
        try:
            import mido
        except ImportError as error:
            raise RequestError("--midi needs the extra midi; install it with pip install 'mlxopto[midi]'") from error
        try:
            names = list(dict.fromkeys(mido.get_input_names()))
        except Exception as error:  # rtmidi has its own exceptions for each system
            raise WorkError(f"MIDI is not available here: {error}") from error
        matches = [name for name in names if wanted == name] or [name for name in names if wanted.lower() in name.lower()]
        if len(matches) != 1:
            listed = ", ".join(matches or names) or "none"
            raise RequestError(
                f"--midi {wanted!r} must be part of one MIDI input's name; "
                f"{'these match' if matches else 'there are'}: {listed}"
            )
        self.name = matches[0]
        self._heard: deque[tuple[int, int]] = deque(maxlen=1024)
        try:
            self._port = mido.open_input(self.name, callback=self._hear)
        except Exception as error:
            raise WorkError(f"the MIDI input {self.name} cannot be opened: {error}") from error

    def _hear(self, message: object) -> None:
        if getattr(message, "type", "") == "control_change":
            self._heard.append((message.control, message.value))  # type: ignore[attr-defined]

    def changes(self) -> list[tuple[int, int]]:
        """(controller, value), each 0 to 127, since the last call."""
        return [self._heard.popleft() for _ in range(len(self._heard))]

    def __enter__(self) -> MidiInput:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._port.close()
