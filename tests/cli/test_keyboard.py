"""The terminal that keys come from, stopped by Ctrl-Z and gone on with."""

import os
import pty
import signal
import subprocess
import sys
import termios
import time

CODE = """
import time
from mlxopto_cli.keyboard import keyboard, stoppable
with keyboard(), stoppable(lambda: print("left", flush=True), lambda: print("entered", flush=True)):
    print("ready", flush=True)
    while True:
        time.sleep(0.02)
"""


def waits_for_enter(terminal: int) -> bool:
    return bool(termios.tcgetattr(terminal)[3] & termios.ICANON)


def test_ctrl_z_gives_the_screen_and_the_terminal_back_and_takes_them_again():
    shell, terminal = pty.openpty()
    program = [sys.executable, "-c", CODE]
    with subprocess.Popen(program, stdin=terminal, stdout=subprocess.PIPE, text=True, process_group=0) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
            for _ in range(2):
                assert not waits_for_enter(terminal)
                process.send_signal(signal.SIGTSTP)
                _, status = os.waitpid(process.pid, os.WUNTRACED)
                assert os.WIFSTOPPED(status)
                assert process.stdout.readline() == "left\n"
                assert waits_for_enter(terminal)
                process.send_signal(signal.SIGCONT)
                assert process.stdout.readline() == "entered\n"
                deadline = time.monotonic() + 60
                while waits_for_enter(terminal) and time.monotonic() < deadline:
                    time.sleep(0.01)
        finally:
            process.kill()
            os.close(shell)
            os.close(terminal)
