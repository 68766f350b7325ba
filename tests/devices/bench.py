"""Measurements on a virtual device, as one would make them on a bench."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mlxopto import Compressor
from mlxopto.devices import Device

RATE = 48000
FRAME = 0.01  # s


def modelled(device: Device, compressor: Compressor) -> Device:
    """A model in a device's place."""
    return replace(device, process=lambda x, sample_rate, setting: compressor(x, sample_rate, **setting))


def tone(level_dbfs: float, seconds: float, frequency: float = 1000.0, rate: int = RATE) -> np.ndarray:
    t = np.arange(round(seconds * rate)) / rate
    return 10 ** (level_dbfs / 20) * np.sin(2 * np.pi * frequency * t)


def burst(loud_dbfs: float, quiet_dbfs: float, seconds: float, rate: int = RATE) -> np.ndarray:
    """A loud tone from the start, then eight quiet seconds."""
    return np.concatenate([tone(loud_dbfs, seconds, rate=rate), tone(quiet_dbfs, 8.0, rate=rate)])


def gain_after(device: Device, setting: dict[str, float], x: np.ndarray, start_s: float, rate: int = RATE) -> np.ndarray:
    """Gain in dB in 10 ms frames from start_s on."""
    y = device.process(x.astype(np.float32), rate, setting)
    frame, first = round(FRAME * rate), round(start_s * rate)
    frames = (len(x) - first) // frame

    def level(signal: np.ndarray) -> np.ndarray:
        part = signal[first : first + frames * frame].reshape(frames, frame)
        return 10 * np.log10(np.mean(np.square(part, dtype=np.float64), axis=1) + 1e-16)

    return level(y) - level(x)


def static_gain_db(device: Device, setting: dict[str, float], level_dbfs: float, frequency: float = 1000.0) -> float:
    """Gain that a tone has settled to after four seconds."""
    return float(gain_after(device, setting, tone(level_dbfs, 4.5, frequency), 4.0).mean())


def slope(device: Device, setting: dict[str, float], low_dbfs: float, high_dbfs: float) -> float:
    """Input change over output change between two steady levels: the compression ratio there."""
    change = static_gain_db(device, setting, high_dbfs) - static_gain_db(device, setting, low_dbfs)
    return (high_dbfs - low_dbfs) / (high_dbfs - low_dbfs + change)


def time_to_recover(gain_db: np.ndarray, share: float) -> float:
    """Seconds until that share (in dB) of the reduction at the start is gone."""
    return float(np.argmax(gain_db > (1 - share) * gain_db[0])) * FRAME


def harmonic(device: Device, setting: dict[str, float], level_dbfs: float, order: int) -> float:
    """Amplitude of a harmonic of a steady 1 kHz tone, relative to the fundamental."""
    y = device.process(tone(level_dbfs, 2.0).astype(np.float32), RATE, setting)[-RATE:]
    spectrum = np.abs(np.fft.rfft(y * np.hanning(RATE)))
    return float(spectrum[1000 * order] / spectrum[1000])
