"""Files and folders: whole or not at all, nobody's file replaced, one process at a time."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlxopto import files
from mlxopto.errors import RequestError, WorkError

HOLD = "import sys, time; from pathlib import Path; from mlxopto import files\n"


def started(code: str, folder: Path) -> subprocess.Popen:
    """Another process of ours, once it has said that it is ready."""
    process = subprocess.Popen([sys.executable, "-c", HOLD + code, folder], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


def end(process: subprocess.Popen, how: int = signal.SIGKILL) -> None:
    process.send_signal(how)
    process.communicate()


def test_a_file_that_appears_meanwhile_is_not_replaced(tmp_path):
    path = tmp_path / "x.txt"
    with pytest.raises(RequestError, match=r"x\.txt exists already"), files.replacing(path, force=False) as temporary:
        temporary.write_text("ours")
        path.write_text("theirs")
    assert path.read_text() == "theirs"
    assert [p.name for p in tmp_path.iterdir()] == ["x.txt"]


def test_the_same_where_the_file_system_has_no_hard_links(tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / "x.txt"
    files.write_text(path, "first", force=False)
    with pytest.raises(RequestError, match="exists already"), files.replacing(path, force=False) as temporary:
        temporary.write_text("second")
    assert path.read_text() == "first"


def test_what_a_killed_process_left_is_swept_and_what_a_living_one_writes_is_not(tmp_path):
    code = (
        "with files.replacing(Path(sys.argv[1]) / 'a.bin') as t:\n    t.write_bytes(b'x'); print('ready', "
        "flush=True); time.sleep(600)"
    )
    living, killed = (started(code, tmp_path) for _ in range(2))
    try:
        end(killed)
        assert len(list(tmp_path.iterdir())) == 2
        files.sweep(tmp_path)
        (left,) = tmp_path.iterdir()
        assert f"-{living.pid}-" in left.name
    finally:
        end(living)
    (tmp_path / ".x-mlxopto-notes").write_text("none of ours")
    files.sweep(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [".x-mlxopto-notes"]


def test_a_folder_is_worked_in_by_one_process_and_a_killed_one_holds_nobody_up(tmp_path):
    code = "with files.alone_in(Path(sys.argv[1])):\n    print('ready', flush=True); time.sleep(600)"
    other = started(code, tmp_path)
    try:
        with pytest.raises(RequestError, match=f"is in use by process {other.pid}; wait for its end"), files.alone_in(tmp_path):
            pass
    finally:
        end(other)
    with files.alone_in(tmp_path):
        assert files.is_unused(tmp_path)  # a lock is nothing that is kept there
    assert files.is_unused(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_many_processes_take_turns_in_a_folder(tmp_path):
    """Each adds one to a number that it reads before; none is lost."""
    (tmp_path / "n").write_text("0")
    code = (
        "folder = Path(sys.argv[1])\nfor _ in range(20):\n    while True:\n        try:\n            with "
        "files.alone_in(folder):\n"
        "                n = int((folder / 'n').read_text()); time.sleep(0.001); (folder / "
        "'n').write_text(str(n + 1))\n            break\n"
        "        except files.RequestError:\n            time.sleep(0.002)\n"
    )
    workers = [subprocess.Popen([sys.executable, "-c", HOLD + code, tmp_path]) for _ in range(4)]
    assert [worker.wait(timeout=600) for worker in workers] == [0] * 4
    assert (tmp_path / "n").read_text() == "80"


def test_an_unused_folder_holds_nothing_but_leftovers(tmp_path):
    assert files.is_unused(tmp_path / "missing")
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True)
    leftover = tmp_path / f".a-mlxopto-{int(dead.stdout)}-0123456789abcdef.json"
    leftover.touch()
    assert files.is_unused(tmp_path)
    assert not leftover.exists()
    (tmp_path / "song.wav").touch()
    assert not files.is_unused(tmp_path)


@pytest.mark.parametrize("target", ["folder", "pipe", "loop", "dangling", "n" * 300, "missing/x"])
def test_what_cannot_be_written_to_is_refused_even_with_force(tmp_path, target):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("nowhere")
    path = tmp_path / target
    if target == "dangling":  # only with force, which replaces the link
        files.check_writable(path, force=True)
        with pytest.raises(RequestError, match="exists already"):
            files.check_writable(path, force=False)
        return
    with pytest.raises(RequestError, match=r"output|cannot be written"):
        files.check_writable(path, force=True)


def test_a_name_as_long_as_the_file_system_allows_can_be_written(tmp_path):
    path = tmp_path / ("n" * 251 + ".txt")
    files.write_text(path, "x", force=False)
    assert path.read_text() == "x"


def test_a_pipe_is_refused_at_once_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    start = time.monotonic()
    with pytest.raises(RequestError, match="is not a regular file"):
        files.read_bytes(tmp_path / "pipe", 100)
    assert time.monotonic() - start < 5
    (tmp_path / "big").write_bytes(bytes(101))
    with pytest.raises(RequestError, match="has 101 bytes, files of its kind have at most 100"):
        files.read_bytes(tmp_path / "big", 100)


def test_a_folder_that_cannot_be_written_to_is_a_failure_of_work(tmp_path):
    with pytest.raises(WorkError, match="cannot be written"), files.replacing(tmp_path / "missing" / "x"):
        pass


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=300))
def test_any_text_becomes_a_plain_name(text):
    name = files.plain_name(text, "model")
    assert 0 < len(name) <= files.LONGEST_NAME
    assert Path("folder", f"song_{name}.wav").parent == Path("folder")
    assert name.isprintable()
    assert not set(name) & set("/\\.\0")
    assert Path(f"song_{name}.wav").name.encode()


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc", "a\0", "\x1b[31m", "n" * 300])
def test_names_of_runs_that_are_none(name):
    assert not files.is_plain_name(name)
