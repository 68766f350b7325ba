"""Tables of benchmarks: printed, kept as files in `results/`, and put together in README.md.

    python -m tests.benchmarks.results

writes README.md anew from the files. A benchmark keeps its table when RECORD=1 is set for it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import mlxopto
from mlxopto import files
from mlxopto.evaluation.studies.runs import table
from mlxopto.speed.engine import machine

HERE = Path(__file__).parent
FOLDER, DOCUMENT = HERE / "results", HERE / "README.md"
HEAD = """# Benchmarks: results

Written by `python -m tests.benchmarks.results` from the files in `results/`, which the benchmarks themselves write
(`RECORD=1` before the command). Do not edit; a test compares. What was measured with earlier versions, or was tried
and not kept, stands in [NOTES.md](NOTES.md). ESR is the error-to-signal ratio, gain error the RMS difference in dB.
"""


@dataclass(frozen=True)
class Result:
    """A table and where it comes from; `seeds` in words."""

    title: str
    command: str
    version: str
    machine: str
    date: str
    seeds: str
    columns: list[str]
    rows: list[list[str]]


def tell(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], seeds: str) -> None:
    """Prints a table, and keeps it where RECORD is set."""
    name = Path(sys.argv[0]).stem
    words = " ".join(str(Path(word).name if os.sep in word else word) for word in sys.argv[1:])
    command = f"python -m tests.benchmarks.{name} {words}".strip()
    found = Result(
        title, command, mlxopto.__version__, machine(), datetime.now(UTC).strftime("%Y-%m-%d"), seeds,
        list(columns), [[str(cell) for cell in row] for row in rows],
    )  # fmt: skip
    print(f"\n{title}\n\n{table(found.columns, found.rows)}", flush=True)
    if os.environ.get("RECORD"):
        FOLDER.mkdir(exist_ok=True)
        slug = "-".join("".join(c if c.isalnum() else " " for c in title.lower()).split())
        files.write_text(FOLDER / f"{slug}.json", json.dumps(asdict(found), indent=1) + "\n")
        DOCUMENT.write_text(document())


def document() -> str:
    """README.md, from all that is kept."""
    parts = [HEAD]
    for path in sorted(FOLDER.glob("*.json")):
        found = Result(**json.loads(path.read_text()))
        parts.append(f"## {found.title}\n")
        parts.append(table(found.columns, found.rows))
        origin = [f"`{found.command}`", f"mlxopto {found.version}, {found.date}, {found.seeds}", found.machine]
        parts.append("\n".join(f"- {line}" for line in origin) + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    DOCUMENT.write_text(document())
