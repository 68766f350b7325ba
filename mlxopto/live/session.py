"""A live session: the stream that PortAudio runs, and what Python sees and steers of it."""

from __future__ import annotations

import math
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mlxopto.compressor import FULLY_WET, Compressor, Mix, check_link
from mlxopto.controls import Setting
from mlxopto.engine import NativeEngine
from mlxopto.errors import RequestError
from mlxopto.live import callback
from mlxopto.live.bridge import FOREVER, Bridge
from mlxopto.live.recorder import Player, Recorder
from mlxopto.portaudio import stream
from mlxopto.portaudio.ports import find, ports
from mlxopto.portaudio.stream import DeviceLostError

_STALLED_S = 1.0  # a stream whose callback is not called for so long has lost its device
_POLL_S = 0.01


@dataclass(frozen=True)
class LiveOptions:
    """What a session is asked for.

    Args:
        input, output: a device's index or a part of its name; the default devices without.
        channels: in and out; 2, or what the devices have, when not given. sidechain_channels: further inputs, which the
        detectors hear. rate: Hz, the output device's own when not given. block: samples, 0 for the device's own. latency: low,
        high or seconds. duration: seconds until the session ends by itself. play: a file as the input. record: a sound file for
        the dry channels, then the wet ones. force: replace it if it exists.
    """

    input: str | None = None
    output: str | None = None
    channels: int | None = None
    sidechain_channels: int = 0
    rate: int | None = None
    block: int = 0
    latency: str | float = "low"
    link: str | None = None
    duration: float | None = None
    record: Path | None = None
    play: Path | None = None
    force: bool = False


@dataclass(frozen=True)
class Snapshot:
    """The session now. Peaks (linear, a channel each) and the deepest gain (dB) are those since the snapshot before."""

    seconds: float
    peaks_in: np.ndarray
    peaks_out: np.ndarray
    gain_db: float | None  # None where no audio came
    load_median: float
    load_max: float
    late: int
    xruns: dict[str, int]
    block: int
    not_numbers: int
    silent_s: float  # since the input was last anything but exactly zero


class Session:
    """A duplex stream through a compressor, open but not yet running; use in a `with` block.

    Raises:
        RequestError: devices, channels or a rate that cannot be had, files that cannot be used.
        WorkError: no PortAudio, or the system refuses the stream.
    """

    def __init__(self, compressor: Compressor, options: LiveOptions, setting: Setting, mix: Mix = FULLY_WET):
        self.compressor, self.options, self.setting, self.mix = compressor, options, setting, mix
        self.bypassed = False
        available = ports()
        self.output = find(available, options.output, "output")
        self.input = None if options.play else find(available, options.input, "input")
        if options.play and options.input:
            raise RequestError("--play takes the place of the input device; leave --input out")
        if options.play and options.record and options.play.resolve() == options.record.resolve():
            raise RequestError(f"{options.play} would be played and recorded to; give another file to --record")
        self.player = Player(options.play) if options.play else None
        self.channels = self._channels()
        self.sample_rate = self._sample_rate()
        self.link = check_link(options.link, self.channels, options.sidechain_channels)
        engine = NativeEngine(compressor.model, self.channels, self.link, self.sample_rate)
        self.recorder = Recorder(options.record, self.sample_rate, 2 * self.channels, options.force) if options.record else None
        self._serial = 0
        rings = [helper.ring if helper else None for helper in (self.recorder, self.player)]
        self._bridge = Bridge(engine, self.sample_rate, options.sidechain_channels, self._limit(), *rings)
        self._lost, self._sounded = False, 0.0
        engine.aim(compressor.panel.normalise(setting), *mix.levels)
        engine.reset()
        self._stream = self._open()
        latency = self._stream.latency
        # from input to output, as PortAudio reports it; the engine adds none
        self.latency_samples = round(sum(latency if isinstance(latency, tuple) else (latency,)) * self.sample_rate)

    def __enter__(self) -> Session:
        with ExitStack() as starting:
            for helper in (self.player, self.recorder):
                if helper:
                    helper.start()
                    starting.callback(helper.close)
            starting.callback(self._stop)
            stream.start(self._stream)
            self._last_call = (0, time.monotonic())
            self._ending = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()

    def _stop(self) -> None:
        deadline = time.monotonic() + stream.STOP_S + self.latency_samples / self.sample_rate
        while not self._lost and self._bridge.ended() and self._stream.active and time.monotonic() < deadline:
            time.sleep(_POLL_S)  # what is on its way to the converter shall be heard
        self._lost = not stream.close(self._stream, self._lost, self)

    def running(self) -> bool:
        """Whether the stream still runs; False when it has come to its end.

        Raises:
            DeviceLostError: the device went away.
        """
        if self._bridge.ended():
            return False
        calls, now = self._bridge.count(callback.CALLS), time.monotonic()
        if calls != self._last_call[0]:
            self._last_call = (calls, now)
        patience = max(_STALLED_S, 3 * max(self.options.block, self._bridge.count(callback.BLOCK)) / self.sample_rate)
        if not self._stream.active or now - self._last_call[1] > patience:
            self._lost = True
            raise DeviceLostError(f"the audio device {self.output.name} went away after {self.seconds:.1f} s")
        return True

    def set(self, setting: Setting, mix: Mix | None = None) -> None:
        """Sends all controls on their way, without waiting; they glide as `NativeEngine.aim` says."""
        self.setting, self.mix = setting, mix or self.mix
        self._send()

    def bypass(self, on: bool) -> None:
        """Fades to the dry signal, or back, within 20 ms."""
        self.bypassed = on
        self._send()

    def _send(self) -> None:
        self._serial += 1
        levels = (0.0, 1.0) if self.bypassed else self.mix.levels
        knobs = self.compressor.panel.normalise(self.setting)
        self._bridge.settings.put(np.array([*knobs, *levels, self._serial], np.float32))

    @property
    def seconds(self) -> float:
        """Of audio so far."""
        return self._bridge.count(callback.POSITION) / self.sample_rate

    def snapshot(self) -> Snapshot:
        """Meters and counters; call from one thread."""
        rows = self._bridge.meters()
        peaks = rows[:, callback.METER_FIELDS :].max(axis=0) if len(rows) else np.zeros(2 * self.channels, np.float32)
        median, most = self._bridge.load(0.5, 1.0)
        seconds = self.seconds
        if peaks[: self.channels].any():
            self._sounded = seconds
        return Snapshot(
            seconds=seconds,
            peaks_in=peaks[: self.channels],
            peaks_out=peaks[self.channels :],
            gain_db=float(20 * np.log10(rows[:, 1].min())) if len(rows) else None,
            load_median=median,
            load_max=most,
            late=self._bridge.count(callback.LATE),
            xruns=self._bridge.xruns(),
            block=self._bridge.count(callback.BLOCK),
            not_numbers=self._bridge.count(callback.NOT_NUMBERS),
            silent_s=seconds - self._sounded,
        )

    def summary(self) -> dict[str, Any]:
        """What `live --json` prints at the end."""
        return {
            "sample_rate": self.sample_rate,
            "block": self._bridge.count(callback.BLOCK),
            "seconds": round(self.seconds, 3),
            "callbacks": self._bridge.count(callback.CALLS),
            "late": self._bridge.count(callback.LATE),
            "xruns": self._bridge.xruns(),
            "load": dict(zip(("median", "p999", "max"), self._bridge.load(0.5, 0.999, 1.0), strict=True)),
            "latency_samples": self.latency_samples,
        }

    def complaints(self) -> list[str]:
        """A sentence for each thing beside the stream that went wrong: recording and playing."""
        unrecorded, unplayed = (self._bridge.count(k) for k in (callback.UNRECORDED, callback.UNPLAYED))
        found = []
        if self.recorder and self.recorder.error:
            found.append(f"the recording ended after {self.recorder.samples / self.sample_rate:.1f} s: {self.recorder.error}")
        elif unrecorded:
            found.append(f"{unrecorded} samples are missing from the recording, because the disk was too slow")
        if self.player and self.player.error:
            found.append(self.player.error)
        elif unplayed:
            found.append(f"{unplayed} samples of the file came too late and were played as silence")
        return found

    def changes(self) -> list[tuple[int, int]]:
        """(sample, serial number) of settings taken up since the last call of this; the serial counts calls of `set` and
        `bypass`.
        """
        return self._bridge.changes()

    def _channels(self) -> int:
        if self.player:
            channels = self.player.header.channels
            if self.options.channels not in (None, channels):
                raise RequestError(f"--channels must be {channels}, as {self.options.play} has, got {self.options.channels}")
            if self.options.sidechain_channels:
                raise RequestError("--sidechain-channels needs an input device; leave --play out")
            return channels
        assert self.input
        channels = self.options.channels or min(2, self.input.inputs, self.output.outputs)
        wanted = channels + self.options.sidechain_channels
        if channels < 1 or wanted > self.input.inputs:
            raise RequestError(f"{self.input.name} has {self.input.inputs} input channels, {wanted} are asked for")
        if channels > self.output.outputs:
            raise RequestError(f"{self.output.name} has {self.output.outputs} output channels, {channels} are asked for")
        return channels

    def _sample_rate(self) -> int:
        rate = self.options.rate or (self.player.header.sample_rate if self.player else round(self.output.default_rate))
        if self.player and rate != self.player.header.sample_rate:
            raise RequestError(f"--rate must be {self.player.header.sample_rate}, the rate of {self.options.play}, got {rate}")
        stream.check_rate(rate, self.input, self.output, self._in_and_out())
        return rate

    def _limit(self) -> int:
        lengths = [FOREVER]
        if self.options.duration is not None:
            if not 0 < self.options.duration < math.inf:
                raise RequestError(f"--duration must be seconds above 0, got {self.options.duration}")
            lengths.append(round(self.options.duration * self.sample_rate))
        if self.player:
            lengths.append(self.player.header.samples)
        return min(lengths)

    def _in_and_out(self) -> tuple[int, int]:
        return self.channels + self.options.sidechain_channels, self.channels

    def _open(self) -> Any:
        return stream.open_stream(
            self.input,
            self.output,
            self._in_and_out(),
            self.sample_rate,
            self.options.block,
            self.options.latency,
            callback.callback,
            self._bridge.table,
        )
