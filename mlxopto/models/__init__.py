"""Whole networks, one a file, all with one interface: model(x, controls, state) -> (y, state), gain(...),
initial_state(...).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mlx.nn as nn
from mlx.utils import tree_flatten

from mlxopto.controls import Panel
from mlxopto.errors import RequestError
from mlxopto.formats import documents
from mlxopto.models.conditioned import ConditionedConfig
from mlxopto.models.ed_b import EdB
from mlxopto.models.encoder_decoder import EncoderDecoder
from mlxopto.models.lstm import Lstm
from mlxopto.models.lstm_b import LstmB
from mlxopto.models.network import Network, State
from mlxopto.models.opto import LightConfig, Opto, OptoConfig
from mlxopto.models.s4d import S4d
from mlxopto.models.s6_paper import MemorylessConfig, S6Paper, S6PaperConfig
from mlxopto.models.tcn_b import TcnB
from mlxopto.models.wave import WaveConfig
from mlxopto.text import quoted, shown

__all__ = ["ARCHITECTURES", "Network", "Opto", "State", "build", "fresh", "parameter_count"]

ARCHITECTURES: dict[str, tuple[Any, Any]] = {
    "opto": (Opto, OptoConfig),
    "opto_light": (Opto, LightConfig),
    "s6_paper": (S6Paper, S6PaperConfig),
    "s6_memoryless": (S6Paper, MemorylessConfig),
    "s4d": (S4d, ConditionedConfig),
    "lstm": (Lstm, ConditionedConfig),
    "encoder_decoder": (EncoderDecoder, ConditionedConfig),
    "lstm_b": (LstmB, WaveConfig),
    "ed_b": (EdB, WaveConfig),
    "tcn_b": (TcnB, WaveConfig),
}


# what a hyperparameter can be in a file: more would only cost memory
BOUNDS = {"sample_rate": (1000, 768_000), "hop": (1, 512), "width": (1, 512), "states": (1, 256), "blocks": (1, 32)}
LARGEST = 4096


def build(architecture: str, config: Mapping[str, Any]) -> Network:
    """A network with a configuration from a weights file.

    Raises:
        RequestError: an unknown architecture, or a hyperparameter that it does not have or that no network has.
    """
    network, configuration = _architecture(architecture)
    for name, value in config.items():
        low, high = BOUNDS.get(name, (0, LARGEST))
        for number in value if isinstance(value, list | tuple) else (value,):
            if isinstance(number, int) and not low <= number <= high:
                raise RequestError(f"{quoted(name)} of a network must be {low} to {high}, got {quoted(number)}")
    typed = documents.typed(_as_json(config), configuration, f"the configuration of the architecture {architecture}")
    try:
        return network(typed)
    except (TypeError, ValueError, ZeroDivisionError, IndexError, RuntimeError) as error:
        raise RequestError(
            f"the architecture {architecture} does not take this configuration: {shown(str(error))[:80]}"
        ) from error


def fresh(architecture: str, panel: Panel, sample_rate: int, settings: int) -> Network:
    """A network to be trained, for a panel and for as many training settings as there are.

    Raises:
        RequestError: an unknown architecture.
    """
    network, configuration = _architecture(architecture)
    model: Network = network(configuration.for_panel(panel, sample_rate, settings))
    model.prime(panel)
    return model


def _as_json(config: Mapping[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in config.items()}


def _architecture(name: str) -> tuple[Any, Any]:
    if not isinstance(name, str) or name not in ARCHITECTURES:
        raise RequestError(f"there is no architecture {quoted(name)}; the architectures are {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name]


def parameter_count(model: nn.Module) -> int:
    """How many numbers training may change."""
    return sum(array.size for _, array in tree_flatten(model.trainable_parameters()))
