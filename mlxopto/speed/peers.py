"""Other engines for `mlxopto bench --peers`, to be timed in one interleaved run with ours.

Each is offered only where its package is installed; packages are imported when peers are made, never with this module. All run
on one thread: making a PyTorch peer sets PyTorch's thread count to 1 for the rest of the process, and making torchcomp's sets
numba's to 1 for the calling thread, so time them on the thread that made them. mlxopto's own kernels do not thread anyway.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

SAMPLE_RATE = 48000
THRESHOLD_DB, RATIO, ATTACK_MS, RELEASE_MS = -20.0, 4.0, 5.0, 100.0  # of both plain compressors
LSTM_WIDTH = 16
S6_WIDTH, S6_EXPAND, S6_STATES = 8, 2, 8  # 16 channels with 8 states each
_FLOOR = 1e-5  # torchcomp takes logarithms of levels and refuses 0
# The stateless peers' fastest calls, in ns a sample on a Zen 5: torchcomp 37, 9 and 10 in calls of 4096, 48000 and 192000
# samples; mambapy, which wants powers of two, 1120, 910, 890 and 980 in calls of 1024, 4096, 8192 and 16384.
_TORCHCOMP_CALL = 48000
_S6_CALL = 4096
# Having freed a block of this size (32 MiB at most), glibc keeps smaller ones instead of handing every large array back to the
# kernel, which cost mambapy up to 2500 ns a sample and whoever ran next a cold start.
_KEPT_BYTES = 30 << 20

Engine = Callable[[np.ndarray], np.ndarray]  # float32 (samples,) at 48 kHz to float32 (samples,)


@dataclass(frozen=True)
class Peer:
    """An engine ready to be timed.

    `step` processes one block of `block` mono float32 samples at 48 kHz. Engines with state go on from where the last step
    ended; stateless ones get calls of the length at which they are fastest.
    """

    name: str
    block: int
    step: Callable[[], None]


def installed(block: int) -> tuple[list[Peer], list[str]]:
    """The peers that can run here, warmed up, and a sentence for each that cannot.

    Args:
        block: samples handed at once to those that keep state between calls.
    """
    peers, absent = [], []
    for name, make, call in _PEERS:
        try:
            peers.append(_peer(name, make(), call or block))
        except ModuleNotFoundError as error:
            absent.append(f"{name} is not measured: the package {error.name} is not installed.")
        except (ImportError, OSError) as error:  # compiled for another version of what it stands on
            absent.append(f"{name} is not measured: {error}.")
    return peers, absent


def pedalboard_compressor() -> Engine:
    """Spotify's pedalboard, JUCE's compressor: plain signal processing, keeps its state."""
    compressor = import_module("pedalboard").Compressor(THRESHOLD_DB, RATIO, ATTACK_MS, RELEASE_MS)

    def process(x: np.ndarray) -> np.ndarray:
        return compressor.process(x, SAMPLE_RATE, reset=False)

    return process


def torchcomp_compressor() -> Engine:
    """torchcomp's gain computer and attack-release recursion on the absolute value, times the signal; starts at unity gain."""
    torch, torchcomp = _torch(), import_module("torchcomp")
    import_module("numba").set_num_threads(1)
    attack, release = (torchcomp.ms2coef(torch.tensor(ms), SAMPLE_RATE) for ms in (ATTACK_MS, RELEASE_MS))
    no_expander = {"exp_thresh": -200.0, "exp_ratio": 0.5}
    curve = {"comp_thresh": THRESHOLD_DB, "comp_ratio": RATIO, **no_expander}

    def process(x: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            row = torch.from_numpy(x)[None]
            level = row.abs().clamp_min(_FLOOR)
            gain = torchcomp.compexp_gain(level, **curve, at=attack, rt=release)
            return (row * gain)[0].numpy()

    return process


def pytorch_lstm() -> Engine:
    """An LSTM of 16 units and a dense layer with random weights, the network of amplifier captures; keeps its state."""
    torch = _torch()
    lstm, dense = torch.nn.LSTM(1, LSTM_WIDTH), torch.nn.Linear(LSTM_WIDTH, 1)
    state = (torch.zeros(1, 1, LSTM_WIDTH), torch.zeros(1, 1, LSTM_WIDTH))

    def process(x: np.ndarray) -> np.ndarray:
        nonlocal state
        with torch.inference_mode():
            hidden, state = lstm(torch.from_numpy(x).view(-1, 1, 1), state)
            return dense(hidden).view(-1).numpy()

    return process


def pytorch_s6() -> Engine:
    """One Mamba block by mambapy's parallel scan between dense layers, a step every sample, random weights; from rest."""
    torch, mamba = _torch(), import_module("mambapy.mamba")
    config = mamba.MambaConfig(d_model=S6_WIDTH, n_layers=1, d_state=S6_STATES, expand_factor=S6_EXPAND)
    network = torch.nn.Sequential(torch.nn.Linear(1, S6_WIDTH), mamba.MambaBlock(config), torch.nn.Linear(S6_WIDTH, 1))

    def process(x: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return network(torch.from_numpy(x).view(1, -1, 1)).view(-1).numpy()

    return process


def pytorch_s6_streaming() -> Engine:
    """The same network a sample at a time by mambapy's `step`, which is how it keeps its state from block to block."""
    torch, mamba = _torch(), import_module("mambapy.mamba")
    config = mamba.MambaConfig(d_model=S6_WIDTH, n_layers=1, d_state=S6_STATES, expand_factor=S6_EXPAND)
    lift, block, head = torch.nn.Linear(1, S6_WIDTH), mamba.MambaBlock(config), torch.nn.Linear(S6_WIDTH, 1)
    cache = (None, torch.zeros(1, config.d_inner, config.d_conv - 1))

    def process(x: np.ndarray) -> np.ndarray:
        nonlocal cache
        with torch.inference_mode():
            y = torch.empty(len(x))
            for t, sample in enumerate(torch.from_numpy(x).view(-1, 1, 1)):
                h, cache = block.step(lift(sample), cache)
                y[t] = head(h)[0, 0]
            return y.numpy()

    return process


_PEERS: tuple[tuple[str, Callable[[], Engine], int | None], ...] = (  # name, maker, the length of a call where it is stateless
    ("pedalboard Compressor", pedalboard_compressor, None),
    ("torchcomp", torchcomp_compressor, _TORCHCOMP_CALL),
    (f"PyTorch LSTM-{LSTM_WIDTH}", pytorch_lstm, None),
    ("PyTorch S6 (mambapy)", pytorch_s6, _S6_CALL),
    ("PyTorch S6 (mambapy), streaming", pytorch_s6_streaming, None),
)


def _peer(name: str, engine: Engine, block: int) -> Peer:
    """The engine on a block of noise, run once so that no compilation is left for the timing."""
    x = (0.1 * np.random.default_rng(0).standard_normal(block)).astype(np.float32)

    def step() -> None:
        engine(x)

    step()
    return Peer(name, block, step)


def _torch() -> Any:
    """PyTorch: on one thread from now on, seeded so that weights are the same every time, with its memory kept for reuse."""
    torch = import_module("torch")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    np.empty(_KEPT_BYTES, np.uint8)  # and freed
    return torch
