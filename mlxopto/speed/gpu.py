"""How fast the GPU's kernels are: against the memory's speed, against MLX operations, against PyTorch where it has the same
GPU.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import mlx.core as mx
import numpy as np

from mlxopto import scan
from mlxopto.compressor import Compressor
from mlxopto.data.takes import Take
from mlxopto.devices import device
from mlxopto.training.config import TrainConfig
from mlxopto.training.trainer import Trainer

Tell = Callable[[str], None]  # told what is measured next


@dataclass(frozen=True)
class Sizes:
    """What is measured; smaller in tests."""

    copied: int = 1 << 28  # float32 values, 1 GiB
    batch: int = 32
    time: int = 65536
    channels: int = 16
    states: int = 16
    gated_time: int = 4096
    hidden: int = 32
    plain_time: int = 8192  # by MLX operations, whose arrays hold every state of every step, several times
    training: tuple[int, ...] = (12, 96)  # sequences side by side
    frames: int = 512  # of training, as the network counts them
    render_s: int = 600
    repeats: int = 10


def rows(compressor: Compressor, sizes: Sizes, tell: Tell) -> list[dict[str, Any]]:
    """One row a measurement: {"what", "size", "ms", "gb_per_s", "share_of_copy", "speed"}, the last three where they mean
    something.

    Gigabytes a second count what the kernels must read and write once each; the share is of a copy's, measured in the same run.
    Runs on MLX's current device.
    """
    tell("the memory's speed")
    copy_s = _fastest(_copy(sizes.copied), sizes.repeats)
    bandwidth = 8 * sizes.copied / copy_s
    found = [_row("copy", f"{8 * sizes.copied / 1e9:.1f} GB", copy_s, bandwidth)]
    tell("the selective scan")
    forward, both = _selective(sizes)
    size = f"{sizes.batch} x {sizes.time}, D {sizes.channels}, N {sizes.states}"
    for name, work, values in (("forward", forward, _FORWARD), ("forward + backward", both, _FORWARD + _BACKWARD)):
        mx.reset_peak_memory()
        before = mx.get_active_memory()
        seconds = _fastest(work, sizes.repeats)
        held = mx.get_peak_memory() - before
        moved = 4 * sizes.batch * sizes.time * float(values @ _terms(sizes))
        working = f"{held / 1e6:.0f} MB held, {moved / 1e6:.0f} moved"
        found.append(_row(f"selective scan {name}", size, seconds, moved / seconds, moved / seconds / bandwidth, working))
    tell("the same by MLX operations")
    short = replace(sizes, batch=2, time=sizes.plain_time)
    kernels, plain = _fastest(_selective(short)[1], sizes.repeats), _fastest(_plain_scan(short), 3)
    size = f"2 x {short.time}, D {sizes.channels}, N {sizes.states}"
    found.append(
        _row("forward + backward by MLX operations", size, plain, speed=f"kernels are {plain / kernels:.0f} times faster")
    )
    for name in ("gru", "lstm"):
        tell(f"the {name}")
        seconds = _fastest(_gated(name, sizes), sizes.repeats)
        size = f"{sizes.batch} x {sizes.gated_time}, H {sizes.hidden}"
        step = f"{1e9 * seconds / sizes.gated_time:.0f} ns a step of time"
        found.append(_row(f"{name} forward + backward", size, seconds, speed=step))
    for batch in sizes.training:
        tell(f"training, {batch} sequences")
        seconds, audio = _training_step(sizes, batch)
        found.append(_row("training step of opto", f"{batch} x {sizes.frames} frames", seconds, speed=_times(audio / seconds)))
    for engine in ("gpu", "cpu"):
        tell(f"rendering, engine {engine}")
        seconds = _rendering(compressor, engine, sizes.render_s)
        found.append(
            _row(
                f"{engine} engine, {compressor.name}",
                f"{sizes.render_s} s",
                seconds,
                speed=_times(sizes.render_s / seconds),
            )
        )
    return found


def device_name() -> str:
    """MLX's GPU in words."""
    return str(mx.device_info(mx.Device(mx.gpu)).get("device_name", "GPU"))


# float32 values that the kernels must move for each step of time and batch item: multiples of D, of N and of D N
_FORWARD = np.array([2 + 3, 1 + 2, 1 / 32])  # u, dt; u, dt, y. B; B, C. The states kept
_BACKWARD = np.array([2 + 5, 1 + 4, 1 / 32])  # dt, grad_y; u, dt, grad_y, grad_u, grad_dt. C; B, C, grad_B, grad_C


def _terms(sizes: Sizes) -> np.ndarray:
    return np.array([sizes.channels, sizes.states, sizes.channels * sizes.states])


def _row(
    what: str,
    size: str,
    seconds: float,
    bytes_a_second: float | None = None,
    share: float | None = None,
    speed: str | None = None,
) -> dict[str, Any]:
    return {
        "what": what,
        "size": size,
        "ms": float(f"{1e3 * seconds:.4g}"),
        "gb_per_s": bytes_a_second and float(f"{bytes_a_second / 1e9:.4g}"),
        "share_of_copy": share and round(share, 3),
        "speed": speed,
    }


def _times(factor: float) -> str:
    return f"{factor:.0f} times real time"


def _fastest(work: Callable[[], object], repeats: int) -> float:
    """Seconds, the best of several runs after one that is not timed."""
    mx.eval(work())
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        mx.eval(work())
        times.append(time.perf_counter() - start)
    return min(times)


def _copy(values: int) -> Callable[[], object]:
    source = mx.zeros((values,))
    mx.eval(source)
    return lambda: source + 1.0


def _arguments(sizes: Sizes) -> Any:
    wide, narrow = (sizes.batch, sizes.time, sizes.channels), (sizes.batch, sizes.time, sizes.states)
    arrays = [
        mx.random.normal(wide),
        mx.exp(mx.random.normal(wide) - 3),
        -mx.exp(mx.random.normal((sizes.channels, sizes.states))),
        mx.random.normal(narrow),
        mx.random.normal(narrow),
        mx.random.normal((sizes.channels,)),
        mx.zeros((sizes.batch, sizes.channels, sizes.states)),
    ]
    mx.eval(arrays)
    return arrays


def _selective(sizes: Sizes) -> tuple[Callable[[], object], Callable[[], object]]:
    """The scan, and the scan with every gradient."""
    arrays = _arguments(sizes)
    weights = mx.random.normal(arrays[0].shape)
    mx.eval(weights)
    gradients = mx.value_and_grad(lambda *a: (scan.selective_scan(*a)[0] * weights).sum(), tuple(range(7)))
    return (lambda: scan.selective_scan(*arrays)), (lambda: gradients(*arrays))


def _plain_scan(sizes: Sizes) -> Callable[[], object]:
    """The same scan with gradients as MLX operations over whole arrays: pairs (decay, state) combined in log2(time) rounds."""
    arrays = _arguments(sizes)
    weights = mx.random.normal(arrays[0].shape)
    mx.eval(weights)

    def scanned(u: mx.array, dt: mx.array, A: mx.array, B: mx.array, C: mx.array, D: mx.array) -> mx.array:
        decay = mx.exp(dt[..., None] * A)
        h = (decay - 1) / A * B[:, :, None] * u[..., None]
        reach = 1
        while reach < sizes.time:
            before_h = mx.pad(h[:, :-reach], [(0, 0), (reach, 0), (0, 0), (0, 0)])
            before = mx.pad(decay[:, :-reach], [(0, 0), (reach, 0), (0, 0), (0, 0)])
            h, decay = decay * before_h + h, decay * before
            reach *= 2
        return (h * C[:, :, None]).sum(-1) + D * u

    gradients = mx.compile(mx.value_and_grad(lambda *a: (scanned(*a) * weights).sum(), tuple(range(6))))
    return lambda: gradients(*arrays[:6])


def _gated(name: str, sizes: Sizes) -> Callable[[], object]:
    rows, hidden = {"gru": 3, "lstm": 4}[name], sizes.hidden
    gates = mx.random.normal((sizes.batch, sizes.gated_time, rows * hidden))
    weight = mx.random.normal((rows * hidden, hidden)) * hidden**-0.5
    rest = [mx.zeros((hidden,))] if name == "gru" else []
    mx.eval(gates, weight, rest)
    function = getattr(scan, f"{name}_scan")
    gradients = mx.value_and_grad(lambda *a: function(*a, *rest)[0].sum(), (0, 1))
    return lambda: gradients(gates, weight)


class _Noise:
    """A source whose data cost nothing, so that the training step alone is timed."""

    sample_rate, training_settings = 48000, 512
    name, description = "noise", "noise"
    dbu_at_full_scale: float | None = None
    remarks: tuple[str, ...] = ()
    validation: list[Take] = []  # noqa: RUF012
    test: dict[str, list[Take]] = {}  # noqa: RUF012

    def __init__(self, samples: int) -> None:
        self.panel = device("cl1b").panel
        x = (0.1 * np.random.default_rng(0).standard_normal(samples)).astype(np.float32)
        self._take = Take(x, 0.5 * x, self.panel.setting({}))

    def sequence(self, index: int) -> Take:
        return self._take


@contextmanager
def noise_trainer(config: TrainConfig) -> Iterator[Trainer]:
    """A trainer of `opto` that learns from noise, closed afterwards."""
    trainer = Trainer(config, _Noise(20 * _Noise.sample_rate))
    try:
        yield trainer
    finally:
        trainer.close()


def _training_step(sizes: Sizes, batch: int) -> tuple[float, float]:
    """Seconds a step, over many steps because they overlap, and the seconds of audio in it."""
    with noise_trainer(TrainConfig(engine="gpu", steps=1000, batch=batch, frames=sizes.frames)) as trainer:
        trainer.advance()
        trainer.check()
        start = time.perf_counter()
        for _ in range(sizes.repeats):
            trainer.advance()
        trainer.check()
        seconds = (time.perf_counter() - start) / sizes.repeats
        return seconds, batch * sizes.frames * trainer.model.frame / trainer.source.sample_rate


def _rendering(compressor: Compressor, engine: str, seconds: int) -> float:
    rate = compressor.sample_rate
    x = (0.1 * np.random.default_rng(0).standard_normal(seconds * rate)).astype(np.float32)
    compressor(x[:rate], rate, engine=engine)
    start = time.perf_counter()
    compressor(x, rate, engine=engine)
    return time.perf_counter() - start
