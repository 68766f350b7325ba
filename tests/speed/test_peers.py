"""The engines that `mlxopto bench --peers` measures beside ours: each does its work, and an absent one is named."""

from __future__ import annotations

import importlib
import subprocess
import sys

import numpy as np
import pytest

from mlxopto.speed import peers

NEEDS = {
    "pedalboard Compressor": ("pedalboard",),
    "torchcomp": ("torch", "torchlpc", "torchcomp"),
    "PyTorch LSTM-16": ("torch",),
    "PyTorch S6 (mambapy)": ("torch", "mambapy"),
    "PyTorch S6 (mambapy), streaming": ("torch", "mambapy"),
}
ENGINES = {
    "pedalboard Compressor": peers.pedalboard_compressor,
    "torchcomp": peers.torchcomp_compressor,
    "PyTorch LSTM-16": peers.pytorch_lstm,
    "PyTorch S6 (mambapy)": peers.pytorch_s6,
    "PyTorch S6 (mambapy), streaming": peers.pytorch_s6_streaming,
}


def engine(name: str) -> peers.Engine:
    """That peer's engine, or a skip that says what is missing."""
    for package in NEEDS[name]:
        pytest.importorskip(package, reason=f"needs {package}, which the extra 'peers' installs")
    return ENGINES[name]()


@pytest.fixture
def without(monkeypatch):
    """Makes packages look as if they were not installed."""

    def remove(*packages: str) -> None:
        real = importlib.import_module

        def import_module(name: str):
            if name.partition(".")[0] in packages:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name.partition(".")[0])
            return real(name)

        monkeypatch.setattr(peers, "import_module", import_module)

    return remove


@pytest.mark.parametrize("name", ENGINES)
def test_a_peer_steps_through_blocks(name):
    engine(name)
    found = {peer.name: peer for peer in peers.installed(256)[0]}
    stateless = {"torchcomp": 48000, "PyTorch S6 (mambapy)": 4096}
    assert found[name].block == stateless.get(name, 256)
    found[name].step()


@pytest.mark.parametrize("name", ENGINES)
def test_a_peer_gives_a_sample_for_every_sample(name, noise):
    y = engine(name)(noise[:2048])
    assert y.shape == (2048,)
    assert y.dtype == np.float32
    assert np.all(np.isfinite(y))
    assert np.std(y) > 0


@pytest.mark.parametrize("name", ["pedalboard Compressor", "torchcomp"])
def test_both_compressors_are_set_to_the_same_curve(name):
    y = engine(name)(np.ones(48000, np.float32))
    over_db = -peers.THRESHOLD_DB
    assert 20 * np.log10(y[-1]) == pytest.approx(over_db / peers.RATIO - over_db, abs=0.1)


@pytest.mark.parametrize("name", ["pedalboard Compressor", "PyTorch LSTM-16", "PyTorch S6 (mambapy), streaming"])
def test_a_peer_with_state_goes_on_where_the_last_block_ended(name, noise):
    outputs = []
    for cuts in ([1000], [1, 64, 500]):
        process = engine(name)
        outputs.append(np.concatenate([process(part) for part in np.split(noise[:2000], cuts)]))
    assert outputs[0] == pytest.approx(outputs[1], abs=1e-6)


def test_both_forms_of_the_s6_are_one_network(noise):
    whole, streamed = engine("PyTorch S6 (mambapy)"), engine("PyTorch S6 (mambapy), streaming")
    assert streamed(noise[:128]) == pytest.approx(whole(noise[:128]), abs=1e-5)


def test_pytorch_runs_on_one_thread():
    engine("PyTorch LSTM-16")
    import torch

    assert torch.get_num_threads() == 1


def test_each_absent_package_is_named_in_a_sentence(without):
    without("pedalboard", "torchcomp", "mambapy", "torch")
    found, absent = peers.installed(64)
    assert found == []
    assert absent == [
        "pedalboard Compressor is not measured: the package pedalboard is not installed.",
        "torchcomp is not measured: the package torch is not installed.",
        "PyTorch LSTM-16 is not measured: the package torch is not installed.",
        "PyTorch S6 (mambapy) is not measured: the package torch is not installed.",
        "PyTorch S6 (mambapy), streaming is not measured: the package torch is not installed.",
    ]


@pytest.mark.parametrize(("package", "name"), [("torchcomp", "torchcomp"), ("mambapy", "PyTorch S6 (mambapy)")])
def test_only_the_peers_of_an_absent_package_are_left_out(without, package, name):
    engine(name)
    without(package)
    found, absent = peers.installed(64)
    assert name not in {peer.name for peer in found}
    assert f"{name} is not measured: the package {package} is not installed." in absent
    assert len(found) + len(absent) == len(ENGINES)


def test_a_package_that_fails_to_load_is_reported_not_raised(monkeypatch):
    def import_module(name: str):
        raise OSError(f"lib{name}.so: undefined symbol")

    monkeypatch.setattr(peers, "import_module", import_module)
    found, absent = peers.installed(64)
    assert found == []
    assert absent[0] == "pedalboard Compressor is not measured: libpedalboard.so: undefined symbol."


def test_importing_the_module_imports_no_peer():
    heavy = "{'torch', 'torchcomp', 'mambapy', 'pedalboard'}"
    code = f"import sys, mlxopto.speed.peers; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
