"""What can be measured: a model at a setting, a virtual device at a setting, a unit that was recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from mlxopto import compressor, devices, weights
from mlxopto.controls import Panel, Setting
from mlxopto.data.captures import DEVICE, MANIFEST, MEASURED, Capture, load_manifest, load_panel, read_mono
from mlxopto.errors import RequestError
from mlxopto.metrics.spectra import correlation
from mlxopto.response.figures import Response, respond
from mlxopto.response.passage import passage

RATE = 48000  # of virtual devices


@dataclass(frozen=True)
class Subject:
    """Something to be measured. `setting`: that of the recording, where there is one; `measure` takes another elsewhere."""

    name: str
    panel: Panel
    setting: Setting | None
    measure: Callable[[Setting], Response]
    dbu_at_full_scale: float | None


def find(name: str) -> Subject:
    """A shipped model, a weights file, a run folder, a captures folder with a recording of the passage, or a virtual device.

    Raises:
        RequestError: none of these, or a captures folder without such a recording.
    """
    if (Path(name) / MANIFEST).is_file():
        return _recorded(Path(name))
    if name in devices.DEVICES and name not in weights.shipped():
        return device(name)
    return _model(name)


def device(name: str) -> Subject:
    """A virtual device. Raises RequestError if there is none of that name."""
    found = devices.device(name)

    def measure(setting: Setting) -> Response:
        played = passage(RATE)
        return respond(played, found.process(played.x, RATE, setting))

    return Subject(found.title, found.panel, None, measure, found.dbu_at_full_scale)


def _model(name: str) -> Subject:
    model = compressor.load(name)

    def measure(setting: Setting) -> Response:
        played = passage(model.sample_rate)
        return respond(played, compressor.Stream(model, 1, setting=setting)(played.x))

    return Subject(model.name, model.panel, None, measure, model.card.dbu_at_full_scale)


def _recorded(folder: Path) -> Subject:
    unit, panel, dbu = load_panel(folder / DEVICE)
    takes = [capture for capture in load_manifest(folder / MANIFEST, panel) if capture.split == MEASURED]
    if not takes:
        raise RequestError(f"{folder} has no recording of the passage to measure by; mlxopto capture --measure makes one")
    return Subject(unit, panel, takes[0].setting, partial(_response_of, takes[0]), dbu)


def _response_of(capture: Capture, _setting: Setting) -> Response:
    """Of a recording, wherever in it the passage begins."""
    (x, rate), (y, target_rate) = read_mono(capture.input), read_mono(capture.target)
    if rate != target_rate:
        raise RequestError(f"{capture.target} has {target_rate} Hz, its input {rate}")
    played = passage(rate)
    if len(x) < len(played.x) or len(y) < len(x):
        raise RequestError(f"{capture.target} is too short to hold the passage, which lasts {len(played.x) / rate:.0f} s")
    start = int(np.argmax(correlation(x, played.x)))
    part = slice(start, start + len(played.x))
    if not np.allclose(x[part], played.x, atol=1e-3):
        raise RequestError(f"{capture.input} does not hold the passage that this version measures by; record it again")
    return respond(played, y[part])
