"""Native CPU back end: numba kernels with hand-derived gradients, one recurrence a file, parallel over the batch."""

from mlxopto.scan.cpu.ballistics import ballistics_scan
from mlxopto.scan.cpu.detectors import detector_scan
from mlxopto.scan.cpu.diagonal import diagonal_scan
from mlxopto.scan.cpu.gru import gru_scan
from mlxopto.scan.cpu.lstm import lstm_scan
from mlxopto.scan.cpu.one_pole import one_pole_bank
from mlxopto.scan.cpu.selective import selective_scan

__all__ = ["ballistics_scan", "detector_scan", "diagonal_scan", "gru_scan", "lstm_scan", "one_pole_bank", "selective_scan"]
