"""A PortAudio stream whose callback is native code: opened, and ended in a way that a lost device cannot hang."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types

from mlxopto.errors import RequestError, WorkError
from mlxopto.portaudio.ports import Port, portaudio

# of PortAudio's callback: input, output, samples, times, flags, user data; what it answers
SIGNATURE = types.int32(
    types.CPointer(types.float32), types.CPointer(types.float32), types.uint64, types.CPointer(types.float64), types.uint64,
    types.CPointer(types.int64),
)  # fmt: skip
CONTINUE, COMPLETE = 0, 1
XRUNS = ("input_underflow", "input_overflow", "output_underflow", "output_overflow")  # the bits of its flags, the lowest first
STOP_S = 0.7  # how long PortAudio may take to stop
_ABANDONED: list[object] = []  # what a callback that may still be called needs
_MICROPHONE = "allow the microphone for your terminal in System Settings, Privacy & Security, Microphone"


class DeviceLostError(WorkError):
    """The device went away while the stream ran."""


def check_rate(rate: int, input_port: Port | None, output_port: Port, channels: tuple[int, int]) -> None:
    """Raises RequestError: devices that do not run at that rate in Hz with so many channels in and out."""
    sd = portaudio()
    try:
        sd.check_output_settings(output_port.index, channels[1], "float32", samplerate=rate)
        if input_port:
            sd.check_input_settings(input_port.index, channels[0], "float32", samplerate=rate)
    except sd.PortAudioError as error:
        raise RequestError(f"{output_port.name} does not run at {rate} Hz with these channels: {reason(error)}") from error


def open_stream(
    input_port: Port | None,
    output_port: Port,
    channels: tuple[int, int],
    rate: int,
    block: int,
    latency: str | float,
    callback: Any,
    table: np.ndarray,
) -> Any:
    """A stream that is not yet running: duplex, or without an input device for output alone.

    Args:
        channels: in and out. rate: Hz. block: samples, 0 for the device's own. latency: low, high or seconds.
        callback: a numba cfunc of PortAudio's signature. table: its user data, int64; keep it as long as the stream.
    Raises:
        WorkError: the system refuses.
    """
    sd = portaudio()
    duplex = input_port is not None
    try:
        return sd._StreamBase(
            "duplex" if duplex else "output",
            samplerate=rate,
            blocksize=block,
            device=(input_port.index, output_port.index) if input_port else output_port.index,
            channels=channels if duplex else channels[1],
            dtype="float32",
            latency=latency,
            callback=sd._ffi.cast("PaStreamCallback*", callback.address),
            userdata=sd._ffi.cast("void*", table.ctypes.data),
        )
    except sd.PortAudioError as error:
        raise WorkError(f"the audio stream cannot be opened: {reason(error)}") from error


def start(stream: Any) -> None:
    """Raises WorkError: the system refuses."""
    try:
        stream.start()
    except portaudio().PortAudioError as error:
        raise WorkError(f"the audio stream does not start: {reason(error)}") from error


def close(stream: Any, lost: bool, owner: object) -> bool:
    """Ends a stream; one whose device is gone is left alone, with what its owner holds, because PortAudio would wait for it for
    ever.

    Returns whether it ended in order.
    """
    if not lost and _within(STOP_S, lambda: stream.close()):
        return True
    _ABANDONED.append(owner)
    atexit.unregister(portaudio()._exit_handler)
    return False


def reason(error: Exception) -> str:
    """What PortAudio says, and on macOS what to do where the microphone is denied."""
    text = str(error.args[0] if error.args else error).strip().rstrip(".")
    return f"{text}; {_MICROPHONE}" if "denied" in text.lower() or "unauthorized" in text.lower() else text


def _within(seconds: float, work: Callable[[], object]) -> bool:
    """Does `work` on a thread; False if it is not done in time, and then goes on without it."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    return not thread.is_alive()
