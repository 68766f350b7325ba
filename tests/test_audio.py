"""Sound files in blocks: exact lengths, nothing silent, nothing half-written."""

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from mlxopto import audio, files
from mlxopto.errors import RequestError, WorkError


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([8000, 22050, 44100, 48000, 88200, 96000, 192000]), st.integers(1, 30000), st.integers(1, 3),
    st.lists(st.integers(1, 9000), min_size=1, max_size=5),
)  # fmt: skip
def test_there_and_back_keeps_length_and_alignment_however_it_is_cut(rate, samples, channels, steps):
    rng = np.random.default_rng(samples)
    spectrum = np.fft.rfft(rng.standard_normal((samples, channels)), axis=0)
    frequency = np.fft.rfftfreq(samples, 1 / rate)[:, None]
    spectrum *= frequency < 0.4 * min(rate, 48000)  # what both rates can hold
    x = (0.3 * np.fft.irfft(spectrum, samples, axis=0)).astype(np.float32)
    there = audio.Resampler(rate, 48000, channels, samples)
    back = audio.Resampler(48000, rate, channels, there.length_out, samples)
    parts, at = [], 0
    while at < samples:
        step = steps[len(parts) % len(steps)]
        last = at + step >= samples
        parts.append(back(there(x[at : at + step], last), last))
        at += step
    y = np.concatenate(parts)
    assert y.shape == x.shape
    edge = round(0.02 * rate)
    if samples > 4 * edge:  # away from the ends, where the filters have all they need
        assert np.abs(y - x)[edge:-edge].max() < 1e-3


@pytest.mark.parametrize(
    ("suffix", "subtype"), [(".wav", "FLOAT"), (".wav", "PCM_24"), (".aiff", "PCM_16"), (".flac", "PCM_24"), (".wav", "DOUBLE")]
)
def test_what_is_written_in_blocks_is_read_in_blocks(tmp_path, noise, suffix, subtype):
    path = tmp_path / f"x{suffix}"
    x = np.clip(np.stack([noise, -noise], axis=1), -1, 1)
    writer = audio.Writer(path, 48000, 2, len(x), subtype)
    for at in range(0, len(x), 777):
        writer.write(x[at : at + 777])
    writer.close()
    y = np.concatenate(list(audio.read_blocks(path, 1000)))
    step = {"PCM_16": 2**-15, "PCM_24": 2**-23}.get(subtype, 0)
    assert np.abs(y - x).max() <= step
    assert soundfile.info(str(path)).subtype == subtype


def test_samples_beyond_full_scale_are_counted_and_kept_in_float(tmp_path):
    path = tmp_path / "x.wav"
    x = np.array([[0.5], [1.5], [-2.0], [1.0]], np.float32)
    writer = audio.Writer(path, 48000, 1, 4, "FLOAT")
    writer.write(x)
    writer.close()
    assert (writer.peak, writer.over) == (2.0, 2)
    np.testing.assert_array_equal(audio.read(path)[0], x)


def test_a_wav_beyond_four_gigabytes_becomes_rf64_and_aiff_is_refused(tmp_path):
    audio.Writer(tmp_path / "x.wav", 48000, 2, 1 << 30, "FLOAT")
    assert (tmp_path / "x.wav").read_bytes()[:4] == b"RF64"
    with pytest.raises(RequestError, match="AIFF files end at 4 GB"):
        audio.Writer(tmp_path / "x.aiff", 48000, 2, 1 << 30, "FLOAT")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"this is a text file, not a sound\n" * 10, "is not a sound file that can be read"),
        (b"RIFF\x24\x00\x00\x00WAVE", "is not a sound file that can be read"),
    ],
)
def test_files_without_sound_are_refused(tmp_path, content, message):
    path = tmp_path / "x.wav"
    path.write_bytes(content)
    with pytest.raises(RequestError, match=message):
        audio.info(path)


def test_missing_files_and_folders_are_refused(tmp_path):
    with pytest.raises(RequestError, match=r"none\.wav cannot be opened: No such file"):
        audio.info(tmp_path / "none.wav")
    with pytest.raises(RequestError, match="is a folder"):
        audio.info(tmp_path)


def test_zero_length_audio_is_refused(tmp_path):
    soundfile.write(tmp_path / "x.wav", np.zeros((0, 1)), 48000)
    with pytest.raises(RequestError, match="its length is 0 samples"):
        audio.info(tmp_path / "x.wav")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_sample_that_is_not_finite_is_refused_with_its_place(tmp_path, bad):
    x = np.zeros(5000, np.float32)
    x[4321] = bad
    soundfile.write(tmp_path / "x.wav", x, 48000, "FLOAT")
    with pytest.raises(RequestError, match=r"not a number or infinite, at sample 4321"):
        list(audio.read_blocks(tmp_path / "x.wav", 1000))


@pytest.mark.parametrize("name", ["x.wav", "x.aiff", "x.flac"])
def test_a_truncated_file_is_refused(tmp_path, noise, name):
    path = tmp_path / name
    soundfile.write(path, noise, 48000, "PCM_24")
    path.write_bytes(path.read_bytes()[:-40_000])
    with pytest.raises(RequestError, match="cut short"):
        audio.info(path)
        list(audio.read_blocks(path))


def test_a_wav_from_a_streaming_encoder_with_no_length_in_its_header_is_read(tmp_path, noise):
    path = tmp_path / "x.wav"
    soundfile.write(path, noise, 48000, "FLOAT")
    data = bytearray(path.read_bytes())
    at = data.index(b"data")
    data[at + 4 : at + 8] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    assert audio.info(path).samples == len(noise)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("old")
    with pytest.raises(WorkError), files.replacing(path) as temporary:
        temporary.write_text("half")
        raise OSError(28, "No space left on device")
    assert [p.name for p in tmp_path.iterdir()] == ["x.txt"]
    assert path.read_text() == "old"
