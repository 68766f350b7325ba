"""Sound files in blocks: exact lengths, nothing silent, nothing half-written."""

import os
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from mlxopto import audio, files
from mlxopto.audio import layout
from mlxopto.errors import RequestError, WorkError
from tests.audio_files import aiff, chunk, fmt, pcm, riff


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


SECOND = (0.4 * np.sin(2 * np.pi * 220 * np.arange(48000) / 48000)).astype(np.float32)
PLACEHOLDERS = [0, 0x7FFFF000, 0x7FFFFFFF - 36, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFF - 36]


@pytest.mark.parametrize("size", PLACEHOLDERS)
@pytest.mark.parametrize("bits", [16, 24, 32])
def test_a_wav_whose_recorder_died_or_wrote_into_a_pipe_is_read_to_its_end(tmp_path, size, bits):
    path = tmp_path / "x.wav"
    raw = {16: (SECOND * 32767).astype("<i2").tobytes(), 32: SECOND.astype("<f4").tobytes()}
    raw[24] = b"".join(int(v).to_bytes(3, "little", signed=True) for v in SECOND * 8388607)
    path.write_bytes(
        riff(fmt(bits=bits, tag=3 if bits == 32 else 1), chunk(b"data", raw[bits], size), size=min(size + 36, 0xFFFFFFFF))
    )
    info = audio.info(path)
    assert info.samples == 48000
    assert "its header was not finished; all 1.0 s that are there are read" in info.remark
    np.testing.assert_allclose(audio.read(path)[0][:, 0], SECOND, atol=1e-4)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_the_same_of_an_aiff(tmp_path, size):
    (tmp_path / "x.aiff").write_bytes(aiff(SECOND, size))
    samples, rate = audio.read(tmp_path / "x.aiff")
    assert rate == 48000
    np.testing.assert_allclose(samples[:, 0], SECOND, atol=1e-4)


def test_a_header_that_knows_only_the_first_part_is_not_believed(tmp_path):
    path = tmp_path / "x.wav"
    path.write_bytes(riff(fmt(), chunk(b"data", pcm(SECOND), 9600), size=36 + 9600))
    assert audio.info(path).samples == 48000
    assert "does not tell all of the audio" in audio.info(path).remark


def test_tags_behind_the_audio_and_an_empty_take_are_no_audio(tmp_path):
    path = tmp_path / "x.wav"
    for behind in (b"ID3\x04" + bytes(5000), b"TAG" + bytes(125), chunk(b"LIST", b"INFO" + bytes(20)), bytes(64)):
        path.write_bytes(riff(fmt(), chunk(b"data", pcm(SECOND))) + behind)
        assert audio.info(path).samples == 48000
        assert not audio.info(path).remark
    path.write_bytes(riff(fmt(), chunk(b"data", b""), chunk(b"LIST", b"INFO" + bytes(20000))))
    with pytest.raises(RequestError, match="its length is 0 samples"):
        audio.info(path)


def test_a_size_that_wrapped_at_four_gigabytes_is_completed(tmp_path):
    path = tmp_path / "x.wav"
    data = pcm(SECOND)
    with path.open("wb") as file:
        file.write(riff(fmt(), chunk(b"data", data, len(data)), size=36 + len(data)))
        os.truncate(file.fileno(), 44 + (1 << 32) + len(data))  # sparse
    info = audio.info(path)
    assert info.samples == 48000 + (1 << 31)
    assert "counts only to 4 GiB" in info.remark
    assert not audio.read_part(path, (1 << 31) - 10, 100).any()
    with pytest.raises(RequestError, match="is too long to be read at once"):
        audio.read(path)


def test_a_codec_without_its_header_is_refused_and_one_that_cannot_seek_is_read(tmp_path):
    soundfile.write(tmp_path / "gsm.wav", SECOND, 48000, subtype="GSM610")
    assert len(audio.read_part(tmp_path / "gsm.wav", 1000, 500)) == 500
    data = bytearray((tmp_path / "gsm.wav").read_bytes())
    at = data.index(b"data")
    data[at + 4 : at + 8] = b"\xff\xff\xff\xff"
    (tmp_path / "gsm.wav").write_bytes(data)
    with pytest.raises(RequestError, match="and its codec needs it"):
        audio.info(tmp_path / "gsm.wav")


def test_a_name_of_any_bytes_is_read_and_written(tmp_path):
    path = tmp_path / os.fsdecode(b"name\xff\n.wav")
    audio.write(path, SECOND, 48000, "PCM_16")
    assert audio.info(path).samples == 48000


@pytest.mark.parametrize(("rate", "channels", "message"), [(1, 1, "its rate is 1 Hz"), (48000, 300, "it has 300 channels")])
def test_what_no_sound_is_is_refused(tmp_path, rate, channels, message):
    path = tmp_path / "x.wav"
    path.write_bytes(riff(fmt(channels=channels, rate=rate), chunk(b"data", bytes(channels * 2 * 100))))
    with pytest.raises(RequestError, match=message):
        audio.info(path)


BEXT = chunk(b"bext", b"take 7".ljust(338, b"\0") + struct.pack("<Q", 172_800_000) + bytes(256))
CUE, LIST = chunk(b"cue ", struct.pack("<I", 0)), chunk(b"LIST", b"INFO" + chunk(b"INAM", b"Song\0"))
MASK = struct.pack("<HHIH", 22, 16, 0x3F, 1) + bytes.fromhex("000000001000800000aa00389b71")


def copied(source, target, subtype="PCM_16") -> audio.Metadata:
    """Writes the samples of one file and what it carries to another; gives what the other cannot keep."""
    carried = audio.Metadata.of(source)
    samples, rate = audio.read(source)
    writer = audio.Writer(target, rate, samples.shape[1], len(samples), subtype, carried)
    writer.write(samples)
    writer.close()
    np.testing.assert_array_equal(audio.read(target)[0], samples)
    return carried


def test_what_a_wav_carries_is_kept_byte_by_byte_and_in_its_place(tmp_path):
    (tmp_path / "x.wav").write_bytes(riff(BEXT, fmt(), chunk(b"data", pcm(SECOND)), CUE, LIST))
    carried = copied(tmp_path / "x.wav", tmp_path / "y.wav")
    assert carried.lost_in("WAV") == []
    assert carried.lost_in("FLAC") == ["bext", "cue"]
    data = (tmp_path / "y.wav").read_bytes()
    places = [data.index(part) for part in (BEXT, b"data", CUE, LIST)]
    assert places == sorted(places)
    assert int.from_bytes(data[4:8], "little") == len(data) - 8
    with soundfile.SoundFile(tmp_path / "y.wav") as sound:
        assert sound.title == "Song"


def test_the_mask_of_channels_is_kept(tmp_path):
    six = np.stack([SECOND] * 6, axis=1)
    (tmp_path / "x.wav").write_bytes(riff(fmt(6, tag=0xFFFE, extra=MASK), chunk(b"data", pcm(six))))
    carried = copied(tmp_path / "x.wav", tmp_path / "y.wav")
    with (tmp_path / "y.wav").open("rb") as file:
        found = layout.read(file)
    assert found is not None
    assert (found.mask, found.channels) == (0x3F, 6)
    assert carried.lost_in("AIFF") == ["channel mask"]


def test_what_aiff_and_flac_carry_is_kept_and_tags_pass_between_formats(tmp_path):
    (tmp_path / "x.aiff").write_bytes(
        aiff(SECOND, None, chunk(b"NAME", b"Song", order=">"), chunk(b"MARK", bytes(2), order=">"))
    )
    assert copied(tmp_path / "x.aiff", tmp_path / "y.aiff").lost_in("WAV") == ["MARK"]
    assert b"MARK\0\0\0\x02" in (tmp_path / "y.aiff").read_bytes()
    for target in ("z.wav", "z.flac"):
        copied(tmp_path / "y.aiff", tmp_path / target)
        with soundfile.SoundFile(tmp_path / target) as sound:
            assert sound.title == "Song"
    copied(tmp_path / "z.flac", tmp_path / "again.flac")
    with soundfile.SoundFile(tmp_path / "again.flac") as sound:
        assert sound.title == "Song"
    picture = bytes(4) + bytes(28)
    flac = (tmp_path / "z.flac").read_bytes()
    (tmp_path / "p.flac").write_bytes(flac[:42] + bytes([6]) + len(picture).to_bytes(3, "big") + picture + flac[42:])
    carried = copied(tmp_path / "p.flac", tmp_path / "q.flac")
    assert carried.lost_in("WAV") == ["picture"]
    assert picture in (tmp_path / "q.flac").read_bytes()


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_damage_to_a_head_is_read_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("damaged") / "x.wav"
    whole = bytearray(riff(BEXT, fmt(), chunk(b"data", pcm(SECOND[:500])), CUE, LIST))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, 760))] = data.draw(st.integers(0, 255))
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    try:
        info = audio.info(path)
        assert 0 < info.samples * info.channels <= 8 * len(whole)
        for block in audio.read_blocks(path, 100):
            assert np.isfinite(block).all()
        audio.Metadata.of(path)
    except RequestError:
        pass


def test_a_flac_of_unknown_length_is_read_and_one_behind_an_id3_tag_keeps_its_blocks(tmp_path):
    soundfile.write(tmp_path / "x.flac", SECOND, 48000)
    data = bytearray((tmp_path / "x.flac").read_bytes())
    data[21] &= 0xF0  # the 36 bits of the length, behind "fLaC", the block's head and 13 bytes
    data[22:26] = bytes(4)
    (tmp_path / "pipe.flac").write_bytes(data)
    assert audio.info(tmp_path / "pipe.flac").samples == 48000
    np.testing.assert_allclose(audio.read(tmp_path / "pipe.flac")[0][:, 0], SECOND, atol=1e-4)
    (tmp_path / "id3.flac").write_bytes(b"ID3\x04\0\0\0\0\0\x05" + bytes(5) + (tmp_path / "x.flac").read_bytes())
    assert audio.Metadata.of(tmp_path / "id3.flac").kind == "FLAC"


@pytest.mark.parametrize(("size", "samples"), [(0, 48000), (0xFFFFFFFF, 48000), (100, 48000), (96000, 48000), (96100, None)])
def test_an_au_file_is_judged_by_its_size_too(tmp_path, size, samples):
    data = (SECOND * 32767).round().astype(">i2").tobytes()
    (tmp_path / "x.au").write_bytes(b".snd" + struct.pack(">IIIII", 24, size, 3, 48000, 1) + data)
    if samples is None:
        with pytest.raises(RequestError, match="is cut short"):
            audio.info(tmp_path / "x.au")
    else:
        assert audio.info(tmp_path / "x.au").samples == samples


@pytest.mark.parametrize("size", [0, (1 << 64) - 1, 1 << 63])
def test_an_rf64_that_was_not_finished_is_read(tmp_path, size):
    body = b"WAVE" + chunk(b"ds64", struct.pack("<QQQI", size, size, 0, 0)) + fmt() + chunk(b"data", pcm(SECOND), 0xFFFFFFFF)
    (tmp_path / "x.wav").write_bytes(b"RF64" + struct.pack("<I", 0xFFFFFFFF) + body)
    assert audio.info(tmp_path / "x.wav").samples == 48000


def test_a_sample_beyond_any_sound_is_named_with_its_place(tmp_path):
    x = np.zeros(3000, np.float32)
    x[2345] = 1e30
    soundfile.write(tmp_path / "x.wav", x, 48000, "FLOAT")
    with pytest.raises(RequestError, match=r"x\.wav has a sample that is far beyond any sound, at sample 2345"):
        audio.read(tmp_path / "x.wav")
