"""The authors' published checkpoints as weights files of ours: TensorFlow files or the same arrays in an npz file."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten, tree_unflatten

import mlxopto
from mlxopto import weights
from mlxopto.controls import Control, Panel
from mlxopto.errors import RequestError
from mlxopto.formats import npz
from mlxopto.models.s6_paper import S6Paper, S6PaperConfig

# The numbers that the authors gave their networks, as panels. Their attack and release are positions of the knob from 0 to 1,
# without times, and so is the ratio; 2:1 and 10:1 are the ends of the CL 1B's knob.
PANELS = {
    "la2a": Panel(
        (
            Control("peak_reduction", "", 0, 100, default=40),
            Control("mode", "", 0, 1, taper="steps", default=0, positions={"compress": 0.0, "limit": 1.0}),
        )
    ),
    "cl1b": Panel(
        (
            Control("threshold", "dBu", -40, 0, default=-20),
            Control("ratio", ":1", 2, 10, default=4),
            Control("attack", "", 0, 1, default=0.5),
            Control("release", "", 0, 1, default=0.5),
        )
    ),
}
CONFIGS = {
    "la2a": S6PaperConfig(2, timed=(1,), scale=(5.0, 0.5), offset=(5.0, 0.5), recurrent=False),
    "cl1b": S6PaperConfig(4, timed=(2, 3), scale=(-0.5, 0.5, 0.5, 0.5), offset=(0.5, 0.5, 0.5, 0.5), recurrent=False),
}

# our name, the authors' layer and variable, and how it is turned: T transposed, Z gates from the order z, r, h to r, z, n
_MIXERS = {"mixer_in": 1, "mixer_out": 6}
_VARIABLES = [
    ("lift", "0", ""),
    ("join", "3", ""),
    ("film", "4", "dense."),
    ("film_glu.dense", "4", "glu.dense."),
    ("temporal_glu.dense", "5", "glu.dense."),
    ("hidden", "7", ""),
    ("head", "8", ""),
]


def check_device(device: str) -> None:
    """Raises RequestError if no such device was published."""
    if device not in PANELS:
        raise RequestError(f"the published devices are {', '.join(PANELS)}, got {device!r}")


def read(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a checkpoint by the authors' names, dots between the parts.

    Args:
        path: an npz file, or a TensorFlow checkpoint: its .index file, its prefix, or the folder of one.
    Raises:
        RequestError: neither, damaged, or TensorFlow is needed and not installed.
    """
    if path.suffix == ".npz":
        return npz.read(path)
    return _read_tensorflow(_prefix(path))


def convert(arrays: dict[str, np.ndarray], device: str) -> S6Paper:
    """The published network with these arrays, in its published mode.

    Raises:
        RequestError: a device that was not published, or arrays that are missing or of a wrong shape.
    """
    check_device(device)
    model = S6Paper(CONFIGS[device])
    wanted = {name: array.shape for name, array in tree_flatten(model.parameters())}
    try:
        found = _renamed(arrays)
    except KeyError as error:
        raise RequestError(f"the checkpoint has no {error.args[0]}; is it an S6 model of the paper?") from error
    except (ValueError, IndexError) as error:
        raise RequestError(
            f"the checkpoint has an array of a wrong shape: {str(error)[:60]}; is it an S6 model of the paper?"
        ) from error
    for name, shape in wanted.items():
        if found[name].shape != shape:
            raise RequestError(f"the checkpoint does not fit the {device}: {name} is {found[name].shape}, {shape} is needed")
        if not np.isfinite(found[name]).all():
            raise RequestError(f"the checkpoint has a number that is not finite in {name}")
    model.update(tree_unflatten([(name, mx.array(array)) for name, array in found.items()]))
    mx.eval(model.parameters())
    return model


def import_checkpoint(path: Path, device: str, target: Path) -> weights.Card:
    """Writes a checkpoint as a weights file, whole or not at all, and gives its card.

    Raises:
        RequestError: as `read` and `convert`.
    """
    model = convert(read(path), device)
    card = weights.Card(
        name=device,
        architecture="s6_paper",
        config=model.config.__dict__,
        sample_rate=model.config.sample_rate,
        panel=PANELS[device],
        training={"data": "the authors' recordings, by the authors", "init": path.name},
        licence="LGPL-3.0",
        created=datetime.now(UTC).strftime("%Y-%m-%d"),
        mlxopto=mlxopto.__version__,
    )
    weights.save(target, model, card)
    return card


def _renamed(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    def of(layer: int | str, name: str) -> np.ndarray:
        return arrays[f"layer_with_weights-{layer}.{name}"]

    found = {}
    for ours, layer, prefix in _VARIABLES:
        found[f"{ours}.weight"] = of(layer, f"{prefix}kernel").T
        found[f"{ours}.bias"] = of(layer, f"{prefix}bias")
    found["spectrum.weight"], found["spectrum.bias"] = of(2, "kernel")[:, 0].T, of(2, "bias")
    for ours, number in _MIXERS.items():
        found[f"{ours}.input.weight"] = of(number, "mixer.in_projection.kernel").T
        found[f"{ours}.taps"] = of(number, "mixer.conv1d.kernel")[:, 0]
        found[f"{ours}.tap_bias"] = of(number, "mixer.conv1d.bias")
        found[f"{ours}.select.weight"] = of(number, "mixer.x_projection.kernel").T
        found[f"{ours}.dt.weight"] = of(number, "mixer.delta_t_projection.kernel").T
        found[f"{ours}.dt.bias"] = of(number, "mixer.delta_t_projection.bias")
        found[f"{ours}.a_log"] = of(number, "mixer.A_log")
        found[f"{ours}.skip"] = of(number, "mixer.D")
        found[f"{ours}.output.weight"] = of(number, "mixer.out_projection.kernel").T
        found[f"{ours}.output.bias"] = of(number, "mixer.out_projection.bias")
    found["slow.gates.weight"] = _reordered(of(5, "dense.cell.kernel").T)
    inputs, recurrent = (_reordered(bias) for bias in of(5, "dense.cell.bias"))
    found["slow.gates.bias"], found["slow.recurrent_bias"] = inputs, recurrent
    found["slow.recurrent"] = _reordered(of(5, "dense.cell.recurrent_kernel").T)
    return found


def _reordered(rows: np.ndarray) -> np.ndarray:
    """Rows of the gates z, r, h as Keras has them, in our order r, z, n."""
    z, r, n = np.split(rows, 3)
    return np.concatenate([r, z, n])


def _prefix(path: Path) -> Path:
    """Of a TensorFlow checkpoint: what its file names have in common."""
    if path.is_dir():
        indices = sorted(path.glob("*.index"))
        if len(indices) != 1:
            raise RequestError(f"{path} must hold one TensorFlow checkpoint, found {len(indices)}")
        path = indices[0]
    prefix = path.with_suffix("") if path.suffix == ".index" else path
    if not prefix.with_name(prefix.name + ".index").is_file():
        raise RequestError(f"{path} is neither an npz file nor a TensorFlow checkpoint")
    return prefix


def _read_tensorflow(prefix: Path) -> dict[str, np.ndarray]:
    try:
        import tensorflow as tf
    except ImportError as error:
        raise RequestError("TensorFlow checkpoints need TensorFlow: pip install 'mlxopto[tensorflow]'") from error
    try:
        reader: Any = tf.train.load_checkpoint(str(prefix))
        names = [name for name in reader.get_variable_to_shape_map() if name.startswith("layer_with_weights")]
        ending = "/.ATTRIBUTES/VARIABLE_VALUE"
        return {name.removesuffix(ending).replace("/", "."): reader.get_tensor(name) for name in names}
    except (tf.errors.OpError, ValueError) as error:
        raise RequestError(f"{prefix} cannot be read as a TensorFlow checkpoint: {error}") from error
