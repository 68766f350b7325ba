"""An audio interface with a unit between its output and its input: plays a signal and records what comes back."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from mlxopto.capture import transfer
from mlxopto.errors import RequestError, WorkError
from mlxopto.portaudio import stream
from mlxopto.portaudio.ports import find, ports
from mlxopto.portaudio.stream import DeviceLostError

_STALLED_S = 2.0  # a stream that is not called for so long has lost its device
_POLL_S = 0.01


@dataclass(frozen=True)
class Recording:
    """What came back, float32 (samples,), in the samples in which the signal was played; drop-outs that the sound system
    reported.
    """

    y: np.ndarray
    xruns: dict[str, int]


class Loop(Protocol):
    """Something that plays and records at the same time."""

    sample_rate: int

    def play(self, x: np.ndarray) -> Recording:
        """Plays float32 (samples,) and gives as many samples back.

        Raises:
            DeviceLostError: the device went away.
        """
        ...


class Interface:
    """One output and one input channel of an audio interface, over one stream that stays open, so that its delay stays the
    same.

    Args:
        input, output: a device's index or a part of its name; the default devices without.
        rate: Hz. input_channel, output_channel: counted from 1. block: samples, 0 for the device's own.
    Raises:
        RequestError: devices, channels or a rate that cannot be had.
        WorkError: no PortAudio, or the system refuses the stream.
    """

    def __init__(
        self,
        input: str | None,
        output: str | None,
        rate: int,
        input_channel: int = 1,
        output_channel: int = 1,
        block: int = 0,
    ):
        available = ports()
        self._output, self._input = find(available, output, "output"), find(available, input, "input")
        for port, have, channel, kind in (
            (self._input, self._input.inputs, input_channel, "input"),
            (self._output, self._output.outputs, output_channel, "output"),
        ):
            if not 1 <= channel <= have:
                raise RequestError(f"--{kind}-channel must be 1 to {have}, which {port.name} has, got {channel}")
        self.sample_rate, self._patience = rate, max(_STALLED_S, 3 * block / rate)
        stream.check_rate(self.sample_rate, self._input, self._output, (input_channel, output_channel))
        self._table = np.zeros(transfer.TABLE_SIZE, np.int64)
        self._table[[transfer.OUTPUTS, transfer.OUTPUT]] = output_channel, output_channel - 1
        self._table[[transfer.INPUTS, transfer.INPUT]] = input_channel, input_channel - 1
        self._signals: list[np.ndarray] = []
        self._lost = False
        self._stream: Any = stream.open_stream(
            self._input,
            self._output,
            (input_channel, output_channel),
            self.sample_rate,
            block,
            "high",  # nobody waits for it, and it drops out less
            transfer.callback,
            self._table,
        )

    def __enter__(self) -> Interface:
        try:
            stream.start(self._stream)
        except WorkError:
            self._stream.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._table[transfer.RUNNING] = 0
        self._lost = not stream.close(self._stream, self._lost, self)

    @property
    def description(self) -> str:
        """Both devices by name."""
        return (
            f"{self._output.name}, output {self._table[transfer.OUTPUTS]}, to {self._input.name}, input "
            f"{self._table[transfer.INPUTS]}"
        )

    def play(self, x: np.ndarray) -> Recording:
        """As `Loop.play` says."""
        table = self._table
        play, record = np.ascontiguousarray(x, np.float32), np.zeros(len(x), np.float32)
        self._signals = [*self._signals[-2:], play, record]  # those before, too: an interrupted call may not be over
        table[[transfer.PLAY, transfer.RECORD]] = play.ctypes.data, record.ctypes.data
        table[[transfer.LENGTH, transfer.DONE]] = len(x), 0
        table[transfer.INPUT_UNDERFLOW :] = 0
        transfer.begin(table)
        try:
            self._wait()
        finally:
            transfer.end(table)
        counts = table[transfer.INPUT_UNDERFLOW :].tolist()
        return Recording(record, {name: count for name, count in zip(stream.XRUNS, counts, strict=True) if count})

    def _wait(self) -> None:
        calls, since = -1, time.monotonic()
        while self._table[transfer.RUNNING]:
            time.sleep(_POLL_S)
            if self._table[transfer.CALLS] != calls:
                calls, since = int(self._table[transfer.CALLS]), time.monotonic()
            if not self._stream.active or time.monotonic() - since > self._patience:
                self._lost = True
                raise DeviceLostError(f"the audio device {self._output.name} went away while it played")
