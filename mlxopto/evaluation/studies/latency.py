"""What a sample costs by architecture: in blocks as a live loop asks for them, and in sequences as a renderer does."""

from __future__ import annotations

import time
from typing import Any

import mlx.core as mx

from mlxopto.compressor import Compressor
from mlxopto.devices import device
from mlxopto.evaluation.studies.runs import Study, table
from mlxopto.models import ARCHITECTURES, Network, fresh
from mlxopto.speed.engine import BlockTimer, Contender, in_turns, machine
from mlxopto.weights import Card

NAME = "latency"
BLOCKS = (32, 64, 128, 256, 512, 1024, 2048, 4096)
LENGTHS = (1 << 12, 1 << 14, 1 << 16)  # samples of a sequence
RATE = 48000
_UNIT = "cl1b"
_TURNS = 5


class _Blocks:
    """A network through MLX in blocks of one size that carry its state, on one device."""

    def __init__(self, model: Network, block: int, where: mx.Device):
        self._model, self._where, self._block = model, where, block
        with mx.stream(where):
            self._x = 0.1 * mx.random.normal((1, block))
            self._controls = mx.zeros((1, model.config.controls))
            self._state = model.initial_state(self._controls)
            mx.eval(self._x, self._controls, self._state)

    def run(self, calls: int) -> float:
        """ns a sample over so many calls."""
        start = time.perf_counter()
        with mx.stream(self._where):
            for _ in range(calls):
                y, self._state = self._model(self._x, self._controls, self._state)
                mx.eval(y, self._state)
        return 1e9 * (time.perf_counter() - start) / (calls * self._block)


def study(study: Study) -> dict[str, Any]:
    """Measures, writes report.md and a picture, and gives the figures. The first rank alone, undisturbed by the others."""
    study.begin(NAME, {})
    document: dict[str, Any] = {"study": NAME, "machine": machine(), "rows": []}
    if study.ranks.first:
        document["rows"] = list(_rows(study))
    study.finish(NAME, document, report(document))
    study.ranks.barrier()
    return document


def _rows(study: Study) -> list[dict[str, Any]]:
    panel = device(_UNIT).panel
    places = {"cpu": mx.cpu, **({"gpu": mx.gpu} if mx.metal.is_available() or mx.cuda.is_available() else {})}
    rows = []
    for where, place in places.items():
        for arch in ARCHITECTURES:
            study.tell(f"{arch} on the {where}")
            mx.random.seed(0)
            model = fresh(arch, panel, RATE, 128)
            mx.eval(model.parameters())
            sizes = (*BLOCKS, *LENGTHS)
            costs = in_turns([Contender("", size, _Blocks(model, size, mx.Device(place)).run) for size in sizes], _TURNS)
            rows += [_row(f"{arch}, MLX", where, size, cost.ns) for size, cost in zip(sizes, costs, strict=True)]
    study.tell("opto, native engine")
    model = fresh("opto", panel, RATE, 128)
    mx.eval(model.parameters())
    native = Compressor(model, Card(_UNIT, "opto", model.config.__dict__, RATE, panel))
    timers = [BlockTimer(native, 1, block) for block in BLOCKS]
    costs = in_turns([Contender("", timer.block, timer.run) for timer in timers], _TURNS)
    return rows + [_row("opto, native engine", "cpu", block, cost.ns) for block, cost in zip(BLOCKS, costs, strict=True)]


def _row(name: str, where: str, size: int, ns: float) -> dict[str, Any]:
    return {
        "name": name, "device": where, "samples": size, "ns_per_sample": round(ns, 1),
        "real_time_factor": float(f"{1e9 / RATE / ns:.3g}"),
    }  # fmt: skip


def report(document: dict[str, Any]) -> str:
    """Markdown."""
    sizes = sorted({row["samples"] for row in document["rows"]})
    rows = []
    for name, where in dict.fromkeys((row["name"], row["device"]) for row in document["rows"]):
        factors = {
            row["samples"]: row["real_time_factor"] for row in document["rows"] if (row["name"], row["device"]) == (name, where)
        }
        rows.append([name, where, *(f"{factors[size]:g}" if size in factors else "" for size in sizes)])
    return "\n".join(
        [
            "# Computing time by block and sequence\n",
            f"Times faster than real time at {RATE} Hz, mono, by samples handed over at once; the state is "
            "carried from block to "
            f"block. No network looks ahead. {document['machine']}. Medians of {_TURNS} turns.\n",
            table(["network", "device", *map(str, sizes)], rows),
            "![Times real time by block](latency.png)\n",
        ]
    )
