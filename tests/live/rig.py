"""Sound cards made of software, for live tests that must be exact to the sample.

- `jack_server` and `JackLoop`: a private JACK server, and a process that plays into a stream and records it in real time.
- `alsa_files`: an ALSA device between two files, as fast as the stream can go; needs no server.
- `align`: the constant lag of a recording.
- `hog`: keeps the interpreter lock busy, to stress live audio.
- `own_process`: for tests that kill their server.

Where something is missing the test is skipped, and the reason names the package.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import gc
import importlib.util
import json
import os
import random
import re
import shutil
import signal as signals
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, NoReturn

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
ALSA_DEVICE = "mlxopto_test"
PORTS = 256  # with its usual 2048 JACK takes 107 MB of /dev/shm, more than many a container has
PRIORITY = 60  # real-time priority of the server
CLIENT_TIMEOUT_MS = 500  # the server waits ten times as long for a client that is late, and once for each that was killed
START_SECONDS = 5.0  # patience with a server that starts
STOP_SECONDS = 2.0  # patience with a process that was asked to end
TAIL = 8192  # frames of silence after a signal: room for a stream's lag
SHARED_MEMORY = Path("/dev/shm")  # where JACK has its sockets, semaphores and registry
OWN_PROCESS = "MLXOPTO_OWN_PROCESS"

_lost_server = False  # PortAudio in this process belongs to a server that is dead


def _skip(reason: str) -> NoReturn:
    import pytest  # not at the top: the process of a JackLoop starts without it

    pytest.skip(reason)


def _sounddevice() -> ModuleType:
    """sounddevice with PortAudio, or a skip."""
    if importlib.util.find_spec("sounddevice") is None:
        _skip("needs sounddevice: pip install sounddevice")
    try:
        import sounddevice
    except OSError:
        _skip("needs PortAudio: apt-get install libportaudio2")
    return sounddevice


def _jack() -> ModuleType:
    """JACK-Client with libjack, or a skip."""
    if importlib.util.find_spec("jack") is None:
        _skip("needs JACK-Client: pip install JACK-Client (or apt-get install python3-jack-client)")
    try:
        import jack
    except OSError:
        _skip("needs libjack: apt-get install libjack-jackd2-0")
    return jack


def _start(*command: str | Path, log: Path) -> subprocess.Popen[bytes]:
    """A process that dies with this one, even a killed one, where setpriv (util-linux) is there to see to it."""
    leash = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
    with log.open("wb") as output:
        return subprocess.Popen(
            [*leash, *map(str, command)], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    """Terminate a process, kill it if it does not listen, and wait for it."""
    process.terminate()  # does nothing if it has ended
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """Environment variables for the body."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _terminate(sd: ModuleType) -> None:
    """Terminate PortAudio however often it was initialised; it closes the streams that were left open."""
    while sd._initialized:
        sd._terminate()


def _restart(sd: ModuleType, host_api: str) -> None:
    """Let PortAudio look for devices anew, or skip if it was built without the one that is wanted."""
    _terminate(sd)
    sd._initialize()
    if not any(host_api in api["name"] for api in sd.query_hostapis()):
        _skip(f"needs a PortAudio built with {host_api}: apt-get install libportaudio2")


def _abandon(sd: ModuleType) -> None:
    """Never call PortAudio again in this process, not even at exit.

    On a dead server `Pa_Terminate` waits ten minutes for a stream that was left open (`WaitCondition` in PortAudio's
    pa_jack.c), and if there is none, Debian's PortAudio aborts the process at a failed assertion.
    """
    global _lost_server
    _lost_server = True
    sd._initialized = 0


def own_process(test: Callable[..., None]) -> Callable[..., None]:
    """Decorator: run a test in a pytest of its own. A test that kills its server needs it, see `JackServer.kill`."""

    @functools.wraps(test)
    def run(*args: Any, **fixtures: Any) -> None:
        if os.environ.get(OWN_PROCESS):
            test(*args, **fixtures)
            return
        node = os.environ["PYTEST_CURRENT_TEST"].rpartition(" ")[0]
        child = subprocess.run(
            [sys.executable, "-m", "pytest", "-m", "", "-rs", "-p", "no:cacheprovider", node],
            cwd=ROOT,
            env={**os.environ, OWN_PROCESS: "1"},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert child.returncode == 0, child.stdout + child.stderr
        if skipped := re.search(r"^SKIPPED .*?: (.*)", child.stdout, re.MULTILINE):
            _skip(skipped[1])

    return run


# JACK


@dataclass
class JackServer:
    """A running server, as `jack_server` yields it."""

    name: str  # for JACK_DEFAULT_SERVER
    period: int  # frames
    rate: int  # Hz
    realtime: bool  # whether it has real-time priority; if not, expect xruns, which cost time but no frames
    portaudio: bool  # whether PortAudio in this process uses it
    process: subprocess.Popen[bytes]
    loops: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)  # to end before the server ends

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        """Kill the server without a word, as if the device were unplugged.

        PortAudio is of no use then to the process that used it, hence `own_process`: do not stop, abort or close its streams.

        Raises:
            RuntimeError: PortAudio in this process uses the server, and other tests share the process.
        """
        if self.portaudio and not os.environ.get(OWN_PROCESS):
            raise RuntimeError("kill() leaves PortAudio unusable: decorate the test with @own_process, or use portaudio=False")
        self.process.kill()
        self.process.wait()


def _may_be_realtime() -> bool:
    """Whether threads may have the server's real-time priority. Asked in a thread, which takes the priority with it."""
    answers = []

    def ask() -> None:
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
            answers.append(True)

    asking = threading.Thread(target=ask)
    asking.start()
    asking.join()
    return bool(answers)


def _answers(jack: ModuleType, name: str, process: subprocess.Popen[bytes]) -> bool:
    """Wait until a server takes clients; False if it ends or does not in time."""
    end = time.monotonic() + START_SECONDS
    jack.set_error_function(lambda message: None)  # one message for each try
    try:
        while process.poll() is None and time.monotonic() < end:
            with contextlib.suppress(jack.JackOpenError):
                jack.Client("rig_knock", no_start_server=True, servername=name).close()
                return True
            time.sleep(0.01)
    finally:
        jack.set_error_function()
    return False


def _launch(jack: ModuleType, name: str, driver: list[str], log: Path) -> tuple[subprocess.Popen[bytes], bool]:
    """A server that takes clients, and whether it is a real-time one."""
    common = ["--name", name, "--timeout", str(CLIENT_TIMEOUT_MS), "--port-max", str(PORTS), "-S"]
    for realtime in (True, False):
        if realtime and not _may_be_realtime():
            continue
        priority = ["-R", "-P", str(PRIORITY)] if realtime else ["-r"]
        process = _start("jackd", *common, *priority, *driver, log=log)
        try:
            if _answers(jack, name, process):
                return process, realtime
        except BaseException:
            _end(process)
            raise
        _end(process)
    raise RuntimeError(f"jackd did not start:\n{log.read_text()}")


def _reclaim(name: str, log: Path) -> None:
    """Remove what a server of this name left when it was killed.

    JACK registers no more than eight servers, and only a server of the same name takes over the entry of a dead one: start one,
    which gives it back when it ends.
    """

    def socket() -> int | None:
        with contextlib.suppress(FileNotFoundError):
            return (SHARED_MEMORY / f"jack_{name}_{os.getuid()}_0").stat().st_ino
        return None

    before = socket()
    server = _start("jackd", "--name", name, "-r", "-d", "dummy", log=log)
    end = time.monotonic() + START_SECONDS
    while socket() in (None, before) and server.poll() is None and time.monotonic() < end:
        time.sleep(0.005)
    _end(server)
    if server.returncode == 0:
        for path in SHARED_MEMORY.glob(f"jack_sem.*_{name}_*"):  # of clients
            path.unlink(missing_ok=True)


def _orphans() -> list[str]:
    """Names of this user's servers that were killed together with their tests."""
    found = [re.search(r"_(rig(\d+)x[^_]*)_", path.name) for path in SHARED_MEMORY.glob(f"jack_sem.{os.getuid()}_rig*")]
    return sorted({match[1] for match in found if match and not Path(f"/proc/{match[2]}").exists()})


def _stop(process: subprocess.Popen[bytes], name: str, log: Path) -> None:
    _end(process)
    if process.returncode:
        _reclaim(name, log)


@contextlib.contextmanager
def jack_server(period: int, rate: int = 48000, channels: int = 2, portaudio: bool = True) -> Iterator[JackServer]:
    """A private JACK server whose sound card is a timer, and which JACK programs, PortAudio too, find by default in the body.

    It is synchronous: it waits up to 5 s for a client that is late, so that no frame is lost. It waits as long for a client
    that was killed: let programs end in order. PortAudio shows it as the device "system" with as many inputs and outputs as
    there are channels.

    Args:
        portaudio: connect PortAudio in this process to it, and take it back afterwards. False where only other processes
            use the server.
    """
    if not sys.platform.startswith("linux"):
        _skip("needs Linux, for jackd as Debian's jackd2 has it")
    if shutil.which("jackd") is None:
        _skip("needs jackd: apt-get install jackd2")
    jack, sd = _jack(), _sounddevice()  # before the environment changes: importing sounddevice already connects PortAudio
    if portaudio and _lost_server:
        raise RuntimeError("an earlier test in this process lost its JACK server, and PortAudio with it")
    name = f"rig{os.getpid()}x{uuid.uuid4().hex[:8]}"
    driver = ["-d", "dummy", "-r", str(rate), "-p", str(period), "-C", str(channels), "-P", str(channels)]
    variables = {"JACK_DEFAULT_SERVER": name, "JACK_NO_AUDIO_RESERVATION": "1", "JACK_NO_START_SERVER": "1"}
    with contextlib.ExitStack() as stack:
        log = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "jackd.log"
        if portaudio:
            stack.callback(lambda: None if _lost_server else sd._initialize())
        for orphan in _orphans():
            _reclaim(orphan, log)
        stack.enter_context(_environment(**variables))
        process, realtime = _launch(jack, name, driver, log)
        stack.callback(_stop, process, name, log)
        server = JackServer(name, period, rate, realtime, portaudio, process)
        if portaudio:
            stack.callback(lambda: _terminate(sd) if server.alive else _abandon(sd))
            _restart(sd, "JACK")
        with server.loops:
            yield server


class JackLoop:
    """A player and recorder in a process of its own, around a stream of some JACK client.

    It waits until the client has ports and has connected them to a device, as PortAudio does when a stream starts. Then it
    connects its own, feeds the signal and records. It counts the frames that JACK processes and not the clock, and plays frame
    n in the very cycle in which it records frame n: a client without latency has lag 0.

    If it is started before the stream, the signal begins `settle` seconds after the ports are connected; to rely on no such
    delay, start it after the stream.

    Args:
        server: where the client is.
        signal: float32 (samples, channels), to channels inputs of the client.
        tmp_path: a folder for its files.
        client: the client's name, a regular expression. PortAudio's is "PortAudio" in every program.
        frames: how many to record, by default the signal's and 8192 more of silence.
        outputs: how many of the client's outputs to record, by default as many as the signal has channels.
        settle: seconds.
    """

    def __init__(
        self,
        server: JackServer,
        signal: np.ndarray,
        tmp_path: Path,
        client: str = "PortAudio",
        frames: int | None = None,
        outputs: int | None = None,
        settle: float = 0.1,
    ) -> None:
        if signal.dtype != np.float32 or signal.ndim != 2:
            raise ValueError(f"signal must be float32 (samples, channels), got {signal.dtype} {signal.shape}")
        self._server = server
        self._folder = Path(tempfile.mkdtemp(prefix="loop", dir=tmp_path))
        self._process: subprocess.Popen[bytes] | None = None
        np.save(self._folder / "signal.npy", signal)
        self._position = np.memmap(self._folder / "position", np.int64, "w+", shape=1)
        order = {
            "server": server.name,
            "client": client,
            "frames": frames or len(signal) + TAIL,
            "outputs": outputs or signal.shape[1],
            "settle": settle,
        }
        (self._folder / "order.json").write_text(json.dumps(order))

    def start(self) -> JackLoop:
        """Start the process; it does the rest by itself."""
        command = (sys.executable, "-m", "tests.live.rig", self._folder)
        self._process = _start(*command, log=self._folder / "log")
        self._server.loops.callback(self.stop)
        return self

    @property
    def position(self) -> int:
        """Frames recorded so far."""
        return int(self._position[0])

    def result(self, timeout: float = 30.0) -> tuple[np.ndarray, int]:
        """The recording, float32 (frames, outputs), and the number of xruns that JACK reported during it.

        Raises:
            TimeoutError: it did not come to an end, for instance because the client has no such ports.
            RuntimeError: the process failed, or the server went away.
        """
        assert self._process is not None, "start() comes first"
        begin = time.monotonic()
        patience = threading.Timer(timeout, self.stop)
        patience.start()
        code = self._process.wait()  # its timeout would poll, which takes for ever under a `hog`
        patience.cancel()
        if code and time.monotonic() >= begin + timeout:
            raise TimeoutError(f"no recording after {timeout} s, at frame {self.position}: {self._log()}")
        if code:
            raise RuntimeError(f"the player and recorder failed with {code}: {self._log()}")
        return np.load(self._folder / "recorded.npy"), json.loads((self._folder / "report.json").read_text())["xruns"]

    def stop(self) -> None:
        """End the process, whatever it is doing. The server calls it at its own end."""
        if self._process is not None:
            _end(self._process)

    def _log(self) -> str:
        return (self._folder / "log").read_text()

    def __enter__(self) -> JackLoop:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


class _Tape:
    """What plays and what records, in the process of a `JackLoop`.

    Two clients, because around a single one JACK would see a feedback loop and delay it by a period.
    """

    def __init__(self, folder: Path) -> None:
        import jack

        order = json.loads((folder / "order.json").read_text())
        signal = np.load(folder / "signal.npy")
        self.frames, self.client, self.settle = order["frames"], order["client"], order["settle"]
        self.feed = np.zeros((signal.shape[1], self.frames), np.float32)
        self.feed[:, : len(signal)] = signal[: self.frames].T
        self.recorded = np.zeros((order["outputs"], self.frames), np.float32)
        self.position = np.memmap(folder / "position", np.int64, "r+", shape=1)
        self.rolling = False
        self.played = self.taped = self.cycles = self.xruns = 0
        self.finished = threading.Event()
        self.lost = False
        self.player = jack.Client("rig_player", no_start_server=True, servername=order["server"])
        self.recorder = jack.Client("rig_recorder", no_start_server=True, servername=order["server"])
        self.sources = [self.player.outports.register(f"out_{i}") for i in range(len(self.feed))]
        self.sinks = [self.recorder.inports.register(f"in_{i}") for i in range(len(self.recorded))]
        self.player.set_process_callback(self.play)
        self.recorder.set_process_callback(self.record)
        self.recorder.set_xrun_callback(self.count_xrun)
        for client in (self.player, self.recorder):
            client.set_shutdown_callback(self.lose)

    def play(self, size: int) -> None:
        start = self.played
        left = min(size, self.frames - start) if self.rolling else 0
        for port, channel in zip(self.sources, self.feed, strict=True):
            buffer = port.get_array()
            buffer[:left] = channel[start : start + left]
            buffer[left:] = 0
        self.played = start + left

    def record(self, size: int) -> None:
        self.cycles += 1
        start = self.taped
        left = min(size, self.played - start)  # JACK calls this after `play` of the same cycle, the client in between
        if left > 0:
            for port, channel in zip(self.sinks, self.recorded, strict=True):
                channel[start : start + left] = port.get_array()[:left]
            self.taped = self.position[0] = start + left
            if self.taped == self.frames:
                self.finished.set()

    def count_xrun(self, late_us: float) -> None:
        self.xruns += self.rolling

    def lose(self, status: object, reason: str) -> None:
        self.lost = True
        self.finished.set()

    def connect(self) -> None:
        """Wait for the client's ports and for its own connections, and connect to them."""
        while True:
            ins = self.player.get_ports(f"^{self.client}[^:]*:", is_audio=True, is_input=True)[: len(self.sources)]
            outs = self.player.get_ports(f"^{self.client}[^:]*:", is_audio=True, is_output=True)[: len(self.sinks)]
            complete = len(ins) == len(self.sources) and len(outs) == len(self.sinks)
            if complete and all(self.player.get_all_connections(port) for port in ins + outs):
                break
            if self.finished.wait(0.005):
                return
        for source, sink in zip([*self.sources, *outs], [*ins, *self.sinks], strict=True):
            self.player.connect(source, sink)

    def run(self) -> None:
        """All of it, until everything is recorded or the server is gone."""
        gc.collect()
        gc.freeze()
        gc.disable()
        self.player.activate()
        self.recorder.activate()
        print("waiting for ports", flush=True)
        self.connect()
        start = self.cycles
        print("connected", flush=True)
        settled = 8 + self.settle * self.player.samplerate / self.player.blocksize  # 8 for JACK to put its clients in order
        while self.cycles - start < settled and not self.finished.wait(0.002):
            pass
        self.rolling = True
        self.finished.wait()
        self.rolling = False


def _loop(folder: Path) -> None:
    """The process of a `JackLoop`."""
    signals.signal(signals.SIGTERM, lambda *_: sys.exit(1))  # to leave in order: the server stalls when a client is killed
    tape = _Tape(folder)
    try:
        tape.run()
        if not tape.lost:
            np.save(folder / "recorded.npy", np.ascontiguousarray(tape.recorded.T))
            (folder / "report.json").write_text(json.dumps({"xruns": tape.xruns}))
    finally:
        if tape.lost:
            print("the server went away", flush=True)
            os._exit(1)  # calls to a dead server may hang
        for client in (tape.player, tape.recorder):
            client.deactivate()
            client.close()


def align(recorded: np.ndarray, expected: np.ndarray, tolerance: float = 0.0) -> int:
    """The constant lag, in samples, at which a recording equals what is expected in every sample.

    Args:
        recorded: (samples, channels), as long as the expected and its lag, or longer.
        expected: (samples, channels); a signal that does not repeat.
        tolerance: largest difference allowed.

    Raises:
        AssertionError: no lag does it; the message has the first difference at the likeliest lag.
    """
    size = len(recorded) + len(expected)
    spectra = np.fft.rfft(recorded, size, axis=0) * np.conj(np.fft.rfft(expected, size, axis=0))
    likeness = np.fft.irfft(spectra.sum(axis=1), size)
    lag = int(np.argmax(likeness[: max(1, len(recorded) - len(expected) + 1)]))
    found = recorded[lag : lag + len(expected)]
    assert len(found) == len(expected), f"{len(recorded)} samples recorded, {len(expected)} expected"
    wrong = np.flatnonzero(~(np.abs(found - expected) <= tolerance).all(axis=1))
    assert not len(wrong), f"lag {lag}: {len(wrong)} of {len(expected)} samples differ, the first is {wrong[0]}"
    return lag


# ALSA


class AlsaFiles:
    """An ALSA device between two files, as `alsa_files` yields it.

    Attributes:
        device: its name for sounddevice.
        rate: Hz, as the caller said; the device takes any.
        channels: of the signal.
    """

    def __init__(self, output: Path, rate: int, channels: int) -> None:
        self.device, self.rate, self.channels = ALSA_DEVICE, rate, channels
        self._output = output

    def recorded(self) -> np.ndarray:
        """What was played since a stream was opened last, float32 (samples, channels). Complete once the stream is closed."""
        data = np.fromfile(self._output, np.float32)
        return data[: len(data) // self.channels * self.channels].reshape(-1, self.channels)

    def wait(self, samples: int, timeout: float = 10.0) -> None:
        """Wait until that much was played."""
        end = time.monotonic() + timeout
        while (found := self._output.stat().st_size // (4 * self.channels)) < samples:
            if time.monotonic() > end:
                raise TimeoutError(f"{found} of {samples} samples played after {timeout} s")
            time.sleep(0.005)


@contextlib.contextmanager
def alsa_files(tmp_path: Path, signal: np.ndarray, rate: int = 48000) -> Iterator[AlsaFiles]:
    """A sound card whose input is a file with the signal and whose output goes to a file; no other ALSA device exists in the
    body.

    Nothing keeps time: a stream runs as fast as its callback lets it, and goes on in silence when the signal is over. Each
    stream that is opened begins both files anew. Samples are float32 on the whole way, untouched, as long as the stream is
    float32 with the signal's number of channels (the file plug-in stores the stream's own format, and PortAudio asks for
    floats).

    Args:
        signal: float32 (samples, channels).
    """
    if not sys.platform.startswith("linux"):
        _skip("needs ALSA, which is Linux only")
    sd = _sounddevice()
    if signal.dtype != np.float32 or signal.ndim != 2:
        raise ValueError(f"signal must be float32 (samples, channels), got {signal.dtype} {signal.shape}")
    if _lost_server:
        raise RuntimeError("an earlier test in this process lost its JACK server, and PortAudio with it")
    folder = Path(tempfile.mkdtemp(prefix="alsa", dir=tmp_path))
    source, output, config = folder / "input.raw", folder / "output.raw", folder / "asound.conf"
    # At the end of the file ALSA's buffer goes round and round: fill it with silence.
    silence = np.zeros((rate, signal.shape[1]), np.float32)
    source.write_bytes(np.concatenate([signal, silence]).tobytes())
    # PortAudio's list of ALSA devices fails an assertion if every name in it can be opened (BuildDeviceList): hence the other
    # one.
    config.write_text(f"""
        pcm.{ALSA_DEVICE} {{
            type asym
            capture.pcm {{ type file slave.pcm {{ type null }} file "/dev/null" infile "{source}" format raw }}
            playback.pcm {{ type file slave.pcm {{ type null }} file "{output}" format raw }}
        }}
        pcm.{ALSA_DEVICE}_absent {{ type hw card 31 }}
    """)
    with contextlib.ExitStack() as stack:
        stack.callback(sd._initialize)
        stack.enter_context(_environment(ALSA_CONFIG_PATH=str(config)))
        stack.callback(_terminate, sd)
        _restart(sd, "ALSA")
        yield AlsaFiles(output, rate, signal.shape[1])


# Stress


@contextlib.contextmanager
def hog() -> Iterator[None]:
    """Keep the interpreter lock busy during the body: a thread loops in Python, collects garbage and sorts, in turns.

    While it collects or sorts it holds the lock for 10 to 100 ms at a stretch, and the body waits as long whenever it comes
    back from a system call: let the body do little.
    """
    stop = threading.Event()
    litter = [[number] for number in range(500_000)]
    numbers = random.Random(0).choices(range(1 << 30), k=200_000)

    def work() -> None:
        while not stop.wait(0.001):  # without a pause a Python callback with real-time priority and this one starve the body
            sum(number * number for number in range(100_000))
            gc.collect()
            sorted(numbers)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        litter.clear()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The process of a JackLoop.")
    parser.add_argument("folder", type=Path)
    _loop(parser.parse_args().folder)
