"""Synthetic programme material: music-like and test signals with realistic crest factors and levels, repeatable from a seed.

A sound is float32 (samples,). Instruments play alone or mixed, passages follow each other at different levels, and every
fifth passage is a test signal (level steps, bursts, sweeps), because a compressor's time constants show best there. For
training some passages are exposures, tones held for seconds and quiet ones after them: an optical cell's memory shows there
alone.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Rng = np.random.Generator
Voice = Callable[[int, int, Rng], np.ndarray]

_PASSAGE_S = (3.0, 7.0)
_EXPOSED_S, _DARK_S = (0.1, 10.0), (2.0, 6.0)  # of an exposure


def generate(seconds: float, sample_rate: int, seed: int | np.random.SeedSequence, exposures: float = 0.0) -> np.ndarray:
    """Programme material of that length, float32 (samples,), peaks within +-1; a share of the passages are exposures."""
    rng = np.random.default_rng(seed)
    samples = round(seconds * sample_rate)
    passages: list[np.ndarray] = []
    filled = 0
    while filled < samples:
        if exposures and rng.random() < exposures:
            passages.append(exposure(sample_rate, rng))
        else:
            passages.append(_passage(round(rng.uniform(*_PASSAGE_S) * sample_rate), sample_rate, rng))
        filled += len(passages[-1])
    return np.concatenate(passages)[:samples].astype(np.float32)


def demo(sample_rate: int, seconds: float = 8.0) -> np.ndarray:
    """A short song, float32 (samples,): drums, then bass and chords with them, so that attack and release are easy to hear."""
    rng = np.random.default_rng(7)
    samples = round(seconds * sample_rate)
    drums = drum_pattern(samples, sample_rate, rng)
    band = 0.5 * bass_line(samples, sample_rate, rng) + 0.35 * plucked_chords(samples, sample_rate, rng)
    fade = np.clip(np.arange(samples) / sample_rate - seconds / 4, 0, 1)
    mix = drums + fade * band
    return (0.9 * mix / np.abs(mix).max()).astype(np.float32)


def _passage(samples: int, sample_rate: int, rng: Rng) -> np.ndarray:
    if rng.random() < 0.2:
        sound = _TESTS[rng.integers(len(_TESTS))](samples, sample_rate, rng)
    else:
        players = rng.choice(len(_INSTRUMENTS), size=rng.choice([1, 1, 2, 3]), replace=False)
        parts = [_INSTRUMENTS[i](samples, sample_rate, rng) for i in players]
        sound = np.sum([part * 10 ** (rng.uniform(-12, 0) / 20) for part in parts], axis=0)
    peak_db = rng.triangular(-26.0, -3.0, 0.0)
    sound = sound * (10 ** (peak_db / 20) / max(float(np.abs(sound).max()), 1e-9))
    edge = min(samples // 4, sample_rate // 200)
    sound[:edge] *= np.linspace(0, 1, edge)
    sound[samples - edge :] *= np.linspace(1, 0, edge)
    return sound


def drum_pattern(samples: int, sample_rate: int, rng: Rng) -> np.ndarray:
    """Kick, snare and hi-hat on a sixteenth-note grid, with accents and ghost notes."""
    step = 60 / rng.uniform(80, 160) / 4
    out = np.zeros(samples)
    kick, snare, hat = _kick(sample_rate, rng), _snare(sample_rate, rng), _hat(sample_rate, rng)
    kicks, snares = rng.random(16) < 0.2, rng.random(16) < 0.08
    kicks[[0, 8]], snares[[4, 12]] = True, True
    for beat in range(int(samples / sample_rate / step)):
        at = round(beat * step * sample_rate)
        accent = 1.0 if beat % 4 == 0 else 0.6
        if kicks[beat % 16]:
            _add(out, at, kick * rng.uniform(0.7, 1.0))
        if snares[beat % 16]:
            _add(out, at, snare * rng.uniform(0.6, 1.0) * (1.0 if beat % 8 == 4 else 0.4))
        if beat % 2 == 0 or rng.random() < 0.3:
            _add(out, at, hat * accent * rng.uniform(0.15, 0.35))
    return out


def bass_line(samples: int, sample_rate: int, rng: Rng) -> np.ndarray:
    """Single low notes with a plucked or a held envelope."""
    return _notes(samples, sample_rate, rng, midi=(28, 48), voices=1, length=(0.15, 1.2), partials=10, tilt=1.4)


def plucked_chords(samples: int, sample_rate: int, rng: Rng) -> np.ndarray:
    """Guitar- or piano-like chords that ring out."""
    return _notes(samples, sample_rate, rng, midi=(48, 76), voices=3, length=(0.3, 2.5), partials=8, tilt=1.2)


def sustained_chords(samples: int, sample_rate: int, rng: Rng) -> np.ndarray:
    """Organ- or string-like chords with slow swells and vibrato."""
    t = np.arange(samples) / sample_rate
    out = np.zeros(samples)
    for note in rng.integers(40, 72, 3):
        phase = 2 * np.pi * _hertz(note) * t + 0.3 * np.sin(2 * np.pi * rng.uniform(4, 6) * t)
        for partial in range(1, 6):
            out += np.sin(partial * phase + rng.uniform(0, 6.3)) / partial**1.3
    return out * (0.55 + 0.45 * np.sin(2 * np.pi * rng.uniform(0.1, 0.7) * t + rng.uniform(0, 6.3)))


def voice_like(samples: int, sample_rate: int, rng: Rng) -> np.ndarray:
    """Syllables: a glottal pulse train through moving formants, with consonant noise and pauses."""
    out = np.zeros(samples)
    at = 0
    pitch = rng.uniform(90, 220)
    while at < samples:
        length = round(rng.uniform(0.1, 0.45) * sample_rate)
        t = np.arange(length) / sample_rate
        phase = 2 * np.pi * np.cumsum(pitch * (1 + 0.1 * np.sin(2 * np.pi * rng.uniform(1, 4) * t))) / sample_rate
        formants = [(rng.uniform(300, 800), 1.0), (rng.uniform(900, 2200), 0.5), (rng.uniform(2400, 3200), 0.25)]
        vowel = np.zeros(length)
        for partial in range(1, 24):
            weight = sum(gain / (1 + ((partial * pitch - f) / 120) ** 2) for f, gain in formants)
            vowel += (weight + 0.02) * np.sin(partial * phase)
        attack = np.minimum(t / rng.uniform(0.01, 0.05), 1)
        decay = np.minimum((length - np.arange(length)) / (0.06 * sample_rate), 1)
        syllable = vowel * attack * decay * rng.uniform(0.3, 1.0)
        noise = _shaped_noise(round(rng.uniform(0.02, 0.1) * sample_rate), sample_rate, rng, 3000, 9000)
        _add(out, at, noise * rng.uniform(0.05, 0.6) * np.hanning(len(noise)))
        _add(out, at + len(noise) // 2, syllable)
        at += length + round(rng.choice([0.02, 0.05, 0.5]) * sample_rate)
    return out


def pink_noise(samples: int, sample_rate: int, rng: Rng) -> np.ndarray:
    """Pink noise under a random envelope of swells and drops."""
    noise = _shaped_noise(samples, sample_rate, rng, 20, 20000, slope=-0.5)
    points = max(2, int(samples / sample_rate / rng.uniform(0.1, 1.0)))
    levels = rng.uniform(-30, 0, points)
    return noise * 10 ** (np.interp(np.linspace(0, points - 1, samples), np.arange(points), levels) / 20)


def level_steps(samples: int, sample_rate: int, rng: Rng) -> np.ndarray:
    """A tone or noise whose level jumps every 0.1 to 2 s."""
    carrier = _carrier(samples, sample_rate, rng)
    out = np.empty(samples)
    at = 0
    while at < samples:
        length = round(10 ** rng.uniform(-1, 0.3) * sample_rate)
        out[at : at + length] = carrier[at : at + length] * 10 ** (rng.uniform(-40, 0) / 20)
        at += length
    return out


def bursts(samples: int, sample_rate: int, rng: Rng) -> np.ndarray:
    """Short loud bursts on a quiet bed: isolates attack, release and the cell's memory."""
    carrier = _carrier(samples, sample_rate, rng)
    out = carrier * 10 ** (rng.uniform(-50, -25) / 20)
    at = round(0.1 * sample_rate)
    while at < samples:
        length = round(10 ** rng.uniform(-2.3, 0) * sample_rate)
        out[at : at + length] = carrier[at : at + length] * 10 ** (rng.uniform(-10, 0) / 20)
        at += length + round(10 ** rng.uniform(-1, 0.5) * sample_rate)
    return out


def exposure(sample_rate: int, rng: Rng) -> np.ndarray:
    """A loud tone or noise, held for up to ten seconds, then the same quietly for some more."""
    low, high = np.log(_EXPOSED_S)
    lit, dark = (round(seconds * sample_rate) for seconds in (np.exp(rng.uniform(low, high)), rng.uniform(*_DARK_S)))
    levels_db = np.repeat([rng.uniform(-20, 0), rng.uniform(-45, -30)], [lit, dark])
    sound = _carrier(lit + dark, sample_rate, rng) * 10 ** (levels_db / 20)
    return sound / max(1.0, float(np.abs(sound).max()))


def sweep(samples: int, sample_rate: int, rng: Rng) -> np.ndarray:
    """A logarithmic sweep of 30 Hz to 16 kHz, up or down, its level drifting."""
    t = np.linspace(0, 1, samples)
    t = t if rng.random() < 0.5 else t[::-1]
    frequency = 30 * (16000 / 30) ** t
    level = 10 ** (np.interp(np.linspace(0, 5, samples), np.arange(6), rng.uniform(-25, 0, 6)) / 20)
    return level * np.sin(2 * np.pi * np.cumsum(frequency) / sample_rate)


def _carrier(samples: int, sample_rate: int, rng: Rng) -> np.ndarray:
    if rng.random() < 0.3:
        return _shaped_noise(samples, sample_rate, rng, 100, 8000)
    return np.sin(2 * np.pi * 10 ** rng.uniform(1.8, 3.8) * np.arange(samples) / sample_rate)


def _notes(
    samples: int, sample_rate: int, rng: Rng, *, midi: tuple[int, int], voices: int, length: tuple[float, float],
    partials: int, tilt: float,
) -> np.ndarray:  # fmt: skip
    """Notes one after the other: decaying partials, the high ones faster, on a random rhythm."""
    out = np.zeros(samples)
    at = 0
    while at < samples:
        seconds = rng.uniform(*length)
        count = round(seconds * sample_rate)
        t = np.arange(count) / sample_rate
        decay = rng.uniform(0.5, 4.0) / seconds
        chord = np.zeros(count)
        for note in rng.integers(*midi, voices):
            f = _hertz(note)
            for partial in range(1, partials + 1):
                if partial * f < 0.4 * sample_rate:
                    phase = 2 * np.pi * partial * f * t + rng.uniform(0, 6.3)
                    chord += np.sin(phase) * np.exp(-decay * partial**0.7 * t) / partial**tilt
        onset = np.minimum(t / 0.003, 1)
        tail = np.minimum((count - np.arange(count)) / (0.01 * sample_rate), 1)
        _add(out, at, chord * onset * tail * 10 ** (rng.uniform(-12, 0) / 20))
        at += round(count * rng.uniform(0.6, 1.2))
    return out


def _kick(sample_rate: int, rng: Rng) -> np.ndarray:
    t = np.arange(round(0.35 * sample_rate)) / sample_rate
    frequency = rng.uniform(42, 60) + rng.uniform(60, 180) * np.exp(-t / 0.02)
    return np.sin(2 * np.pi * np.cumsum(frequency) / sample_rate) * np.exp(-t / rng.uniform(0.06, 0.16))


def _snare(sample_rate: int, rng: Rng) -> np.ndarray:
    t = np.arange(round(0.3 * sample_rate)) / sample_rate
    noise = _shaped_noise(len(t), sample_rate, rng, 700, 12000) * np.exp(-t / rng.uniform(0.04, 0.1))
    return noise + 0.6 * np.sin(2 * np.pi * rng.uniform(160, 230) * t) * np.exp(-t / 0.05)


def _hat(sample_rate: int, rng: Rng) -> np.ndarray:
    t = np.arange(round(0.15 * sample_rate)) / sample_rate
    return _shaped_noise(len(t), sample_rate, rng, 6000, 18000) * np.exp(-t / rng.uniform(0.015, 0.05))


def _shaped_noise(samples: int, sample_rate: int, rng: Rng, low: float, high: float, slope: float = 0.0) -> np.ndarray:
    """Noise between two frequencies, amplitude spectrum f ** slope, RMS about 0.3."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    frequency = np.fft.rfftfreq(samples, 1 / sample_rate)
    spectrum *= (frequency >= low) & (frequency <= high)
    spectrum *= np.maximum(frequency, low) ** slope
    noise = np.fft.irfft(spectrum, samples)
    return 0.3 * noise / max(float(np.sqrt(np.mean(noise**2))), 1e-9)


def _hertz(note: float) -> float:
    return float(440 * 2 ** ((note - 69) / 12))


def _add(out: np.ndarray, at: int, sound: np.ndarray) -> None:
    out[at : at + len(sound)] += sound[: max(0, len(out) - at)]


_INSTRUMENTS: tuple[Voice, ...] = (
    drum_pattern, drum_pattern, bass_line, plucked_chords, sustained_chords, voice_like, pink_noise,
)  # fmt: skip
_TESTS: tuple[Voice, ...] = (level_steps, bursts, sweep)
