"""Which kind of data a folder holds, and the source that reads it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mlxopto.data.captures import CaptureSource
from mlxopto.data.pickles import TRAIN, PickleSource
from mlxopto.data.signaltrain import SignalTrainSource, is_signaltrain
from mlxopto.data.takes import Source

KINDS: dict[str, Callable[[Path, int], Source]] = {
    "captures": CaptureSource,
    "pickles": PickleSource,
    "signaltrain": SignalTrainSource,
}


def kind(folder: Path) -> str:
    """captures, pickles or signaltrain; captures where nothing else fits, so that their errors say what is missing."""
    if is_signaltrain(folder):
        return "signaltrain"
    return "pickles" if any(folder.glob(f"*{TRAIN}")) else "captures"


def open_folder(folder: Path, seed: int) -> Source:
    """The training data of a folder.

    Raises:
        RequestError: whatever cannot be used, by the rules of its kind.
    """
    source = KINDS[kind(folder)](folder, seed)
    if isinstance(source, SignalTrainSource):
        source.check()  # the others have read, and judged, everything already
    return source
