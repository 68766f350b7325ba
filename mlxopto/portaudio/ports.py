"""Audio devices: PortAudio itself, what it lists, and which of them is meant."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import ModuleType

from mlxopto.errors import RequestError, WorkError


@dataclass(frozen=True)
class Port:
    """An audio device as PortAudio lists it; default_rate in Hz, latencies in seconds."""

    index: int
    name: str
    host: str
    inputs: int
    outputs: int
    default_rate: float
    input_latency: float
    output_latency: float
    default_input: bool
    default_output: bool


def portaudio() -> ModuleType:
    """The module sounddevice, which needs the PortAudio library.

    Raises:
        WorkError: it is not installed; says how to.
    """
    try:
        import sounddevice
    except OSError as error:
        how = "install the package libportaudio2" if sys.platform == "linux" else "reinstall sounddevice"
        raise WorkError(f"the audio library PortAudio cannot be loaded; {how}") from error
    return sounddevice


def ports() -> list[Port]:
    """All devices.

    Raises:
        WorkError: no PortAudio.
    """
    sd = portaudio()
    hosts = sd.query_hostapis()
    default_input, default_output = sd.default.device
    return [
        Port(
            index=device["index"],
            name=device["name"],
            host=hosts[device["hostapi"]]["name"],
            inputs=device["max_input_channels"],
            outputs=device["max_output_channels"],
            default_rate=device["default_samplerate"],
            input_latency=device["default_low_input_latency"],
            output_latency=device["default_low_output_latency"],
            default_input=device["index"] == default_input,
            default_output=device["index"] == default_output,
        )
        for device in sd.query_devices()
    ]


def find(available: list[Port], wanted: str | None, kind: str) -> Port:
    """The device of an index or of a part of a name that only one device has; the default without either.

    Args:
        kind: input or output; only devices with such channels count.
    Raises:
        RequestError: none, or several, which the message lists.
    """
    able = [port for port in available if (port.inputs if kind == "input" else port.outputs) > 0]
    if not able:
        raise RequestError(f"there is no audio {kind} device")
    if wanted is None:
        chosen = [port for port in able if (port.default_input if kind == "input" else port.default_output)]
        if not chosen:
            raise RequestError(f"there is no default audio {kind} device; choose with --{kind} one of {_listed(able)}")
        return chosen[0]
    exact = [port for port in able if str(port.index) == wanted or port.name == wanted]
    matches = exact or [port for port in able if wanted.lower() in port.name.lower()]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise RequestError(f"--{kind} {wanted!r} is not one device but {len(matches)}: {_listed(matches)}")
    raise RequestError(f"--{kind} {wanted!r} is no audio {kind} device; there are {_listed(able)}")


def _listed(some: list[Port]) -> str:
    return ", ".join(f"{port.index} {port.name} ({port.host})" for port in some)
