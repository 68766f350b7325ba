"""Whether the kernels run on this GPU and are right: each is tried once a process, on a small example, against the
reference.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import mlx.core as mx
import numpy as np

from mlxopto.scan import reference
from mlxopto.scan.gpu.ballistics import ballistics_scan
from mlxopto.scan.gpu.diagonal import diagonal_scan
from mlxopto.scan.gpu.gru import gru_scan
from mlxopto.scan.gpu.launch import available
from mlxopto.scan.gpu.lstm import lstm_scan
from mlxopto.scan.gpu.one_pole import one_pole_bank
from mlxopto.scan.gpu.selective import selective_scan

FUNCTIONS = {f.__name__: f for f in (selective_scan, diagonal_scan, gru_scan, lstm_scan, one_pole_bank, ballistics_scan)}
_TOLERANCE = 1e-3  # far above rounding, far below a mistake


@cache
def obstacle(name: str) -> str | None:
    """Why a function of this back end cannot be used here, in words, or None."""
    if not available():
        return "MLX finds no GPU here"
    args = _example(name)
    extra = {"discretization": "zoh"} if name == "selective_scan" else {}
    try:
        with mx.stream(mx.gpu):
            found = _outcome(FUNCTIONS[name], args, extra)
    except (RuntimeError, ValueError) as error:
        reason = next((line for line in str(error).splitlines() if line.strip()), "no reason given")
        return f"the GPU's kernels of {name} do not run here ({reason[:200]})"
    with mx.stream(mx.cpu):
        expected = _outcome(getattr(reference, name), args, extra)
    for ours, theirs in zip(found, expected, strict=True):
        if not np.allclose(ours, theirs, rtol=_TOLERANCE, atol=_TOLERANCE):
            return f"the GPU's kernels of {name} give wrong numbers here"
    return None


def _example(name: str) -> list[np.ndarray]:
    """Arguments that reach into a second chunk of time."""
    normal = np.random.default_rng(0).standard_normal
    shapes: dict[str, list[tuple[int, ...]]] = {
        "selective_scan": [(2, 70, 6), (2, 70, 6), (6, 5), (2, 70, 5), (2, 70, 5), (6,), (2, 6, 5)],
        "diagonal_scan": [(2, 70, 3), (3, 4), (3, 4), (3, 4, 2), (2, 3, 4, 2)],
        "gru_scan": [(2, 9, 15), (15, 5), (5,), (2, 5)],
        "lstm_scan": [(2, 9, 20), (20, 5), (2, 5), (2, 5)],
        "one_pole_bank": [(2, 70), (3,), (3,), (2, 3)],
        "ballistics_scan": [(2, 70, 3), (2, 3), (2, 3), (2, 3), (2, 3), (2, 3)],
    }
    args: list[np.ndarray] = [normal(shape).astype(np.float32) for shape in shapes[name]]
    if name == "selective_scan":
        args[1], args[2] = np.exp(args[1] - 3), -np.exp(args[2])
    if name == "diagonal_scan":
        args[1] = np.exp(args[1] - 1.5)
    if name == "one_pole_bank":
        args[1] = 1 / (1 + np.exp(-args[1]))
    if name == "ballistics_scan":
        args[1:5] = (1 / (1 + np.exp(-rate)) for rate in args[1:5])
    return args


def _outcome(function: Callable[..., Any], args: list[np.ndarray], extra: dict[str, str]) -> list[np.ndarray]:
    """The outputs and every gradient of their sum of squares."""
    arrays = [mx.array(a) for a in args]

    def outputs(*values: mx.array) -> list[mx.array]:
        y, state = function(*values, **extra)
        return [y, *(state if isinstance(state, tuple) else (state,))]

    def total(*values: mx.array) -> Any:
        return sum(mx.square(array).sum() for array in outputs(*values))

    results = [*outputs(*arrays), *mx.grad(total, tuple(range(len(arrays))))(*arrays)]
    mx.eval(results)
    return [np.array(array) for array in results]
