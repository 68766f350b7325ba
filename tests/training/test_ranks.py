"""Several processes that train one model: the same losses as one with the whole batch, through a checkpoint too."""

import json
import os
import subprocess
import sys
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest

from mlxopto.data.virtual import VirtualSource
from mlxopto.devices import device
from mlxopto.errors import RequestError
from mlxopto.training.chunks import ChunkStream
from mlxopto.training.config import TrainConfig
from mlxopto.training.ranks import ALONE, Ranks
from mlxopto.training.trainer import Trainer
from tests.training.two_ranks import AFTER, BEFORE, losses

LAUNCH = Path(sys.executable).parent / "mlx.launch"
ROOT = Path(__file__).resolve().parents[2]


def launched(*command: str) -> subprocess.CompletedProcess:
    if not LAUNCH.exists():
        pytest.skip("needs mlx.launch, which MLX installs")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [str(LAUNCH), "-n", "2", "--", *command], capture_output=True, text=True, timeout=1200, cwd=ROOT, env=environment
    )


def test_two_ranks_learn_what_one_learns_with_twice_the_batch(tmp_path):
    done = launched(sys.executable, "-m", "tests.training.two_ranks", str(tmp_path))
    assert done.returncode == 0, done.stderr
    two = json.loads((tmp_path / "losses.json").read_text())
    assert two["ranks"] == 2
    one = losses(tmp_path, ALONE)
    assert len(one) == BEFORE + AFTER
    np.testing.assert_allclose(two["losses"], one, rtol=1e-4)  # sums in another order; 3e-5 were seen after 20 steps
    assert one[-1] < one[0]


def test_the_command_line_trains_on_two_ranks_and_one_of_them_speaks(tmp_path):
    program = [sys.executable, "-c", "from mlxopto_cli.app import main; main()", "train"]
    options = ["--device", "la2a", "--quick", "--steps", "3", "--engine", "cpu", "--out", str(tmp_path / "run"), "--json"]
    done = launched(*program, *options)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("{")]
    result = json.loads(line)
    assert result["steps"] == 3
    assert len((tmp_path / "run/log.jsonl").read_text().splitlines()) == 2  # the last step, and its validation


def test_every_rank_plays_its_own_slots_of_the_whole_batch():
    source = VirtualSource(device("la2a"), 48000, 0, settings=6, takes=2, pool_s=30.0)
    whole, *parts = (
        ChunkStream(source, batch, 40_000, ranks) for batch, ranks in ((6, ALONE), (3, Ranks(0, 2)), (3, Ranks(1, 2)))
    )
    for _ in range(30):  # beyond the longest sequence
        chunk, halves = whole.next(), [part.next() for part in parts]
        for name in ("x", "y", "controls", "power", "starts"):
            both = np.concatenate([getattr(half, name) for half in halves])
            np.testing.assert_array_equal(getattr(chunk, name), both)
    assert whole.position() == parts[0].position() + parts[1].position()
    for stream in (whole, *parts):
        stream.close()


def test_a_part_of_what_was_gathered_is_what_a_rank_had():
    everything = {"a": mx.arange(12).reshape(6, 2)}
    shares = [Ranks(rank, 3).share(everything)["a"] for rank in range(3)]
    assert mx.array_equal(mx.concatenate(shares), everything["a"])
    assert ALONE.share(everything) is everything


def trainer(ranks: Ranks = ALONE) -> Trainer:
    source = VirtualSource(device("la2a"), 48000, 0, settings=6, takes=2, pool_s=30.0)
    return Trainer(TrainConfig(device="la2a", steps=4, engine="cpu", batch=2, frames=32), source, ranks)


@pytest.mark.parametrize("change", ["ranks", "version", "parameter", "shape"])
def test_what_other_ranks_or_an_older_version_began_is_refused(change):
    one = trainer()
    one.advance()
    arrays, progress = one.arrays(), one.progress()
    if change == "ranks":
        progress["ranks"] = 3
        sentence = "was begun by 3 ranks, so 1 cannot go on with it"
    else:
        sentence = "was begun by an older mlxopto"
        if change == "version":
            del arrays["slots"]
        elif change == "parameter":
            del arrays["model"]["side_chain"]["range"]
        else:
            arrays["model"]["head"]["weight"] = arrays["model"]["head"]["weight"][:, 1:]
    with pytest.raises(RequestError, match=sentence):
        one.restore(arrays, progress)
    one.close()


def test_a_checkpoint_after_a_gradient_that_was_not_finite_has_no_states():
    one = trainer()
    one.advance()
    one.model.head.weight = mx.full(one.model.head.weight.shape, float("nan"))
    one.advance()
    assert one.arrays()["states"] == []
    one.close()
