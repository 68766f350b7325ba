"""Captures folders: what is read, and each thing that is refused, by name."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mlxopto.data.captures import CaptureSource, lag_and_polarity
from mlxopto.errors import RequestError
from tests.conftest import shared

RATE = 48000


def write_folder(folder: Path, entries: int = 4) -> dict[str, np.ndarray]:
    """A valid folder of short captures; gives the signals by file name."""
    rng = np.random.default_rng(0)
    signals, manifest = {}, []
    for i in range(entries):
        x = (0.1 * rng.standard_normal(RATE // 2)).astype(np.float32)
        signals |= {f"in{i}.wav": x, f"out{i}.wav": np.float32(0.5) * x}
        controls = {"drive": {"value": float(i), "unit": "dB"}}
        manifest.append({"input": f"in{i}.wav", "target": f"out{i}.wav", "controls": controls, "split": "train"})
    manifest[-1]["split"] = "unseen"
    for name, signal in signals.items():
        soundfile.write(folder / name, signal, RATE, "FLOAT")
    device = {"device": "unit", "controls": [{"name": "drive", "unit": "dB", "low": 0, "high": 10, "scale": "lin"}]}
    (folder / "device.json").write_text(json.dumps(device))
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return signals


def edit(path: Path, change) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def refused(folder: Path, *parts: str) -> None:
    with pytest.raises(RequestError) as caught:
        CaptureSource(folder, 0)
    for part in parts:
        assert part in str(caught.value)


def test_a_valid_folder_gives_aligned_takes_and_holds_a_setting_out(tmp_path):
    signals = write_folder(tmp_path)
    source = CaptureSource(tmp_path, 0)
    assert source.sample_rate == RATE
    assert [take.setting for take in source.test["unseen"]] == [{"drive": 3.0}]
    assert len(source.validation) == 1
    trained = {source.sequence(i).setting["drive"] for i in range(20)}
    assert trained == {0.0, 1.0, 2.0} - {source.validation[0].setting["drive"]}
    take = source.sequence(5)
    shift = len(signals["in0.wav"]) - len(take.x)
    assert 0 <= shift < 16
    np.testing.assert_array_equal(take.x, signals[f"in{take.setting['drive']:.0f}.wav"][shift:])
    np.testing.assert_array_equal(take.y, np.float32(0.5) * take.x)


def test_a_marked_validation_split_is_used_and_nothing_else_is_held_out(tmp_path):
    write_folder(tmp_path)
    edit(tmp_path / "manifest.json", lambda m: m[0].update(split="val"))
    source = CaptureSource(tmp_path, 0)
    assert [take.setting["drive"] for take in source.validation] == [0.0]
    assert {source.sequence(i).setting["drive"] for i in range(20)} == {1.0, 2.0}


def test_sequences_depend_on_their_index_only(tmp_path):
    write_folder(tmp_path)
    first, second = CaptureSource(tmp_path, 4), CaptureSource(tmp_path, 4)
    for index in (7, 0, 3):
        np.testing.assert_array_equal(first.sequence(index).x, second.sequence(index).x)


def test_a_missing_file_is_named(tmp_path):
    write_folder(tmp_path)
    (tmp_path / "out1.wav").unlink()
    refused(tmp_path, "out1.wav", "No such file")


def test_a_length_mismatch_is_told_in_samples(tmp_path):
    signals = write_folder(tmp_path)
    soundfile.write(tmp_path / "out1.wav", signals["out1.wav"][:-7], RATE, "FLOAT")
    refused(tmp_path, "out1.wav has 23993 samples", "in1.wav has 24000")


def test_different_sample_rates_are_named(tmp_path):
    signals = write_folder(tmp_path)
    soundfile.write(tmp_path / "out1.wav", signals["out1.wav"], 44100, "FLOAT")
    refused(tmp_path, "sample rates differ", "44100 Hz")


def test_silence_clipping_lag_and_polarity_are_all_reported_at_once(tmp_path):
    signals = write_folder(tmp_path)
    soundfile.write(tmp_path / "out0.wav", 0 * signals["out0.wav"], RATE, "FLOAT")
    soundfile.write(tmp_path / "out1.wav", np.clip(30 * signals["out1.wav"], -1, 1), RATE, "FLOAT")
    soundfile.write(tmp_path / "out2.wav", np.roll(signals["out2.wav"], 37), RATE, "FLOAT")
    soundfile.write(tmp_path / "out3.wav", -signals["out3.wav"], RATE, "FLOAT")
    refused(
        tmp_path,
        "out0.wav is silent",
        "out1.wav is clipped",
        "out2.wav is 37 samples late",
        "out3.wav has its polarity inverted",
    )


@pytest.mark.parametrize(("ceiling", "clipped"), [(np.inf, False), (1.5, True)])
def test_a_float_file_may_exceed_full_scale_but_not_stay_at_its_peak(tmp_path, ceiling, clipped):
    signals = write_folder(tmp_path)
    tone = 3 * np.sin(2 * np.pi * 20 / RATE * np.arange(len(signals["out1.wav"])))  # as slow as music gets
    for name in ("in1.wav", "out1.wav"):
        soundfile.write(tmp_path / name, np.clip(tone, -ceiling, ceiling), RATE, "FLOAT")
    if clipped:
        refused(tmp_path, "out1.wav is clipped")
    else:
        CaptureSource(tmp_path, 0)


def test_stereo_captures_are_refused(tmp_path):
    signals = write_folder(tmp_path)
    soundfile.write(tmp_path / "in0.wav", np.stack([signals["in0.wav"]] * 2, axis=1), RATE, "FLOAT")
    refused(tmp_path, "in0.wav has 2 channels")


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda m: m[1].update(inptu=m[1].pop("input")), ("entry 2 lacks the key 'input'", "it has 'inptu'")),
        (lambda m: m[1].update(split="trian"), ("entry 2: split must be one of train", "'trian'")),
        (
            lambda m: m[1]["controls"]["drive"].update(value="loud"),
            ("entry 2, control drive: value must be a number", "'loud'"),
        ),
        (lambda m: m[1]["controls"]["drive"].update(value=11), ("entry 2: drive must be 0 dB to 10 dB, got 11 dB",)),
        (lambda m: m[1]["controls"].update(knee={"value": 1}), ("entry 2: there is no control 'knee'",)),
        (lambda m: m[1].update(controls={}), ("entry 2 gives no value for drive",)),
        (lambda m: m.clear(), ("must hold a list of captures",)),
        (lambda m: [entry.update(split="seen") for entry in m], ("no capture with the split train",)),
    ],
)
def test_a_wrong_manifest_is_refused_with_the_entry_and_key(tmp_path, change, parts):
    write_folder(tmp_path)
    edit(tmp_path / "manifest.json", change)
    refused(tmp_path, *parts)


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda d: d.pop("controls"), ("lacks the key 'controls'",)),
        (lambda d: d["controls"][0].update(low="x"), ("control 1: low must be a number",)),
        (lambda d: d["controls"][0].update(scale="cubic"), ("scale must be one of lin",)),
    ],
)
def test_a_wrong_device_file_is_refused(tmp_path, change, parts):
    write_folder(tmp_path)
    edit(tmp_path / "device.json", change)
    refused(tmp_path, *parts)


def test_text_that_is_not_json_is_refused(tmp_path):
    write_folder(tmp_path)
    (tmp_path / "manifest.json").write_text("[{")
    refused(tmp_path, "manifest.json is not JSON")


@pytest.mark.parametrize("lag", [-300, -1, 0, 5, 1200])
@pytest.mark.parametrize("polarity", [1, -1])
def test_lag_and_polarity_are_found_exactly(noise, lag, polarity):
    y = polarity * 0.3 * np.roll(noise, lag)
    assert lag_and_polarity(noise, y) == (lag, polarity)


@pytest.mark.parametrize("device", ["sc4m", "caps"])
def test_third_party_captures_load(device):
    source = CaptureSource(shared(f"thirdparty/{device}"), 0)
    assert len(source.test["seen"]) == 4
    assert len(source.test["unseen"]) == 6
    settings = {tuple(source.sequence(i).setting.items()) for i in range(40)}
    held = {tuple(take.setting.items()) for take in source.validation}
    assert len(settings) == 11
    assert not settings & held


def test_units_of_time_are_converted_to_the_panels_and_others_refused(tmp_path):
    write_folder(tmp_path)
    edit(tmp_path / "device.json", lambda d: d["controls"][0].update(unit="ms", high=5000))
    edit(tmp_path / "manifest.json", lambda m: [entry["controls"]["drive"].update(unit="s") for entry in m])
    assert CaptureSource(tmp_path, 0).test["unseen"][0].setting == {"drive": 3000.0}
    edit(tmp_path / "manifest.json", lambda m: m[1]["controls"]["drive"].update(unit="dB"))
    refused(tmp_path, "entry 2: drive is in 'ms' on the panel, got the unit 'dB'")


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda d: d["controls"][0].update(positions=["fast"]), ("control 1: positions must be an object",)),
        (lambda d: d["controls"][0].update(positions={"fast": "quick"}), ("positions: fast must be a number",)),
        (lambda d: d["controls"][0].update(scale=["lin"]), ("scale must be text",)),
        (lambda d: d["controls"][0].update(high=-1), ("device.json, control 1: the range of drive must rise",)),
        (lambda d: d["controls"].clear(), ("declares no control",)),
    ],
)
def test_an_odd_device_file_is_refused_with_its_name(tmp_path, change, parts):
    write_folder(tmp_path)
    edit(tmp_path / "device.json", change)
    refused(tmp_path, *parts)
