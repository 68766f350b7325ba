"""Files beside a live stream: a recording that is written, a file that is played, each by a thread behind a ring buffer."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path

import numpy as np

from mlxopto import audio, files
from mlxopto.errors import MlxoptoError, RequestError, WorkError
from mlxopto.portaudio.lockfree import Ring

_WAIT_S = 0.02
_ROWS = 16384  # read or written at once
_BUFFER_S = 4.0
_LARGEST_BYTES = (1 << 32) - (1 << 20)


class _NothingRecordedError(Exception):
    """Ends a recording that is not worth a file."""


class Recorder:
    """Writes rows of a ring to a sound file of floats, from `start` to `close`.

    `error` says why the recording ended early, if it did; what was recorded until then is kept. `kept`: the file has its name.

    Args:
        channels: of the file. force: replace a file that exists.
    Raises:
        RequestError: a path that cannot be written.
    """

    def __init__(self, path: Path, sample_rate: int, channels: int, force: bool):
        files.check_writable(path, force)
        if "FLOAT" not in audio.subtypes(path):
            raise RequestError(f"{path} must be a WAV or AIFF file, because recordings are written as floats")
        self.path, self.error, self.samples, self.kept = path, "", 0, False
        self.ring = Ring(int(_BUFFER_S * sample_rate), channels)
        self._format, self._force = (sample_rate, channels), force
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mlxopto-record", daemon=True)

    def start(self) -> None:
        """Begins to write."""
        self._thread.start()

    def close(self) -> None:
        """Writes what is left, and gives the file its name; a file without any audio is not kept."""
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            with suppress(_NothingRecordedError), files.replacing(self.path, self._force) as temporary:
                writer = audio.Writer(temporary, *self._format, 0, "FLOAT")
                self._write(writer)
                try:
                    writer.close()
                except WorkError as error:  # what a full disk has taken stays
                    self.error = self.error or str(error)
                if not self.samples:
                    raise _NothingRecordedError
            self.kept = self.samples > 0
        except MlxoptoError as error:
            self.error = self.error or str(error)

    def _write(self, writer: audio.Writer) -> None:
        """Until `close`, or until the disk is full."""
        while True:
            ending = self._ending.is_set()
            rows = self.ring.pull(_ROWS)
            if len(rows):
                try:
                    writer.write(rows)
                except WorkError as error:
                    self.error = str(error)
                    return
                if self.path.suffix.lower() != ".wav" and self.samples * rows.shape[1] * 4 > _LARGEST_BYTES:
                    self.error = "AIFF files end at 4 GB"
                    return
                self.samples += len(rows)
            elif ending:
                return
            else:
                self._ending.wait(_WAIT_S)


class Player:
    """Fills a ring with a sound file, from `start` on."""

    def __init__(self, path: Path):
        self.header = audio.info(path)
        self.error = ""
        self.ring = Ring(int(_BUFFER_S * self.header.sample_rate), self.header.channels)
        self._blocks = audio.read_blocks(path, _ROWS)
        self._left = np.empty((0, self.header.channels), np.float32)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._fill, name="mlxopto-play", daemon=True)

    def start(self) -> None:
        """Fills the ring, and goes on filling it."""
        self._advance()
        self._thread.start()

    def close(self) -> None:
        """Ends."""
        self._ending.set()
        self._thread.join()

    def _fill(self) -> None:
        try:
            while not self._ending.wait(_WAIT_S) and self._advance():
                pass
        except MlxoptoError as error:
            self.error = str(error)

    def _advance(self) -> bool:
        """Pushes until the ring is full; False at the end of the file."""
        while True:
            if not len(self._left):
                block = next(self._blocks, None)
                if block is None:
                    return False
                self._left = block
            taken = self.ring.push(np.ascontiguousarray(self._left))
            self._left = self._left[taken:]
            if len(self._left):
                return True
