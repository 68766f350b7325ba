"""What is in a data folder, recording by recording, and what cannot be used; by the judgement that training makes, too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mlxopto.data import captures, formats, pickles, signaltrain
from mlxopto.data.judgement import Report
from mlxopto.errors import RequestError


@dataclass(frozen=True)
class Judgement:
    """Every pair of recordings, and what is wrong with all of them together."""

    reports: list[Report]
    problems: list[str]


def check(folder: Path) -> Judgement:
    """Reads and judges all that is there.

    Raises:
        RequestError: the folder itself cannot be understood.
    """
    kind = formats.kind(folder)
    if kind == "signaltrain":
        return Judgement([signaltrain.report(pair) for pair in signaltrain.pairs(folder)], [])
    if kind == "pickles":
        return Judgement(list(pickles.reports(folder)), [])
    if not folder.is_dir():
        raise RequestError(f"{folder} is not a folder")
    _, panel, _ = captures.load_panel(folder / captures.DEVICE)
    listed = captures.load_manifest(folder / captures.MANIFEST, panel)
    reports: list[Report] = []
    rates: dict[int, Path] = {}
    for _, report, _, found in captures.judged(listed):
        reports.append(report)
        rates = {**found, **rates}
    return Judgement(reports, captures.problems_together(folder, listed, rates))


def reports(folder: Path) -> Iterator[Report]:
    """One report a pair; raises as `check`."""
    yield from check(folder).reports
