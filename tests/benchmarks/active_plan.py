"""What `mlxopto capture plan` is worth: errors on unseen settings against how many were recorded, proposed ones against an even
plan.

    python -m tests.benchmarks.active_plan OUT [--steps 300] [--seeds 3] [DEVICE ...]

A virtual unit is recorded at some settings and a model is trained. Then settings are added, by the even plan that went on, or
as the model proposes, and a fresh model is trained each time with the same number of steps. Prints a Markdown table and draws
OUT/DEVICE.png; the same command goes on where it was interrupted.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import soundfile

from mlxopto import compressor as compressors
from mlxopto.capture import plan, signals
from mlxopto.capture.proposals import propose
from mlxopto.controls import Setting, latin_hypercube
from mlxopto.data import program
from mlxopto.data.captures import panel_document
from mlxopto.devices import Device, device
from mlxopto.evaluation.studies.runs import take_errors
from mlxopto.training import run
from mlxopto.training.config import TrainConfig
from tests.benchmarks.results import tell

RATE, SECONDS = 48000, 8.0
COUNTS = {"la2a": (6, 10, 16), "cl1b": (12, 18, 24)}  # four knobs need more to begin with
ARCH = "opto_light"
TESTS, TEST_S = 32, 6.0
PLANS = ("even", "proposed")


def record(folder: Path, unit: Device, settings: Sequence[Setting], seed: int) -> Path:
    """A captures folder of a virtual unit; validation at the middle, the test at random settings, the same for both plans."""
    folder.mkdir(parents=True)
    uniforms = np.random.default_rng([seed, 9]).random((TESTS, len(unit.panel.controls))).tolist()
    takes = [("val", plan.middle(unit.panel), signals.take(SECONDS, RATE, 10_000 + seed))]
    takes += [("train", setting, signals.take(SECONDS, RATE, 100 * seed + k)) for k, setting in enumerate(settings)]
    for k, setting in enumerate(latin_hypercube(unit.panel, TESTS, uniforms)):
        takes.append(("unseen", setting, program.generate(TEST_S, RATE, np.random.SeedSequence([5, seed, k]))))
    manifest = []
    for number, (split, setting, x) in enumerate(takes):
        for kind, samples in (("x", x), ("y", unit.process(x, RATE, setting))):
            soundfile.write(folder / f"{kind}{number}.wav", samples, RATE, "FLOAT")
        manifest.append(
            {"input": f"x{number}.wav", "target": f"y{number}.wav", "controls": unit.panel.in_units(setting), "split": split}
        )
    (folder / "device.json").write_text(json.dumps(panel_document(unit.name, unit.panel)))
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def trained(out: Path, unit: Device, settings: Sequence[Setting], seed: int, steps: int) -> dict[str, Any]:
    """The result of a run, from its folder where it has been made."""
    done = out / "result.json"
    if not done.exists():
        data = record(out / "data", unit, settings, seed)
        config = TrainConfig(device=None, data=str(data), arch=ARCH, steps=steps, seed=seed, engine="cpu")
        result = run.train(config, out / "run", lambda progress: None)
        assert result
        done.write_text(json.dumps({"result": result, "settings": list(settings)}))
        for sound in data.glob("*.wav"):
            sound.unlink()
    return json.loads(done.read_text())


def errors(result: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    return tuple(take_errors(result, "unseen", metric) for metric in ("esr", "gain_error_db"))  # type: ignore[return-value]


def one(out: Path, unit: Device, seed: int, steps: int) -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
    """Errors of the test takes for each plan and count, from one start."""
    counts = COUNTS[unit.name]
    even = list(islice(plan.settings(unit.panel), 40 * seed, 40 * seed + max(counts)))
    first = trained(out / f"{unit.name}-{seed}-{counts[0]}", unit, even[: counts[0]], seed, steps)
    found = {name: [errors(first["result"])] for name in PLANS}
    for name in PLANS:
        settings, weights = even[: counts[0]], out / f"{unit.name}-{seed}-{counts[0]}" / "run"
        for count in counts[1:]:
            folder = out / f"{unit.name}-{seed}-{count}-{name}"
            if name == "even":
                settings = even[:count]
            elif not (folder / "result.json").exists():
                known = [plan.middle(unit.panel), *settings]
                proposals = propose(compressors.load(str(weights)), known, [], count - len(settings), lambda share: None)[1]
                settings = [*settings, *(proposal.setting for proposal in proposals)]
            result = trained(folder, unit, settings, seed, steps)
            settings, weights = result["settings"], folder / "run"
            found[name].append(errors(result["result"]))
            print(unit.name, seed, count, name, *(f"{np.median(e):.2e} {np.mean(e):.2e}" for e in found[name][-1]), flush=True)
    return found


def report(out: Path, unit: Device, found: Sequence[dict[str, list[tuple[np.ndarray, np.ndarray]]]]) -> None:
    """A table and a picture: medians and means over the takes of all seeds."""
    rows = []
    curves: dict[str, list[float]] = {name: [] for name in PLANS}
    for place, count in enumerate(COUNTS[unit.name]):
        cells = []
        for name in PLANS:
            esr, gain = (np.concatenate([seed[name][place][metric] for seed in found]) for metric in (0, 1))
            curves[name].append(float(np.mean(gain)))
            cells += [f"{np.median(esr):.1e}", f"{np.mean(esr):.1e}", f"{np.mean(gain):.2f}"]
        rows.append((count, *cells))
    columns = ["settings", *(f"{name}: {what}" for name in PLANS for what in ("ESR, median", "mean", "gain error, mean"))]
    tell(f"What to record next, {unit.title}", columns, rows, f"{len(found)} seeds")
    figure, axes = plt.subplots(figsize=(5, 3.2), layout="constrained")
    for name in PLANS:
        axes.plot(COUNTS[unit.name], curves[name], marker="o", label=name)
    axes.set(xlabel="settings recorded", ylabel="mean gain error, unseen, dB RMS", title=unit.title)
    axes.legend()
    figure.savefig(out / f"{unit.name}.png", dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("devices", nargs="*", default=["la2a", "cl1b"])
    given = parser.parse_args()
    for name in given.devices:
        report(given.out, device(name), [one(given.out, device(name), seed, given.steps) for seed in range(given.seeds)])
