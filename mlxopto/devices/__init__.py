"""Virtual hardware: white-box simulations that make training data anywhere.

Each device is a panel of controls and a function from audio and a setting to audio, at rest when it starts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from mlxopto.controls import Panel, Setting
from mlxopto.devices import cl1b, digital, fet, la2a, vca
from mlxopto.errors import RequestError


@dataclass(frozen=True)
class Device:
    """A virtual unit.

    `process(x, sample_rate, setting)` takes and gives float32 (samples,); full scale +-1.0 is a sine of `dbu_at_full_scale`
    dBu.
    """

    name: str
    title: str
    panel: Panel
    process: Callable[[np.ndarray, int, Setting], np.ndarray]
    dbu_at_full_scale: float


DEVICES: Mapping[str, Device] = {
    "cl1b": Device("cl1b", "virtual Tube-Tech CL 1B", cl1b.PANEL, cl1b.process, cl1b.DBU_AT_FULL_SCALE),
    "la2a": Device("la2a", "virtual Teletronix LA-2A", la2a.PANEL, la2a.process, la2a.DBU_AT_FULL_SCALE),
    "fet": Device("fet", "virtual FET limiter", fet.PANEL, fet.process, fet.DBU_AT_FULL_SCALE),
    "vca": Device("vca", "virtual VCA bus compressor", vca.PANEL, vca.process, vca.DBU_AT_FULL_SCALE),
    "digital": Device("digital", "virtual digital compressor", digital.PANEL, digital.process, digital.DBU_AT_FULL_SCALE),
}


def device(name: str) -> Device:
    """The virtual device of that name.

    Raises:
        RequestError: no such device.
    """
    if name not in DEVICES:
        raise RequestError(f"there is no virtual device {name!r}; the devices are {', '.join(DEVICES)}")
    return DEVICES[name]
