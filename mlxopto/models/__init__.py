"""Whole networks, one a file, all with one interface: model(x, controls, state) -> (y, state), gain(...), initial_state(...)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mlx.nn as nn
from mlx.utils import tree_flatten

from mlxopto.errors import RequestError
from mlxopto.models.opto import Opto, OptoConfig

ARCHITECTURES = {"opto": (Opto, OptoConfig)}


def build(architecture: str, config: Mapping[str, Any]) -> Opto:
    """A network with fresh weights.

    Raises:
        RequestError: an unknown architecture or a hyperparameter that it does not have.
    """
    if not isinstance(architecture, str) or architecture not in ARCHITECTURES:
        raise RequestError(f"there is no architecture {architecture!r}; the architectures are {', '.join(ARCHITECTURES)}")
    network, configuration = ARCHITECTURES[architecture]
    try:
        return network(configuration(**config))
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise RequestError(f"the architecture {architecture} does not take this configuration: {error}") from error


def parameter_count(model: nn.Module) -> int:
    """How many numbers training may change."""
    return sum(array.size for _, array in tree_flatten(model.trainable_parameters()))
