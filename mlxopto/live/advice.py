"""What to tell somebody whose devices will not do well, or are not heard."""

from __future__ import annotations

import sys

from mlxopto.portaudio.ports import Port

SILENT_S = 3.0  # of an input that is exactly zero: a converter has noise, so no converter is heard
_FEWEST_HZ = 32000  # below, a device has left its usual rate


def beforehand(source: Port | None, output: Port, sample_rate: int) -> list[str]:
    """A sentence for each thing about the devices that will be heard.

    Args:
        source: the input; None where a file is played. sample_rate: Hz.
    """
    found = []
    if source and (source.name, source.host) != (output.name, output.host):
        together = "an aggregate device of Audio MIDI Setup joins them" if sys.platform == "darwin" else "better use one device"
        found.append(
            f"{source.name} and {output.name} have a clock each, which drift apart: a sample will be lost or come twice "
            f"now and then; {together}"
        )
    if sample_rate < _FEWEST_HZ:
        found.append(
            f"at {sample_rate} Hz nothing above {sample_rate / 2000:g} kHz is heard; a Bluetooth headset falls so low while "
            "its microphone is used, another --input lets it be"
        )
    return found


def unheard(source: Port | None, silent_s: float) -> str | None:
    """What to do about an input that has been exactly zero for so many seconds; None before SILENT_S, and for a played file."""
    if source is None or silent_s < SILENT_S:
        return None
    if sys.platform == "darwin":
        return (
            f"nothing comes from {source.name}, not even noise: allow this terminal to use the microphone in System Settings, "
            "Privacy & Security, Microphone, and start again"
        )
    return f"nothing comes from {source.name}, not even noise: is it connected, and the right --input?"
