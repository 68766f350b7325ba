"""Fixtures that the tests share."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest

from mlxopto import weights
from mlxopto.compressor import Compressor
from mlxopto.devices import DEVICES
from mlxopto.models import build
from mlxopto.nn.side_chain import GAIN_COMPUTERS, RECTIFIED
from mlxopto.scan import gpu
from tests.scan import emulator

# PortAudio would attach this process to a JACK server of the user's, and crash it when a test starts its own
os.environ.update(JACK_DEFAULT_SERVER="mlxopto-tests", JACK_NO_START_SERVER="1")
# a shell that starts tests in the background ignores Ctrl-C for them, and the commands under test would inherit that
signal.signal(signal.SIGINT, signal.default_int_handler)
SHARED = Path(__file__).resolve().parents[2] / "shared"
TURN, MACHINE = Path(__file__), Path(__file__).with_name("__init__.py")  # files to be locked


@pytest.fixture(autouse=True)
def _on_the_cpu():
    """The native kernels are what these tests are about; on a Mac MLX would choose the GPU."""
    with mx.stream(mx.cpu):
        yield


def shared(path: str) -> Path:
    """A file beside the checkout, or a skip that says what is missing."""
    found = SHARED / path
    if not found.exists():
        pytest.skip(f"needs ../shared/{path}, which only the project's own machines have")
    return found


def untrained(device: str = "cl1b", **config: int) -> Compressor:
    """A network with random weights that compresses at random: everything but its accuracy is that of a trained one."""
    mx.random.seed(1)
    panel = DEVICES[device].panel
    model = build("opto", {"controls": len(panel.controls), **config})
    still = (model.head, model.cell, model.colour, *model.side_chain.children().values())  # these start as the identity
    for layer in still:
        layer.update({name: array + 0.05 * mx.random.normal(array.shape) for name, array in layer.parameters().items()})
    model.side_chain.rectifier = 0.1 * mx.random.normal((RECTIFIED,))
    model.steepness = mx.array([0.1])
    model.side_chain.share = 0.2 * mx.random.normal((GAIN_COMPUTERS,))
    model.side_chain.auto_makeup = 0.05 * mx.random.normal((1,))
    mx.eval(model.parameters())
    card = weights.Card(name=device, architecture="opto", config=model.config.__dict__, sample_rate=48000, panel=panel)
    return Compressor(model, card)


@pytest.fixture(scope="session")
def weights_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights file of an untrained CL 1B model."""
    path = tmp_path_factory.mktemp("weights") / "untrained.safetensors"
    with mx.stream(mx.cpu):
        compressor = untrained()
        weights.save(path, compressor.model, compressor.card)
    return path


@pytest.fixture
def noise() -> np.ndarray:
    """Two seconds of noise at 48 kHz whose level jumps, float32."""
    rng = np.random.default_rng(3)
    levels = np.repeat(10 ** rng.uniform(-3, -0.3, 20), 4800)
    return (rng.standard_normal(96000) * levels * 0.3).astype(np.float32)


@pytest.fixture(scope="session")
def _program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[emulator.Emulator]:
    if sys.platform == "darwin":
        pytest.skip("fibers and the address sanitizer need Linux; on a Mac the GPU itself runs these tests")
    found = emulator.compiler()
    if found is None:
        pytest.skip("needs a C++ compiler (c++, g++ or clang++)")
    running = emulator.Emulator(tmp_path_factory.mktemp("emulator"), found)
    yield running
    running.close()


@pytest.fixture
def emulated(_program: emulator.Emulator, monkeypatch: pytest.MonkeyPatch) -> emulator.Emulator:
    """The kernels as C++ under sanitizers: `scan` chooses the GPU, and its launches go to the emulator."""
    for module in emulator.MODULES:
        monkeypatch.setattr(module, "launch", _program.launch)
    monkeypatch.setattr(gpu, "obstacle", lambda name: None)
    monkeypatch.setenv("MLXOPTO_SCAN", "gpu")
    _program.order, _program.bytes = 0, 0
    return _program


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--small", action="store_true", help="run slow tests in a small form")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, bool | None, bool | None]:
    """Tests that mind the clock run while no other worker's do; without workers everything does anyway."""
    with ExitStack() as held:
        if hasattr(item.config, "workerinput"):
            mode = fcntl.LOCK_EX if item.get_closest_marker("clock") else fcntl.LOCK_SH
            with locked(TURN, fcntl.LOCK_EX):  # who waits for the machine is next, so that nobody waits for ever
                held.enter_context(locked(MACHINE, mode))
        return (yield)


@contextmanager
def locked(path: Path, mode: int) -> Iterator[None]:
    """Holds a lock on a file, which is only opened."""
    with path.open() as file:
        fcntl.flock(file, mode)
        yield
