"""Layers: dense, S6, FiLM, temporal FiLM, gated linear unit, the level front end and the colour stage."""

from mlxopto.nn.colour import Colour
from mlxopto.nn.dense import Dense
from mlxopto.nn.film import FiLM, GatedFiLM, TemporalFiLM
from mlxopto.nn.front_end import LevelFrontEnd
from mlxopto.nn.s6 import S6

__all__ = ["S6", "Colour", "Dense", "FiLM", "GatedFiLM", "LevelFrontEnd", "TemporalFiLM"]
