"""What is said of devices, beforehand and when nothing is heard."""

import sys

import pytest

from mlxopto.live import advice
from mlxopto.portaudio.ports import Port


def port(name: str, host: str = "Core Audio") -> Port:
    return Port(0, name, host, 2, 2, 48000.0, 0.01, 0.01, False, False)


def test_one_device_at_a_usual_rate_and_a_played_file_need_no_advice():
    assert advice.beforehand(port("Interface"), port("Interface"), 44100) == []
    assert advice.beforehand(None, port("Interface"), 48000) == []


@pytest.mark.parametrize(("system", "words"), [("darwin", "aggregate device"), ("linux", "use one device")])
def test_two_devices_drift_apart(monkeypatch, system, words):
    monkeypatch.setattr(sys, "platform", system)
    (sentence,) = advice.beforehand(port("Microphone"), port("Speakers"), 48000)
    assert "Microphone and Speakers have a clock each" in sentence
    assert words in sentence
    assert advice.beforehand(port("Card", "ALSA"), port("Card", "OSS"), 48000)


@pytest.mark.parametrize(("rate", "kilohertz"), [(16000, "8 kHz"), (24000, "12 kHz")])
def test_a_headset_that_fell_to_the_rate_of_speech_is_named(rate, kilohertz):
    (sentence,) = advice.beforehand(port("AirPods"), port("AirPods"), rate)
    assert f"at {rate} Hz nothing above {kilohertz}" in sentence
    assert "Bluetooth" in sentence


@pytest.mark.parametrize(("system", "words"), [("darwin", "Privacy & Security, Microphone"), ("linux", "the right --input")])
def test_silence_says_where_to_look(monkeypatch, system, words):
    monkeypatch.setattr(sys, "platform", system)
    sentence = advice.unheard(port("Microphone"), 3.0)
    assert words in sentence
    assert "Microphone" in sentence


def test_a_short_silence_and_that_of_a_file_are_nothing():
    assert advice.unheard(port("Microphone"), 2.9) is None
    assert advice.unheard(None, 60.0) is None
