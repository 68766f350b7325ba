"""How fast this machine is: the engine in blocks, the network through MLX, the start, and other engines beside ours."""

from __future__ import annotations

import ctypes
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from numba import njit

from mlxopto.compressor import Compressor
from mlxopto.engine import NativeEngine
from mlxopto.live import callback
from mlxopto.live.bridge import Bridge
from mlxopto.models.opto import Opto
from mlxopto.speed import peers

BLOCKS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
LENGTHS = tuple(1 << k for k in range(10, 23, 2))
LONGEST_TRAINING = 1 << 18  # samples; gradients of longer ones need gigabytes
_TURNS = 15
_TURN_NS = 20e6  # of work in a turn, after one call that is not timed
_TAIL_CALLS = 20000  # for the 99.9th percentile

Tell = Callable[[str], None]  # told what is measured next


class BlockTimer:
    """The live callback on noise, without a sound card: exactly what a session runs, in blocks of one size."""

    def __init__(self, compressor: Compressor, channels: int, block: int):
        panel, rate = compressor.panel, compressor.sample_rate
        engine = NativeEngine(compressor.model, channels, "max" if channels > 1 else "off")
        engine.aim(panel.normalise(panel.setting({})), 1.0, 0.0)
        engine.reset()
        self.block, self._rate = block, rate
        self._bridge = Bridge(engine, rate)
        self._x = (0.1 * np.random.default_rng(0).standard_normal((block, channels))).astype(np.float32)
        self._y = np.empty_like(self._x)
        self._arguments = (self._x.ctypes.data, self._y.ctypes.data, block, self._bridge.table.ctypes.data)

    def run(self, calls: int) -> float:
        """ns a sample of CPU time, over so many calls after one that is not timed, with nothing of Python between them."""
        _callbacks()(*self._arguments, 1)
        start = time.thread_time_ns()
        _callbacks()(*self._arguments, calls)
        return (time.thread_time_ns() - start) / (calls * self.block)

    def block_us(self, share: float, clock: int, calls: int) -> float:
        """A quantile of the microseconds in a call, by a clock of the system; a thread's own leaves out other work."""
        self._bridge.measure_by(clock)
        _callbacks()(*self._arguments, calls)
        return 1e6 * self._bridge.load(share)[0] * self.block / self._rate


@cache
def _callbacks() -> Any:
    """A native loop around the live callback, called as PortAudio does."""
    call = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_size_t] * 6)(callback.callback.address)  # pointers and numbers

    @njit
    def repeat(x: int, y: int, block: int, table: int, calls: int) -> None:
        for _ in range(calls):
            call(x, y, block, 0, 0, table)

    return repeat


class Cost(NamedTuple):
    """ns a sample: the median of turns, and the width of the middle half of them."""

    ns: float
    spread: float


@dataclass(frozen=True)
class Contender:
    """Something to be timed in turns: run(calls) gives ns a sample."""

    name: str
    block: int
    run: Callable[[int], float]


class EngineRow(TypedDict):
    """The live callback of a model with so many channels, in blocks of so many samples; ns of CPU time."""

    model: str
    channels: int
    block: int
    ns_per_sample: float
    ns_spread: float
    real_time_factor: float
    block_us_median: float
    block_us_p999: float


class MlxRow(TypedDict):
    """The network through MLX on a device, on a sequence of so many samples; no gradients of long ones."""

    device: str
    length: int
    forward_ns_per_sample: float
    train_ns_per_sample: float | None


class PeerRow(TypedDict):
    """An engine beside ours; ns of CPU time."""

    name: str
    block: int
    ns_per_sample: float
    ns_spread: float
    real_time_factor: float


def in_turns(contenders: list[Contender], turns: int = _TURNS) -> list[Cost]:
    """What each costs, in turns of 20 ms, so that what else the machine does meets all of them."""
    calls = [max(1, int(_TURN_NS / (c.run(3) * c.block))) for c in contenders]
    times = [[c.run(count) for c, count in zip(contenders, calls, strict=True)] for _ in range(turns)]
    low, median, high = np.quantile(times, [0.25, 0.5, 0.75], axis=0)
    return [Cost(float(ns), float(spread)) for ns, spread in zip(median, high - low, strict=True)]


def engine_rows(compressor: Compressor, tell: Tell) -> list[EngineRow]:
    """The callback by channels and block size."""
    rows: list[EngineRow] = []
    for channels in (1, 2):
        tell(f"engine, {channels} channel{'s' if channels > 1 else ''}")
        timers = [BlockTimer(compressor, channels, block) for block in BLOCKS]
        costs = in_turns([Contender("", timer.block, timer.run) for timer in timers])
        for timer, cost in zip(timers, costs, strict=True):
            calls = max(2000, min(_TAIL_CALLS, int(1e9 / (cost.ns * timer.block))))
            rows.append(
                {
                    "model": compressor.name,
                    "channels": channels,
                    "block": timer.block,
                    "ns_per_sample": round(cost.ns, 2),
                    "ns_spread": round(cost.spread, 2),
                    "real_time_factor": round(1e9 / compressor.sample_rate / cost.ns, 1),
                    "block_us_median": round(timer.block_us(0.5, time.CLOCK_MONOTONIC, calls), 2),
                    "block_us_p999": round(timer.block_us(0.999, time.CLOCK_THREAD_CPUTIME_ID, calls), 2),
                }
            )
    return rows


def mlx_rows(compressor: Compressor, tell: Tell) -> list[MlxRow]:
    """The network through MLX by device and length of the sequence: forward, and forward with gradients of all weights."""
    rows: list[MlxRow] = []
    devices = [mx.Device(mx.cpu)] + ([mx.Device(mx.gpu)] if mx.metal.is_available() or mx.cuda.is_available() else [])
    for device in devices:
        name = "cpu" if device == mx.Device(mx.cpu) else "gpu"
        for length in LENGTHS:
            tell(f"MLX on the {name}, {length} samples")
            with mx.stream(device):
                forward, train = _mlx_work(compressor, length)
                rows.append(
                    {
                        "device": name,
                        "length": length,
                        "forward_ns_per_sample": round(_fastest(forward) / length, 2),
                        "train_ns_per_sample": round(_fastest(train) / length, 2) if length <= LONGEST_TRAINING else None,
                    }
                )
    return rows


def _mlx_work(compressor: Compressor, length: int) -> tuple[Callable[[], object], Callable[[], object]]:
    x = 0.1 * mx.random.normal((1, length))
    knobs = mx.array([compressor.panel.normalise(compressor.panel.setting({}))])
    model = compressor.model

    def loss(network: Opto) -> mx.array:
        return mx.square(network(x, knobs)[0]).sum()

    gradients = nn.value_and_grad(model, lambda: loss(model))
    return (lambda: mx.eval(model(x, knobs)[0])), (lambda: mx.eval(gradients()))


def _fastest(work: Callable[[], object]) -> float:
    """ns, the best of three runs after one that is not timed."""
    work()
    times = []
    for _ in range(3):
        start = time.perf_counter_ns()
        work()
        times.append(time.perf_counter_ns() - start)
    return float(min(times))


def startup() -> dict[str, float]:
    """Seconds to import mlxopto's engine and seconds from there to the first block out, in a fresh process with warm caches."""
    code = (
        "import time; start = time.perf_counter(); import numpy, mlxopto; from mlxopto import compressor; "
        "imported = time.perf_counter()\n"
        "mlxopto.load('cl1b').stream()(numpy.zeros(64, numpy.float32)); print(imported - start, time.perf_counter() - imported)"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
        for _ in range(3)
    ]
    imports, first = zip(*((float(a), float(b)) for a, b in runs), strict=True)
    return {"import_s": round(min(imports), 3), "first_block_s": round(min(first), 3)}


def peer_rows(compressor: Compressor, tell: Tell) -> tuple[list[PeerRow], list[str]]:
    """Other engines and ours in the same turns, and a sentence for each that is not installed."""
    found: list[PeerRow] = []
    absent: list[str] = []
    for block in (64, 4096):
        tell(f"peers, blocks of {block}")
        others, absent = peers.installed(block)
        ours = BlockTimer(compressor, 1, block)
        contenders = [Contender(f"mlxopto {compressor.name}", block, ours.run)]
        contenders += [Contender(peer.name, peer.block, _timed(peer)) for peer in others if peer.block in (block, 48000)]
        for contender, cost in zip(contenders, in_turns(contenders), strict=True):
            found.append(
                {
                    "name": contender.name,
                    "block": contender.block,
                    "ns_per_sample": round(cost.ns, 2),
                    "ns_spread": round(cost.spread, 2),
                    "real_time_factor": round(1e9 / peers.SAMPLE_RATE / cost.ns, 2),
                }
            )
    return found, absent


def _timed(peer: peers.Peer) -> Callable[[int], float]:
    def run(calls: int) -> float:
        peer.step()
        start = time.process_time_ns()  # of all its threads
        for _ in range(calls):
            peer.step()
        return (time.process_time_ns() - start) / (calls * peer.block)

    return run


def machine() -> str:
    """What the figures were measured on, in words."""
    processor = platform.processor() or platform.machine()
    try:
        names = [
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ]
        processor = names[0] if names else processor
    except OSError:  # not Linux
        pass
    return f"{processor}, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
