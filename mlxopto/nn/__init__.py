"""Layers: dense, recurrent (S6, S4D, GRU, LSTM), FiLM, gated linear unit, the level front end, the side-chain and the colour
stage.
"""

from mlxopto.nn.colour import Colour
from mlxopto.nn.dense import Dense
from mlxopto.nn.film import FiLM, GatedFiLM
from mlxopto.nn.gru import GRU
from mlxopto.nn.levels import LevelFrontEnd
from mlxopto.nn.lstm import LSTM, lstm_step
from mlxopto.nn.s4d import S4D
from mlxopto.nn.s6 import S6
from mlxopto.nn.side_chain import SideChain

__all__ = ["GRU", "LSTM", "S4D", "S6", "Colour", "Dense", "FiLM", "GatedFiLM", "LevelFrontEnd", "SideChain", "lstm_step"]
