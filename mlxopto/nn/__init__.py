"""Layers: dense, recurrent (S4D, GRU, LSTM), FiLM, gated linear unit, level front end, side-chain, optical cell and colour
stage.
"""

from mlxopto.nn.cell import OpticalCell
from mlxopto.nn.colour import Colour
from mlxopto.nn.dense import Dense
from mlxopto.nn.film import FiLM, GatedFiLM
from mlxopto.nn.gru import GRU
from mlxopto.nn.levels import LevelFrontEnd
from mlxopto.nn.lstm import LSTM, lstm_step
from mlxopto.nn.s4d import S4D
from mlxopto.nn.side_chain import SideChain

__all__ = [
    "GRU",
    "LSTM",
    "S4D",
    "Colour",
    "Dense",
    "FiLM",
    "GatedFiLM",
    "LevelFrontEnd",
    "OpticalCell",
    "SideChain",
    "lstm_step",
]
