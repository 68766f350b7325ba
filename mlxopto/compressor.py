"""A trained network as a compressor in Python: whole signals, or blocks of any size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import soxr

from mlxopto import weights
from mlxopto.controls import Panel, Setting
from mlxopto.engine import MlxEngine, NativeEngine, choice
from mlxopto.engine.colour import LOUDEST
from mlxopto.engine.kernel import is_audio
from mlxopto.errors import RequestError
from mlxopto.models import Network, Opto
from mlxopto.text import quoted

LINKS = ("off", "max", "mean")
MAKEUP_DB = 60  # at most, either way
MOST_CHANNELS = 1024
RATES = (1000, 768_000)  # Hz that whole signals may have


def _check_type(name: str, value: object, kind: Any, otherwise: object = ...) -> None:
    """Raises TypeError where a value is of another kind, or truth for a number; `otherwise` passes too."""
    if value is otherwise or (isinstance(value, kind) and not isinstance(value, bool)):
        return
    words = {Real: "a number", Integral: "a whole number", str: "text"}
    raise TypeError(f"{name} must be {words.get(kind, 'text or a path')}, got {type(value).__name__}")


class Compressor:
    """A loaded model. `comp(x, sample_rate, attack="fast", ratio=4)` compresses; `comp.stream(...)` takes blocks.

    Args:
        name: a shipped model's, where it is one; otherwise it is called as its device.
    """

    def __init__(self, model: Network, card: weights.Card, name: str | None = None):
        self.model, self.card, self.name = model, card, name or card.name

    @property
    def panel(self) -> Panel:
        """The controls."""
        return self.card.panel

    @property
    def sample_rate(self) -> int:
        """Hz that the network runs at."""
        return self.card.sample_rate

    def setting(self, controls: Mapping[str, float | str], *, extrapolate: bool = False) -> Setting:
        """A value for every control; raises as `Panel.setting`. dBFS is understood where the model knows its level."""
        return self.panel.setting(controls, extrapolate=extrapolate, dbu_at_full_scale=self.card.dbu_at_full_scale)

    def __call__(
        self, x: np.ndarray, sample_rate: int, *, engine: str = "auto", link: str | None = None, **options: Any
    ) -> np.ndarray:
        """x through the compressor, from rest; resampled to the model's rate and back where `sample_rate` differs.

        Args:
            x: (samples,) or (samples, channels), full scale +-1. The result has its shape, float32.
            engine, link, options: as in `stream`.
        Raises:
            RequestError: a control, link or shape that does not fit.
            TypeError: an argument of another type.
        """
        _check_type("sample_rate", sample_rate, Real)
        low, high = RATES
        if not low <= sample_rate <= high:
            raise RequestError(f"sample_rate must be above 0, from {low} to {high} Hz, got {quoted(sample_rate)}")
        signal = _audio(x)
        columns = signal[:, None] if signal.ndim == 1 else signal
        if columns.ndim != 2 or not columns.shape[1]:
            raise RequestError(f"audio must be (samples,) or (samples, channels), got the shape {np.shape(x)}")
        stream = self.stream(columns.shape[1], engine=engine, link=link, **options)
        samples = len(columns)
        if sample_rate != self.sample_rate:
            columns = _resample(columns, sample_rate, self.sample_rate, round(samples * self.sample_rate / sample_rate))
        parts = [stream(columns[at : at + stream.good_block]) for at in range(0, len(columns), stream.good_block)]
        y = np.concatenate(parts) if parts else columns
        if sample_rate != self.sample_rate:
            y = _resample(y, self.sample_rate, sample_rate, samples)
        return y.reshape(signal.shape)

    def stream(
        self,
        channels: int = 1,
        *,
        sample_rate: int | None = None,
        engine: str = "auto",
        link: str | None = None,
        mix: float = 1.0,
        makeup_db: float = 0.0,
        extrapolate: bool = False,
        **controls: float | str,
    ) -> Stream:
        """The form that remembers: call it with blocks of any size.

        Args:
            sample_rate: Hz, the model's own when not given. At another, the network itself runs there, without resampling
                (`mlxopto.engine.rate`).
            engine: cpu, the native engine (MLX for other networks than opto, whose controls stand still); gpu, MLX on the GPU,
                the same; auto, the faster one, which is cpu.
            link: how channels share their gain: off (each its own), max (the loudest leads; default), mean (power).
            mix: 0 dry to 1 wet. makeup_db: gain of the wet signal. extrapolate: allow controls beyond their range.
            controls: by name, in the panel's unit or as text ("3ms", "fast", "4:1"); the others at their defaults.
        Raises:
            RequestError: a control, engine or link that does not fit.
            TypeError: an argument of another type.
        """
        _check_type("channels", channels, Integral)
        _check_type("sample_rate", sample_rate, Real, None)
        _check_type("engine", engine, str)
        _check_type("link", link, str, None)
        if not isinstance(extrapolate, bool):
            raise TypeError(f"extrapolate must be true or false, got {type(extrapolate).__name__}")
        return Stream(
            self,
            channels,
            sample_rate,
            engine,
            link,
            Mix(mix, makeup_db),
            self.setting(controls, extrapolate=extrapolate),
        )


@dataclass(frozen=True)
class Mix:
    """How much of the output is compressed.

    Args:
        mix: 0 dry to 1 wet. makeup_db: gain of the wet signal, -60 to 60.
    Raises:
        RequestError: a value outside.
    """

    mix: float = 1.0
    makeup_db: float = 0.0

    def __post_init__(self) -> None:
        _check_type("mix", self.mix, Real)
        _check_type("makeup_db", self.makeup_db, Real)
        if not 0 <= self.mix <= 1:
            raise RequestError(f"mix must be 0 to 1, got {self.mix}")
        if not -MAKEUP_DB <= self.makeup_db <= MAKEUP_DB:
            raise RequestError(f"makeup must be -{MAKEUP_DB} to {MAKEUP_DB} dB, got {self.makeup_db}")

    @property
    def levels(self) -> tuple[float, float]:
        """Linear levels, wet and dry."""
        return self.mix * 10 ** (self.makeup_db / 20), 1 - self.mix


FULLY_WET = Mix()


class Stream:
    """A compressor that remembers: stream(block) gives the block compressed, however the signal is cut into blocks.

    Arguments as in `Compressor.stream`.
    """

    def __init__(
        self,
        compressor: Compressor,
        channels: int,
        sample_rate: int | None = None,
        engine: str = "auto",
        link: str | None = None,
        mix: Mix = FULLY_WET,
        setting: Setting | None = None,
    ):
        default = None if compressor.model.linkable else "off"
        self._takes_key = compressor.model.takes_key
        self._compressor = compressor
        self.panel, self.channels, self.link = compressor.panel, channels, check_link(link or default, channels)
        self.setting, self.mix = setting or compressor.panel.setting({}), mix
        check(compressor, engine, self.link)
        self._gain = np.ones((0, channels), np.float32)
        self._engine = _engine(compressor.model, engine, channels, self.link, sample_rate)
        self._engine.aim(self.panel.normalise(self.setting), *mix.levels)
        self._engine.reset()

    @property
    def good_block(self) -> int:
        """Samples to hand over at once where there are many: enough to keep the engine busy, and memory stays the same."""
        return self._engine.good_block

    def __call__(self, block: np.ndarray, key: np.ndarray | None = None) -> np.ndarray:
        """float32 (samples,) for one channel, or (samples, channels); any number of samples, the same shape back.

        Args:
            key: an external side-chain, which the detectors hear instead of the block: (samples,) or (samples, keys), where
            unlinked
                channels need one key or one each.
        Raises:
            RequestError: a shape that does not fit, or numbers that are no audio; the stream is then as it was.
        """
        audio = _audio(block)
        columns = audio[:, None] if audio.ndim == 1 else audio
        if columns.shape[1] != self.channels:
            raise RequestError(f"a block must be (samples, {self.channels}), got the shape {audio.shape}")
        heard = None if key is None else _audio(key)
        if heard is not None:
            heard = heard[:, None] if heard.ndim == 1 else heard
            if not heard.shape[1]:
                raise RequestError("a key must have at least one column, got none")
            if not self._takes_key:
                raise RequestError("this network makes its output from what it hears, so it takes no side-chain")
            check_link(self.link, self.channels, heard.shape[1])
            if len(heard) != len(audio):
                raise RequestError(f"a key must have the block's {len(audio)} samples, got {len(heard)}")
        y, self._gain = self.play(columns, heard)
        return y[:, 0] if audio.ndim == 1 else y

    @property
    def gain(self) -> np.ndarray:
        """The linear gain of each sample of the last block, (samples, channels), before make-up and mix."""
        return np.broadcast_to(self._gain, (len(self._gain), self.channels))

    def play(self, block: np.ndarray, key: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """A call without its checks: float32 (samples, channels) to the output and the gain, (samples, gain paths)."""
        return self._engine.process(block, key)

    def set(
        self, *, mix: float | None = None, makeup_db: float | None = None, channel: int | None = None, **controls: float | str
    ) -> None:
        """Moves controls while audio runs: they glide to their new values within 20 ms.

        Args:
            mix, makeup_db, controls: those that change. channel: of unlinked channels, the only one that changes.
        Raises:
            RequestError: a value or channel that does not fit, or an engine whose controls stand still.
        """
        if not isinstance(self._engine, NativeEngine):
            raise RequestError("controls move on the native engine only: engine cpu, a model of the architecture opto")
        _check_type("channel", channel, Integral, None)
        if channel is not None and (self.link != "off" or not 0 <= channel < self.channels):
            raise RequestError(
                f"channel must be one of {self.channels} that are not linked, got {channel} with link {self.link}"
            )
        changed = Mix(self.mix.mix if mix is None else mix, self.mix.makeup_db if makeup_db is None else makeup_db)
        given = self._compressor.setting(controls)
        setting = {**self.setting, **{name: given[name] for name in controls}}
        self._engine.aim(self.panel.normalise(setting), *changed.levels, channel)
        if channel is None:
            self.setting, self.mix = setting, changed

    def reset(self) -> None:
        """As a new stream, with the controls where they were set: the network's state of rest, which its training
        begins with.
        """
        self._engine.reset()


def check_link(link: str | None, channels: int, keys: int = 0) -> str:
    """The link, or what it is when not given: off for one channel, max for more.

    Args:
        keys: columns of an external side-chain, 0 without.
    Raises:
        RequestError: no such link, no channel, or keys that unlinked channels cannot share out.
    """
    link = link or ("off" if channels == 1 else "max")
    if link not in LINKS:
        raise RequestError(f"link must be one of {', '.join(LINKS)}, got {quoted(link)}")
    if not 1 <= channels <= MOST_CHANNELS:
        raise RequestError(f"channels must be at least 1 and at most {MOST_CHANNELS}, got {quoted(channels)}")
    if link == "off" and keys not in (0, 1, channels):
        raise RequestError(f"{channels} channels that are not linked need 1 or {channels} side-chain channels, got {keys}")
    return link


def load(name: str | Path) -> Compressor:
    """The compressor of that name ("cl1b", "la2a"), or of a weights file or run folder.

    Raises:
        RequestError: no such model, or a file that cannot be used.
        TypeError: another type than text or a path.
    """
    _check_type("name", name, str | Path)
    with mx.stream(mx.cpu):
        model, card = weights.load(weights.find(str(name)))
        return Compressor(model, card, str(name) if str(name) in weights.shipped() else None)


def check(compressor: Compressor, engine: str = "auto", link: str | None = None) -> None:
    """Raises RequestError for an engine or link that a stream would refuse; takes no time."""
    choice.check(engine)
    if link is not None and check_link(link, 2) != "off" and not compressor.model.linkable:
        raise RequestError(f"channels of this model cannot be linked: link must be off, got {link}")


def _engine(model: Network, name: str, channels: int, link: str, sample_rate: int | None) -> NativeEngine | MlxEngine:
    if name != "gpu" and isinstance(model, Opto):
        return NativeEngine(model, channels, link, sample_rate)
    if sample_rate not in (None, model.config.sample_rate):
        raise RequestError(f"this model runs at its own {model.config.sample_rate} Hz only through MLX, got {sample_rate}")
    return MlxEngine(model, channels, link, mx.Device(mx.gpu if name == "gpu" else mx.cpu))


def _audio(x: np.ndarray) -> np.ndarray:
    """Finite float32, whatever float came; whole numbers are refused, because only their owner knows their full scale."""
    if type(x) is np.ndarray and x.dtype == np.float32 and x.ndim in (1, 2) and is_audio(np.ascontiguousarray(x).reshape(-1)):
        return x
    try:
        array = np.asarray(x)
    except ValueError as error:  # rows of different lengths
        raise TypeError(f"audio must be an array of floats, got {type(x).__name__}") from error
    if array.dtype.kind not in "fiub":
        raise TypeError(f"audio must be an array of floats, got {type(x).__name__}")
    if not np.issubdtype(array.dtype, np.floating):
        raise RequestError(f"audio must be float with full scale +-1, got {array.dtype}")
    if array.ndim not in (1, 2) or not (np.abs(array) <= LOUDEST).all():
        raise RequestError(
            f"audio must be finite numbers up to {LOUDEST:g}, (samples,) or (samples, channels), got the shape {array.shape}"
        )
    return array.astype(np.float32, copy=False)


def _resample(x: np.ndarray, rate: int, to: int, samples: int) -> np.ndarray:
    y = soxr.resample(x, rate, to, quality="VHQ").reshape(-1, x.shape[1])[:samples]
    return np.pad(y, ((0, samples - len(y)), (0, 0)))
