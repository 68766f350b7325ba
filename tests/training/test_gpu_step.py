"""The training step of the GPU: the numbers of the CPU's, one graph compiled once, and no harm from a gradient that is not
finite.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from mlxopto.data.takes import Take
from mlxopto.devices import device
from mlxopto.models import ARCHITECTURES
from mlxopto.nn import functional
from mlxopto.training import run
from mlxopto.training.config import TrainConfig
from mlxopto.training.step import DEVICES
from mlxopto.training.trainer import Trainer
from tests.scan import emulator
from tests.scan.test_gpu import Shapes

KERNELS = {
    "opto": {"selective_outputs", "selective_gradients", "leaky_sums", "ballistics_forward", "ballistics_adjoint"},
    "s6_paper": {"selective_outputs", "selective_gradients", "gru_forward", "gru_adjoint"},
    "lstm": {"lstm_forward", "lstm_adjoint"},
}


class Noise:
    """Noise that halves at every setting of the knobs."""

    sample_rate, training_settings = 48000, 4
    name, description, dbu_at_full_scale = "noise", "noise", None
    validation: list[Take] = []  # noqa: RUF012
    test: dict[str, list[Take]] = {}  # noqa: RUF012

    def __init__(self) -> None:
        self.panel = device("cl1b").panel

    def sequence(self, index: int) -> Take:
        x = (0.1 * np.random.default_rng(index).standard_normal(5000)).astype(np.float32)
        return Take(x, 0.5 * x, self.panel.setting({}))


def trainer(engine: str, **changes: float) -> Trainer:
    settings = {"steps": 50, "batch": 3, "frames": 32, "warmup": 2, **changes}
    return Trainer(TrainConfig(engine=engine, **settings), Noise())


def losses(of: Trainer, steps: int) -> list[list[float]]:
    names = ("loss", "waveform", "gain", "gradient_norm")
    found = [[float(getattr(result, name)) for name in names] for result in (of.advance() for _ in range(steps))]
    of.close()
    return found


@pytest.fixture
def uncompiled() -> Iterator[None]:
    """The CPU's kernels read arrays, which a graph that is being compiled does not have."""
    mx.disable_compile()
    yield
    mx.enable_compile()


def test_the_gpu_step_gives_the_numbers_of_the_cpu_step(uncompiled):
    np.testing.assert_allclose(losses(trainer("gpu"), 12), losses(trainer("cpu"), 12), rtol=1e-4)


def test_with_the_kernels_of_the_gpu_the_numbers_are_the_same(uncompiled, request):
    expected = losses(trainer("cpu", frames=16), 3)
    request.getfixturevalue("emulated")
    np.testing.assert_allclose(losses(trainer("gpu", frames=16), 3), expected, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_the_step_is_traced_once_and_then_only_queued(monkeypatch, arch):
    launches = []

    def launch(kernel, *arguments, **constants):
        launches.append(kernel.name)
        return Shapes.launch(kernel, *arguments, **constants)

    for module in emulator.MODULES:
        monkeypatch.setattr(module, "launch", launch)
    monkeypatch.setattr("mlxopto.scan.gpu.obstacle", lambda name: None)
    monkeypatch.setattr(functional, "runs_native", lambda x: False)
    monkeypatch.setenv("MLXOPTO_SCAN", "gpu")
    learner = trainer("gpu", frames=8 if arch.startswith("opto") else 64, arch=arch)
    before = np.array(learner.model.head.weight)
    learner.advance()
    traced = len(launches)
    assert KERNELS.get(arch, set()) <= set(launches)
    results = [learner.advance() for _ in range(3)]
    assert len(launches) == traced
    assert all(math.isfinite(float(result.loss)) for result in results)
    assert not np.array_equal(before, np.array(learner.model.head.weight))
    learner.close()


def test_a_gradient_that_is_not_finite_changes_nothing_and_is_counted(uncompiled):
    learner = trainer("gpu")
    for _ in range(4):
        learner.advance()
    weight = learner.model.head.weight
    learner.model.head.weight = mx.full(weight.shape, math.nan)
    before = everything(learner)
    for count in (1, 2):
        learner.advance()
        assert learner.progress()["not_finite"] == count
    for (name, a), (_, b) in zip(before, everything(learner), strict=True):
        if not name.startswith("1.learning_rate"):
            np.testing.assert_array_equal(a, b, err_msg=name)
    learner.model.head.weight = weight
    assert math.isfinite(float(learner.advance().loss))
    assert learner.progress()["not_finite"] == 0
    learner.close()


def everything(learner: Trainer) -> list[tuple[str, np.ndarray]]:
    return [(name, np.array(a)) for name, a in tree_flatten([learner.model.parameters(), learner.arrays()["optimizer"]])]


def test_an_interrupted_run_goes_on_to_the_same_bits(uncompiled, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "engine", lambda config: "gpu")
    monkeypatch.setitem(DEVICES, "gpu", mx.cpu)
    monkeypatch.setattr(run, "LOG_EVERY", 5)
    monkeypatch.setattr(run, "CHECKPOINT_EVERY_S", 0.0)
    config = TrainConfig(device="la2a", quick=True, steps=20, batch=3, frames=32, warmup=2)

    def stop(progress: run.Progress) -> None:
        if progress.step == 10:
            raise KeyboardInterrupt

    run.train(config, tmp_path / "whole", lambda progress: None)
    with pytest.raises(KeyboardInterrupt):
        run.train(config, tmp_path / "broken", stop)
    run.resume(tmp_path / "broken", lambda progress: None)
    whole, broken = (mx.load(str(tmp_path / name / run.WEIGHTS)) for name in ("whole", "broken"))
    for name, array in whole.items():
        np.testing.assert_array_equal(np.array(array), np.array(broken[name]), err_msg=name)
