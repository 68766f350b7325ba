"""A captures folder while it is recorded: what is planned, what is kept; whole at any moment, so that a crash loses one take at
most.

Beside `device.json` and `manifest.json`, which training reads, it holds `capture.json`: sample rate, plan and set-ups. A take
counts as kept once the manifest names it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from mlxopto import audio, files
from mlxopto.capture import signals
from mlxopto.capture.checks import Checked, Setup
from mlxopto.capture.plan import PlannedTake
from mlxopto.controls import Panel
from mlxopto.data.captures import DEVICE, MANIFEST, MEASURED, load_panel, panel_document
from mlxopto.errors import RequestError, WorkError
from mlxopto.formats import documents
from mlxopto.response.passage import passage

PLAN = "capture.json"
PARTS = ("in", "out")  # folders of recordings
FORMAT = 1
RATES = (1000, 768_001)  # Hz
MOST_TAKES, LONGEST_TAKE_S = 100_000, 3600.0
SPLITS = ("train", "val", "seen", "unseen", MEASURED)


@dataclass
class _Plan:
    """What capture.json holds."""

    format: int
    sample_rate: int
    takes: list[PlannedTake]
    setups: list[Setup]
    repeatability_esr: float | None = None


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
        self._plan = self._read_plan()
        self._entries = self._read_manifest()

    def _read_plan(self) -> _Plan:
        path = self.folder / PLAN
        try:
            plan: _Plan = documents.read_json(path, _Plan)
        except RequestError as error:
            raise RequestError(f"{path} is not the plan of a capture session: {error}") from error
        if plan.format != FORMAT or plan.sample_rate not in range(*RATES) or len(plan.takes) > MOST_TAKES:
            raise RequestError(
                f"{path} is not the plan of a capture session: format {plan.format}, {plan.sample_rate} Hz, "
                f"{len(plan.takes)} takes"
            )
        for number, take in enumerate(plan.takes, 1):
            where = f"{path}, take {number}"
            if not (0 < take.seconds <= LONGEST_TAKE_S and 0 <= take.seed < 1 << 63 and take.split in SPLITS):
                raise RequestError(f"{where} has a length, seed or split that no take has")
            try:
                self.panel.setting(take.setting)
            except RequestError as error:
                raise RequestError(f"{where} is of another panel: {error}") from error
            if take.setting.keys() != {control.name for control in self.panel.controls}:
                raise RequestError(f"{where} is of another panel: it sets {', '.join(take.setting) or 'nothing'}")
        return plan

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return self._plan.sample_rate

    @property
    def takes(self) -> list[PlannedTake]:
        """What is planned."""
        return self._plan.takes

    def _read_manifest(self) -> list[dict[str, Any]]:
        path = self.folder / MANIFEST
        entries: Any = documents.read_json(path, Any) if path.exists() else []
        if not isinstance(entries, list) or not all(map(self._is_entry, entries)):
            raise RequestError(
                f"{path} is not the manifest of a capture session: its entries must name their takes and set-ups"
            )
        return entries

    def _is_entry(self, entry: Any) -> bool:
        if not isinstance(entry, dict):
            return False
        take, setup = entry.get("take"), entry.get("setup")
        return type(take) is type(setup) is int and 0 <= take < len(self.takes) and 0 <= setup < len(self._plan.setups)

    @staticmethod
    def create(
        folder: Path, unit: tuple[str, Panel, float | None], sample_rate: int, takes: Sequence[PlannedTake]
    ) -> CaptureFolder:
        """Begins a session in a folder that holds nothing yet, but for what one that was killed at its start left.

        Args:
            unit: name, panel and dBu at full scale, as `load_panel` gives them.
        Raises:
            RequestError: the folder holds something.
            WorkError: the system refuses.
        """
        if not _is_unused(folder):
            hint = "go on with --resume, or" if (folder / PLAN).exists() else "please"
            raise RequestError(f"{folder} holds something already; {hint} give another folder")
        try:
            for part in PARTS:
                (folder / part).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WorkError(f"{folder} cannot be made: {error.strerror}") from error
        _write(folder / DEVICE, panel_document(*unit))
        _write(folder / PLAN, asdict(_Plan(FORMAT, sample_rate, list(takes), [])))
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
        return self._plan.repeatability_esr

    @property
    def first_setup(self) -> Setup | None:
        """The set-up that the first of the kept takes had, which later ones follow; None while none is kept."""
        return self._plan.setups[min(entry["setup"] for entry in self._entries)] if self._entries else None

    @property
    def last_setup(self) -> Setup | None:
        """The set-up of the latest takes."""
        return self._plan.setups[-1] if self._plan.setups else None

    def signal(self, number: int) -> np.ndarray:
        """What is played for a take, float32 (samples,)."""
        take = self.takes[number]
        if take.split == MEASURED:
            return signals.framed(passage(self.sample_rate).x, self.sample_rate)
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
            "setup": len(self._plan.setups) - 1,
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
        self._plan.setups.append(setup)
        self._write_plan()

    def repeats(self, esr: float) -> None:
        """Notes the ESR between two recordings at one setting."""
        self._plan.repeatability_esr = float(esr)
        self._write_plan()

    def add(self, takes: Sequence[PlannedTake]) -> None:
        """Plans further takes."""
        self._plan.takes += takes
        self._write_plan()

    def _write_plan(self) -> None:
        _write(self.folder / PLAN, asdict(self._plan))

    def _path(self, part: str, number: int) -> Path:
        return self.folder / part / f"{number:03d}.wav"


def _is_unused(folder: Path) -> bool:
    """Whether nothing is there yet, or only what `create` makes before the plan."""
    if files.is_unused(folder):
        return True
    if not folder.is_dir() or (folder / PLAN).exists():
        return False
    inside = {path.name for path in folder.iterdir()} - {DEVICE, *PARTS}
    return not inside and all(files.is_unused(folder / part) for part in PARTS)


def _write(path: Path, document: Any) -> None:
    files.write_text(path, json.dumps(document, indent=1) + "\n")
