"""GPU back end: launchers of the kernels in `mlxopto/scan/kernels`, one text for Metal and CUDA, one recurrence a file;
`diagonal_scan` is a long convolution in MLX's own operations, `detector_scan` is made of ballistics scans.

Each function takes what `mlxopto.scan` checked, in float32 (`selective_scan` also u, dt, B and C in float16 or bfloat16), is
differentiable in every argument and can be compiled with `mx.compile`. `obstacle` says why a function cannot be used here,
`unfit` what its kernels have no room for.
"""

from functools import partial

from mlxopto.scan import reference
from mlxopto.scan.gpu.ballistics import ballistics_scan
from mlxopto.scan.gpu.diagonal import diagonal_scan
from mlxopto.scan.gpu.gru import gru_scan
from mlxopto.scan.gpu.launch import available
from mlxopto.scan.gpu.lstm import lstm_scan
from mlxopto.scan.gpu.one_pole import one_pole_bank
from mlxopto.scan.gpu.selective import selective_scan
from mlxopto.scan.gpu.sizes import unfit
from mlxopto.scan.gpu.trial import FUNCTIONS, obstacle

detector_scan = partial(reference.detector_scan, ballistics=ballistics_scan)

__all__ = [
    "FUNCTIONS",
    "available",
    "ballistics_scan",
    "detector_scan",
    "diagonal_scan",
    "gru_scan",
    "lstm_scan",
    "obstacle",
    "one_pole_bank",
    "selective_scan",
    "unfit",
]
