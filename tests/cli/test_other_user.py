"""Commands as another user: no home, a read-only one, a cache that somebody else has prepared."""

import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mlxopto import weights
from tests.cli.test_bad_requests import RUN

NOBODY = 65534


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that the other user may reach and write to, with a sound file and a folder for temporary files."""
    if os.geteuid() or not shutil.which("setpriv"):
        pytest.skip("needs root, and setpriv (util-linux), to be another user")
    folder = Path(tempfile.mkdtemp(prefix="mlxopto-test-"))  # pytest's own folders are closed to others
    for path in (folder, folder / "tmp"):
        path.mkdir(exist_ok=True)
        path.chmod(0o777)
    soundfile.write(folder / "x.wav", np.zeros(100), 48000)
    yield folder
    shutil.rmtree(folder)


def as_nobody(place: Path, **environment: str | None) -> subprocess.CompletedProcess:
    """Renders as the other user, who may read everything, so also an interpreter in somebody's home, but write only where
    others may.
    """
    capability = "--ambient-caps=+dac_read_search", "--inh-caps=+dac_read_search"
    user = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *capability]
    given = {**os.environ, "TMPDIR": str(place / "tmp"), **environment}
    given.pop("NUMBA_CACHE_DIR", None)
    model = str(weights.shipped()["la2a-light"])
    return subprocess.run(
        [*user, *RUN, "render", "x.wav", "-o", "o.wav", "--force", "--model", model],
        env={name: value for name, value in given.items() if value is not None},
        cwd=place, capture_output=True, text=True, check=False, timeout=1200,
    )  # fmt: skip


def worked(result: subprocess.CompletedProcess) -> str:
    """What it said of the cache."""
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    return "\n".join(line for line in result.stderr.splitlines() if line.startswith("mlxopto: "))


def test_without_a_home_a_private_temporary_folder_holds_the_cache_and_it_is_said(place):
    said = worked(as_nobody(place, HOME="/nonexistent", XDG_CACHE_HOME=None))
    assert "compiled code is kept in" in said
    private = place / "tmp" / f"mlxopto-{NOBODY}"
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    assert private.stat().st_uid == NOBODY


def test_with_a_home_that_is_read_only(place):
    home = place / "home"
    home.mkdir(mode=0o755)
    assert f"compiled code is kept in {place / 'tmp'}" in worked(as_nobody(place, HOME=str(home), XDG_CACHE_HOME=None))
    assert list(home.iterdir()) == []


def test_a_cache_of_somebody_elses_is_not_used(place):
    foreign = place / "cache" / "mlxopto"
    foreign.mkdir(parents=True)
    foreign.chmod(0o777)
    said = worked(as_nobody(place, XDG_CACHE_HOME=str(place / "cache")))
    assert "belongs to another user" in said
    assert list(foreign.iterdir()) == []


def test_a_shared_cache_home_gets_a_folder_that_is_the_users_alone(place):
    shared = place / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    assert worked(as_nobody(place, XDG_CACHE_HOME=str(shared))) == ""
    assert stat.S_IMODE((shared / "mlxopto").stat().st_mode) == 0o700
    os.chmod(shared / "mlxopto", 0o777)  # noqa: PTH101
    assert worked(as_nobody(place, XDG_CACHE_HOME=str(shared))) == ""
    assert stat.S_IMODE((shared / "mlxopto").stat().st_mode) == 0o700


def test_an_output_folder_that_is_closed_is_refused(place):
    place.chmod(0o755)
    result = as_nobody(place, XDG_CACHE_HOME=str(place / "tmp"))
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1] == "mlxopto: the output folder . cannot be written to"
