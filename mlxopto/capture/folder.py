"""A captures folder while it is recorded: what is planned, what is kept; whole at any moment, so that a crash loses one take at most.

Beside `device.json` and `manifest.json`, which training reads, it holds `capture.json`: sample rate, plan and set-ups. A take
counts as kept once the manifest names it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from mlxopto import audio, files
from mlxopto.capture import signals
from mlxopto.capture.checks import Checked, Setup
from mlxopto.capture.plan import Take
from mlxopto.controls import Panel
from mlxopto.data.captures import DEVICE, MANIFEST, load_panel, panel_document, read_json
from mlxopto.errors import RequestError, WorkError

PLAN = "capture.json"
FORMAT = 1


class CaptureFolder:
    """The folder of a session, begun with `create` or gone on with by `CaptureFolder(folder)`.

    Raises:
        RequestError: no such folder, or files in it that cannot be read.
    """

    def __init__(self, folder: Path):
        if not (folder / PLAN).is_file():
            raise RequestError(f"{folder} holds no capture session to go on with: there is no {PLAN}")
        self.folder = folder
        self.name, self.panel, self.dbu_at_full_scale = load_panel(folder / DEVICE)
        self._document = read_json(folder / PLAN)
        try:
            self._read_plan()
        except (KeyError, TypeError, ValueError, RequestError) as error:
            raise RequestError(f"{folder / PLAN} is not the plan of a capture session of this panel: {error}") from error
        self._entries = self._read_manifest()

    def _read_plan(self) -> None:
        if self._document["format"] != FORMAT:
            raise ValueError(f"format {self._document['format']!r}, {FORMAT} is known")
        self.sample_rate = int(self._document["sample_rate"])
        self._setups = [Setup(**setup) for setup in self._document["setups"]]
        self.takes = [
            Take(self.panel.setting(take["setting"]), take["split"], take["seconds"], take["seed"], take["again"])
            for take in self._document["takes"]
        ]

    def _read_manifest(self) -> list[dict[str, Any]]:
        path = self.folder / MANIFEST
        entries = read_json(path) if path.exists() else []
        if not isinstance(entries, list) or not all(map(self._is_entry, entries)):
            raise RequestError(
                f"{path} is not the manifest of a capture session: its entries must name their takes and set-ups"
            )
        return entries

    def _is_entry(self, entry: Any) -> bool:
        if not isinstance(entry, dict):
            return False
        return entry.get("take") in range(len(self.takes)) and entry.get("setup") in range(len(self._setups))

    @staticmethod
    def create(folder: Path, unit: tuple[str, Panel, float | None], sample_rate: int, takes: Sequence[Take]) -> CaptureFolder:
        """Begins a session in a new or empty folder.

        Args:
            unit: name, panel and dBu at full scale, as `load_panel` gives them.
        Raises:
            RequestError: the folder holds something.
            WorkError: the system refuses.
        """
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            hint = "go on with --resume, or" if (folder / PLAN).exists() else "please"
            raise RequestError(f"{folder} holds something already; {hint} give another folder")
        try:
            for part in ("in", "out"):
                (folder / part).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WorkError(f"{folder} cannot be made: {error.strerror}") from error
        _write(folder / DEVICE, panel_document(*unit))
        _write(
            folder / PLAN,
            {"format": FORMAT, "sample_rate": sample_rate, "setups": [], "takes": [asdict(take) for take in takes]},
        )
        return CaptureFolder(folder)

    @property
    def kept(self) -> set[int]:
        """Numbers of the takes that are recorded."""
        kept = {entry["take"] for entry in self._entries}
        if self.repeatability_esr is not None:
            kept |= {number for number, take in enumerate(self.takes) if take.again}
        return kept

    @property
    def pending(self) -> list[int]:
        """Numbers of the takes that are not, in order."""
        kept = self.kept
        return [number for number in range(len(self.takes)) if number not in kept]

    @property
    def repeatability_esr(self) -> float | None:
        """ESR between two recordings at one setting, once it is known."""
        return self._document.get("repeatability_esr")

    @property
    def first_setup(self) -> Setup | None:
        """The set-up that the first of the kept takes had, which later ones follow; None while none is kept."""
        return self._setups[min(entry["setup"] for entry in self._entries)] if self._entries else None

    @property
    def last_setup(self) -> Setup | None:
        """The set-up of the latest takes."""
        return self._setups[-1] if self._setups else None

    def signal(self, number: int) -> np.ndarray:
        """What is played for a take, float32 (samples,)."""
        take = self.takes[number]
        return signals.take(take.seconds, self.sample_rate, take.seed)

    def recorded(self, number: int) -> np.ndarray:
        """A take that is kept, float32 (samples,)."""
        return audio.read(self._path("out", number))[0][:, 0]

    def keep(self, number: int, checked: Checked) -> None:
        """Writes a take, then names it in the manifest.

        Raises:
            WorkError: the disk is full or the folder closed.
        """
        take = self.takes[number]
        for part, samples in (("in", checked.x), ("out", checked.y)):
            audio.write(self._path(part, number), samples, self.sample_rate, "FLOAT")
        entry = {
            "take": number,
            "setup": len(self._setups) - 1,
            "input": f"in/{number:03d}.wav",
            "target": f"out/{number:03d}.wav",
            "controls": self.panel.in_units(take.setting),
            "split": take.split,
            "peak_dbfs": round(checked.peak_dbfs, 2),
            "delay": round(checked.delay, 3),
            "recorded": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        entries = [other for other in self._entries if other["take"] != number] + [entry]
        _write(self.folder / MANIFEST, sorted(entries, key=lambda entry: entry["take"]))
        self._entries = entries

    def set_up(self, setup: Setup) -> None:
        """Notes a set-up, which takes will be recorded with."""
        self._setups.append(setup)
        self._document["setups"].append(asdict(setup))
        _write(self.folder / PLAN, self._document)

    def repeats(self, esr: float) -> None:
        """Notes the ESR between two recordings at one setting."""
        self._document["repeatability_esr"] = esr
        _write(self.folder / PLAN, self._document)

    def add(self, takes: Sequence[Take]) -> None:
        """Plans further takes."""
        self.takes += takes
        self._document["takes"] += [asdict(take) for take in takes]
        _write(self.folder / PLAN, self._document)

    def _path(self, part: str, number: int) -> Path:
        return self.folder / part / f"{number:03d}.wav"


def _write(path: Path, document: Any) -> None:
    with files.replacing(path) as temporary:
        temporary.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
