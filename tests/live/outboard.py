"""Stand-in outboard gear: a compressor plug-in between JACK ports, with knobs that a test turns; and a user who answers
prompts.
"""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.live.rig import JackServer, _jack

COMPRESSOR = "http://calf.sourceforge.net/plugins/Compressor"


class Outboard:
    """Calf's compressor under jalv; the JACK client `hw`."""

    def __init__(self, process: subprocess.Popen[bytes], terminal: int):
        self._process, self._terminal = process, terminal

    def turn(self, **knobs: float) -> None:
        """Knobs by the plug-in's own names: threshold and makeup linear, attack and release in ms.

        Returns when they are turned.
        """
        assert self._process.stdin
        for name, value in knobs.items():
            self._process.stdin.write(f"{name} = {value}\n".encode())
            self._process.stdin.flush()
            printed = b""
            while not re.search(rf"{name} = [\d.]+\s".encode(), printed):  # jalv repeats what it has done
                assert select.select([self._terminal], [], [], 10)[0], printed
                printed += os.read(self._terminal, 4096)


@contextmanager
def outboard(server: JackServer, **knobs: float) -> Iterator[Outboard]:
    """The unit, at these knobs, on a server that runs."""
    if shutil.which("jalv") is None:
        pytest.skip("needs jalv and Calf's plug-ins: apt-get install jalv calf-plugins")
    terminal, its_end = pty.openpty()  # to which it prints without delay
    process = subprocess.Popen(["jalv", "-n", "hw", "-x", COMPRESSOR], stdin=subprocess.PIPE, stdout=its_end, stderr=its_end)
    os.close(its_end)
    unit = Outboard(process, terminal)
    try:
        _wait_for_ports(server, process)
        unit.turn(**knobs)
        yield unit
    finally:
        assert process.stdin
        process.stdin.close()  # which ends it in order
        process.wait(10)
        os.close(terminal)


def _wait_for_ports(server: JackServer, process: subprocess.Popen[bytes]) -> None:
    client = _jack().Client("rig_look", no_start_server=True, servername=server.name)
    try:
        deadline = time.monotonic() + 10
        while len(client.get_ports("^hw:", is_audio=True)) < 4:
            if process.poll() is not None:
                pytest.skip("needs Calf's plug-ins: apt-get install calf-plugins")
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        client.close()


@contextmanager
def freewheeling(server: JackServer) -> Iterator[None]:
    """Lets the server run as fast as it can in the body; exact all the same. Begin it when all clients are there."""
    client = _jack().Client("rig_wheel", no_start_server=True, servername=server.name)
    changed = threading.Event()
    client.set_freewheel_callback(lambda starting: changed.set())
    client.activate()

    def hurry(on: bool) -> None:
        changed.clear()
        client.set_freewheel(on)
        assert changed.wait(10)

    try:
        hurry(True)
        yield
        hurry(False)
    finally:
        client.deactivate()
        client.close()


class User:
    """Reads what a command prints on stderr, and types answers."""

    def __init__(self, process: subprocess.Popen[bytes]):
        self.process, self.seen = process, ""

    def read_prompt(self, timeout: float = 120.0) -> str:
        """What is printed until it waits for an answer; "" when the command has ended."""
        assert self.process.stderr
        deadline, text = time.monotonic() + timeout, ""
        while not re.search(r"press Enter[^\n(]*(?:\([^)\n]*\))?: $", text):
            assert time.monotonic() < deadline, text
            character = self.process.stderr.read(1)
            if not character:
                self.seen += text
                return ""
            text += character.decode(errors="replace")
        self.seen += text
        return text

    def answer(self, line: str = "") -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{line}\n".encode())
        self.process.stdin.flush()
