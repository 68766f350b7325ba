"""The paper's data sets: pickles NAME_train.pickle and NAME_test.pickle.

Each is a dict of x (1 or n, samples), y (n, samples) and z (n, controls), at 48 kHz.

They are read by `mlxopto.data.unpickling`, which runs nothing of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlxopto.controls import Control, Panel
from mlxopto.data.captures import hold_out, load_panel
from mlxopto.data.judgement import Report, judge
from mlxopto.data.takes import Take, settings_of, shuffled, split_by_known_settings
from mlxopto.data.unpickling import load
from mlxopto.errors import RequestError, UnusableError

SAMPLE_RATE = 48000  # of all the sets that the authors published
TRAIN, TEST = "_train.pickle", "_test.pickle"


class PickleSource:
    """Training data from a folder with one pair of the paper's pickles.

    A device.json beside them names the columns of z; without one they are control_1 and so on, over the range that they have.
    Test settings that were trained on are "seen". Every twelfth training setting (at least one) is held out for validation.

    Args:
        folder: where the pickles are. seed: of the order of training.
    Raises:
        RequestError: not one pair, or arrays that do not fit; each problem by its file.
    """

    sample_rate = SAMPLE_RATE

    def __init__(self, folder: Path, seed: int):
        self.seed = seed
        train, test = _pair(folder)
        rows = {path: _rows(path) for path in (train, test)}
        self.name, self.panel, self.dbu_at_full_scale = _panel(folder, train, list(rows.values()))
        self._train, judged = self._takes(train, rows[train])
        tests, more = self._takes(test, rows[test])
        if problems := [problem for report in judged + more for problem in report.problems]:
            raise UnusableError("these recordings", problems)
        self.remarks = tuple(remark for report in judged + more for remark in report.remarks)
        self.test = split_by_known_settings(tests, settings_of(self._train))
        self._train, self.validation = hold_out(self._train, seed)
        seconds = sum(len(take.x) for take in self._train) / SAMPLE_RATE
        self.training_settings = len(settings_of(self._train))
        self.description = f"the paper's {self.name}, {self.training_settings} settings, {seconds:.0f} s"

    def sequence(self, index: int) -> Take:
        """In a new random order each time round."""
        return shuffled(self._train, self.seed, index)

    def _takes(self, path: Path, rows: _Rows) -> tuple[list[Take], list[Report]]:
        takes, reports = [], []
        for (where, x, y), z in zip(rows.recordings(path), rows.z, strict=True):
            setting = self.panel.setting(dict(zip((c.name for c in self.panel.controls), map(float, z), strict=True)))
            reports.append(judge(where, where, x, y, SAMPLE_RATE))
            takes.append(Take(x, y, setting, str(where), str(where)))
        return takes, reports


@dataclass(frozen=True)
class _Rows:
    x: np.ndarray  # (1 or n, samples)
    y: np.ndarray  # (n, samples)
    z: np.ndarray  # (n, controls)

    def recordings(self, path: Path) -> Iterator[tuple[Path, np.ndarray, np.ndarray]]:
        """Where each row of a file is, x and y, float32 (samples,)."""
        for number, y in enumerate(self.y):
            x = self.x[number if len(self.x) > 1 else 0]
            yield Path(f"{path}, row {number + 1}"), x.astype(np.float32), y.astype(np.float32)


def reports(folder: Path) -> Iterator[Report]:
    """The judgement of every row of both pickles.

    Raises:
        RequestError: as `PickleSource`, but for what is wrong with a recording itself.
    """
    for path in _pair(folder):
        for where, x, y in _rows(path).recordings(path):
            yield judge(where, where, x, y, SAMPLE_RATE)


def _pair(folder: Path) -> tuple[Path, Path]:
    trains = sorted(folder.glob(f"*{TRAIN}"))
    if len(trains) != 1:
        raise RequestError(f"{folder} must hold one file *{TRAIN}, found {len(trains)}")
    test = trains[0].with_name(trains[0].name.removesuffix(TRAIN) + TEST)
    if not test.is_file():
        raise RequestError(f"{folder} lacks {test.name} beside {trains[0].name}")
    return trains[0], test


def _rows(path: Path) -> _Rows:
    document = load(path)
    if not isinstance(document, dict) or any(not isinstance(document.get(key), np.ndarray) for key in "xyz"):
        raise RequestError(f"{path} must hold a dict with the arrays x, y and z")
    x, y, z = (np.atleast_2d(document[key]) for key in "xyz")
    for key, array in zip("xyz", (x, y, z), strict=True):
        if array.ndim != 2 or not array.size or not np.isfinite(array).all():
            raise RequestError(f"{path}: {key} must be rows of finite numbers, got the shape {array.shape}")
    if len(x) not in (1, len(y)) or x.shape[1] != y.shape[1] or len(z) != len(y):
        raise RequestError(f"{path}: x {x.shape}, y {y.shape} and z {z.shape} do not fit one another")
    return _Rows(x, y, z)


def _panel(folder: Path, train: Path, rows: list[_Rows]) -> tuple[str, Panel, float | None]:
    columns = rows[0].z.shape[1]
    if any(part.z.shape[1] != columns for part in rows):
        raise RequestError(f"{folder}: train and test have different numbers of controls")
    if (folder / "device.json").is_file():
        name, panel, level = load_panel(folder / "device.json")
        if len(panel.controls) != columns:
            raise RequestError(f"{folder / 'device.json'} has {len(panel.controls)} controls, {train} has {columns}")
        return name, panel, level
    values = np.concatenate([part.z for part in rows])
    low, high = values.min(axis=0), values.max(axis=0)
    controls = [
        Control(f"control_{i + 1}", "", float(low[i]), float(high[i] if high[i] > low[i] else low[i] + 1))
        for i in range(columns)
    ]
    return train.name.removesuffix(TRAIN), Panel(tuple(controls)), None
