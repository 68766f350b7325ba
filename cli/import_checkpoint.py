"""mlxopto import: the authors' published checkpoints as weights files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .display import console
from .options import flag


def import_checkpoint(
    path: Annotated[Path, typer.Argument(help="A TensorFlow checkpoint (its folder, its .index file) or an npz file.")],
    device: Annotated[str, typer.Option(help="Which published device it is: la2a or cl1b.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The weights file. [default: s6_paper_DEVICE.safetensors]")
    ] = None,
    force: Annotated[bool, flag("--force", help="Replace a file that exists.")] = False,
    as_json: Annotated[bool, flag("--json", help="Print what was written as one JSON object.")] = False,
) -> None:
    """Turn a checkpoint of the paper's S6 network into a weights file, which renders like any other.

    mlxopto import best.ckpt.index --device la2a
    """
    from mlxopto import files
    from mlxopto.exchange import tensorflow
    from mlxopto.weights import SUFFIX

    target = out or Path(f"s6_paper_{device}{SUFFIX}")
    tensorflow.check_device(device)
    files.check_writable(target, force)
    card = tensorflow.import_checkpoint(path, device, target)
    console.print(f"{target}: {card.architecture}, {', '.join(control.name for control in card.panel.controls)}")
    if as_json:
        print(json.dumps({"weights": str(target), "arch": card.architecture, "device": device}))
