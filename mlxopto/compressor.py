"""A trained network as a compressor in Python: whole signals, or blocks of any size."""

from __future__ import annotations

from pathlib import Path

import mlx.core as mx
import numpy as np
import soxr

from mlxopto import weights
from mlxopto.controls import Panel, Setting
from mlxopto.errors import RequestError
from mlxopto.models.opto import Opto

LINKS = ("off", "max", "mean")
_SLICE = 1 << 16  # samples handed to the network at once, so that memory does not grow with length


class Compressor:
    """A loaded model. `comp(x, sample_rate, attack="fast", ratio=4)` compresses; `comp.stream(...)` takes blocks."""

    def __init__(self, model: Opto, card: weights.Card):
        self.model, self.card = model, card

    @property
    def panel(self) -> Panel:
        """The controls."""
        return self.card.panel

    @property
    def sample_rate(self) -> int:
        """Hz that the network runs at."""
        return self.card.sample_rate

    def __call__(
        self,
        x: np.ndarray,
        sample_rate: int,
        *,
        link: str | None = None,
        mix: float = 1.0,
        makeup_db: float = 0.0,
        extrapolate: bool = False,
        **controls: float | str,
    ) -> np.ndarray:
        """x through the compressor, from rest; resampled to the model's rate and back where `sample_rate` differs.

        Args:
            x: (samples,) or (samples, channels), full scale +-1. The result has its shape, float32.
            link: how channels share their gain: off (each its own), max (the loudest leads; default), mean (power).
            mix: 0 dry to 1 wet. makeup_db: gain of the wet signal. extrapolate: allow controls beyond their range.
            controls: by name, in the panel's unit or as text ("3ms", "fast", "4:1"); the others at their defaults.
        Raises:
            RequestError: a control, link or shape that does not fit.
        """
        if sample_rate <= 0:
            raise RequestError(f"sample_rate must be above 0, got {sample_rate}")
        signal = _audio(x)
        columns = signal[:, None] if signal.ndim == 1 else signal
        if columns.ndim != 2 or not columns.shape[1]:
            raise RequestError(f"audio must be (samples,) or (samples, channels), got the shape {np.shape(x)}")
        stream = self.stream(columns.shape[1], link=link, mix=mix, makeup_db=makeup_db, extrapolate=extrapolate, **controls)
        samples = len(columns)
        if sample_rate != self.sample_rate:
            columns = _resample(columns, sample_rate, self.sample_rate, round(samples * self.sample_rate / sample_rate))
        parts = [stream(columns[at : at + _SLICE]) for at in range(0, len(columns), _SLICE)]
        y = np.concatenate(parts) if parts else columns
        if sample_rate != self.sample_rate:
            y = _resample(y, self.sample_rate, sample_rate, samples)
        return y.reshape(signal.shape)

    def stream(
        self,
        channels: int = 1,
        *,
        link: str | None = None,
        mix: float = 1.0,
        makeup_db: float = 0.0,
        extrapolate: bool = False,
        **controls: float | str,
    ) -> Stream:
        """The stateful form at the model's sample rate: call it with blocks of any size. Arguments as in a plain call."""
        setting = self.panel.setting(controls, extrapolate=extrapolate)
        return Stream(self, setting, channels, link, mix, makeup_db)


class Stream:
    """A compressor that remembers: stream(block) gives the block compressed, however the signal is cut into blocks."""

    def __init__(
        self,
        compressor: Compressor,
        setting: Setting,
        channels: int,
        link: str | None = None,
        mix: float = 1.0,
        makeup_db: float = 0.0,
    ):
        link = link or ("off" if channels == 1 else "max")
        if link not in LINKS:
            raise RequestError(f"link must be one of {', '.join(LINKS)}, got {link!r}")
        if not 0 <= mix <= 1:
            raise RequestError(f"mix must be 0 to 1, got {mix}")
        if not -60 <= makeup_db <= 60:
            raise RequestError(f"makeup must be -60 to 60 dB, got {makeup_db}")
        if channels < 1:
            raise RequestError(f"channels must be at least 1, got {channels}")
        self.setting, self.link, self.channels = setting, link, channels
        self.gain = np.ones((0, channels), np.float32)
        self._model = compressor.model
        self._wet, self._dry = np.float32(mix * 10 ** (makeup_db / 20)), np.float32(1 - mix)
        knobs = [compressor.panel.normalise(setting)] * (channels if link == "off" else 1)
        with mx.stream(mx.cpu):
            self._controls = mx.array(np.array(knobs, np.float32).reshape(len(knobs), -1))
            self._state = self._model.initial_state(self._controls, 1 if link == "off" else channels)
            mx.eval(self._state)

    def __call__(self, block: np.ndarray) -> np.ndarray:
        """float32 (samples,) for one channel, or (samples, channels); any number of samples, the same shape back.

        `gain` then holds the linear gain that was applied to each sample, (samples, channels), before make-up and mix.
        """
        audio = _audio(block)
        if audio.shape not in ((len(audio), self.channels), (len(audio),) if self.channels == 1 else None):
            raise RequestError(f"a block must be (samples, {self.channels}), got the shape {audio.shape}")
        x = audio.reshape(len(audio), self.channels)
        if not len(x):
            self.gain = np.ones((0, self.channels), np.float32)
            return audio
        with mx.stream(mx.cpu):
            if self.link == "off":
                sound = mx.array(np.ascontiguousarray(x.T))
                key = sound
            else:
                sound = mx.array(x[None])
                key = mx.abs(sound).max(-1) if self.link == "max" else mx.sqrt(mx.square(sound).mean(-1))
            gain, state = self._model.gain(key, self._controls, self._state)
            y, self._state = self._model.amplify(sound, gain, state)
            mx.eval(y, gain, self._state)
        self.gain = np.broadcast_to(np.array(gain).T, x.shape)
        wet = np.array(y).T if self.link == "off" else np.array(y)[0]
        return (self._wet * wet + self._dry * x).reshape(np.shape(block))


def load(name: str | Path) -> Compressor:
    """The compressor of that name ("cl1b", "la2a"), or of a weights file or run folder.

    Raises:
        RequestError: no such model, or a file that cannot be used.
    """
    with mx.stream(mx.cpu):
        return Compressor(*weights.load(weights.find(str(name))))


def _audio(x: np.ndarray) -> np.ndarray:
    """Finite float32, whatever float came; whole numbers are refused, because only their owner knows their full scale."""
    array = np.asarray(x)
    if not np.issubdtype(array.dtype, np.floating):
        raise RequestError(f"audio must be float with full scale +-1, got {array.dtype}")
    if array.ndim not in (1, 2) or not np.isfinite(array).all():
        raise RequestError(f"audio must be finite numbers (samples,) or (samples, channels), got the shape {array.shape}")
    return array.astype(np.float32, copy=False)


def _resample(x: np.ndarray, rate: int, to: int, samples: int) -> np.ndarray:
    y = soxr.resample(x, rate, to, quality="VHQ").reshape(-1, x.shape[1])[:samples]
    return np.pad(y, ((0, samples - len(y)), (0, 0)))
