"""A page to listen to a comparison and to look at it: plain files in a folder, which any browser opens without a network."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mlxopto import audio, files
from mlxopto.controls import Panel
from mlxopto.evaluation.compare import Judged

PAGE = "index.html"
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 62em; padding: 0 1em; color: #333; }
section { border-top: 1px solid #ccc; margin-top: 2em; padding-top: 1em; }
table { border-collapse: collapse; width: 100%; } td, th { padding: .2em .6em; text-align: left; }
td.number { text-align: right; font-variant-numeric: tabular-nums; } audio { width: 100%; min-width: 16em; } img { max-width:
100%; }
"""


def write(folder: Path, judged: Sequence[Judged], panel: Panel, sample_rate: int) -> Path:
    """Sound files, pictures of gain reduction and the page that shows them; gives the page's path.

    Raises:
        WorkError: a file cannot be written.
    """
    from mlxopto.evaluation import pictures  # matplotlib, only when a picture is drawn

    sections = []
    for number, j in enumerate(judged, 1):
        stem = f"{number:03d}_{j.split}"
        signals = {"input": j.take.x, "target": j.take.y, **j.outputs}
        sounds = {}
        for place, (name, signal) in enumerate(signals.items()):
            sounds[name] = f"{stem}_{place}.wav"
            _write_sound(folder / sounds[name], signal, sample_rate)
        picture = f"{stem}.png"
        pictures.gain_picture(folder / picture, j.take, j.outputs, sample_rate)
        setting = ", ".join(f"{c.name.replace('_', ' ')} {c.format(j.take.setting[c.name])}" for c in panel.controls)
        rows = "".join(_row(name, file, j.errors.get(name)) for name, file in sounds.items())
        sections.append(
            f"<section><h2>{html.escape(setting)} <small>({j.split})</small></h2><table><tr><th></th><th></th><th>ESR</th>"
            f'<th>gain error, dB</th></tr>{rows}</table><img src="{picture}" alt="Gain of target and models over '
            'time"></section>'
        )
    page = folder / PAGE
    files.write_text(
        page,
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>mlxopto eval</title><style>{_STYLE}</style>'
        f"<h1>mlxopto eval: {len(judged)} takes</h1>{''.join(sections)}</html>\n",
    )
    return page


def _row(name: str, file: str, errors: dict[str, float] | None) -> str:
    numbers = (f"{errors['esr']:.2e}", f"{errors['gain_error_db']:.2f}") if errors else ("", "")
    cells = "".join(f'<td class="number">{number}</td>' for number in numbers)
    return f'<tr><th>{html.escape(name)}</th><td><audio controls preload="none" src="{file}"></audio></td>{cells}</tr>'


def _write_sound(path: Path, signal: np.ndarray, sample_rate: int) -> None:
    subtype = "PCM_24" if np.abs(signal).max(initial=0) <= 1 else "FLOAT"
    audio.write(path, signal, sample_rate, subtype)
