"""Rendering files: what comes out is the network's output, whatever the file's form."""

import numpy as np
import pytest
import soundfile

from mlxopto import audio
from mlxopto.compressor import Mix
from mlxopto.errors import RequestError
from mlxopto.render import RenderOptions, plan, render_file
from tests.conftest import shared, untrained


def render(tmp_path, x, rate=48000, name="in.wav", out="out.wav", subtype_in="FLOAT", mix=1.0, makeup_db=0.0, **options):
    compressor = untrained()
    soundfile.write(tmp_path / name, x, rate, subtype_in)
    shares = []
    choices = RenderOptions(compressor.panel.setting({"attack": "fast"}), mix=Mix(mix, makeup_db), **options)
    report = render_file(audio.info(tmp_path / name), tmp_path / out, compressor, choices, shares.append)
    assert shares[-1] == 1.0
    y, rate_out = soundfile.read(tmp_path / out, dtype="float32", always_2d=True)
    assert rate_out == rate
    return y, report, compressor


def test_a_long_mono_file_in_blocks_is_the_network_in_one(tmp_path, noise):
    x = np.tile(noise, 2)
    y, report, compressor = render(tmp_path, x)
    np.testing.assert_allclose(y[:, 0], compressor(x, 48000, attack="fast"), atol=1e-6)
    assert report.samples == len(x)
    assert report.peak_in == pytest.approx(np.abs(x).max())
    assert report.peak_out == pytest.approx(np.abs(y).max())


@pytest.mark.parametrize("rate", [44100, 96000, 22050])
def test_other_sample_rates_keep_length_and_alignment(tmp_path, rate):
    x = np.zeros(rate, np.float32)
    x[rate // 2 : rate // 2 + 3] = [0.2, 0.4, 0.2]
    y, report, _ = render(tmp_path, x, rate)
    assert len(y) == len(x) == report.samples
    assert np.argmax(np.abs(y)) == rate // 2 + 1


@pytest.mark.parametrize("link", ["max", "mean", "off"])
def test_two_equal_channels_come_out_as_mono_does(tmp_path, noise, link):
    mono, _, _ = render(tmp_path, noise)
    stereo, _, _ = render(tmp_path, np.stack([noise, noise], axis=1), out="stereo.wav", link=link)
    np.testing.assert_allclose(stereo, np.repeat(mono, 2, axis=1), atol=1e-6)


def test_linked_channels_share_their_gain_and_unlinked_ones_do_not(tmp_path, noise):
    x = np.stack([noise, 0.1 * noise[::-1]], axis=1)
    _, report, compressor = render(tmp_path, x)
    assert report.channels == 2
    stream = compressor.stream(2, attack="fast")
    stream(x)
    np.testing.assert_array_equal(stream.gain[:, 0], stream.gain[:, 1])
    alone = compressor.stream(2, link="off", attack="fast")
    y = alone(x)
    for channel in range(2):
        np.testing.assert_allclose(y[:, channel], compressor(x[:, channel], 48000, attack="fast"), atol=1e-6)


def test_mix_and_makeup(tmp_path, noise):
    wet, _, _ = render(tmp_path, noise)
    dry, _, _ = render(tmp_path, noise, out="dry.wav", mix=0.0)
    half, _, _ = render(tmp_path, noise, out="half.wav", mix=0.5, makeup_db=6.0)
    np.testing.assert_array_equal(dry[:, 0], noise)
    np.testing.assert_allclose(half, 0.5 * 10 ** (6 / 20) * wet + 0.5 * dry, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "subtype_in", "out", "subtype_out"),
    [
        ("a.wav", "PCM_16", "b.wav", "PCM_16"),
        ("a.flac", "PCM_24", "b.flac", "PCM_24"), ("a.aiff", "PCM_24", "b.aiff", "PCM_24"),
        ("a.ogg", "VORBIS", "b.wav", "PCM_24"),
        ("a.mp3", "MPEG_LAYER_III", "b.flac", "PCM_24"), ("a.wav", "FLOAT", "b.flac", "PCM_24"),
    ],
)  # fmt: skip
def test_formats_and_subtypes(tmp_path, noise, name, subtype_in, out, subtype_out):
    y, report, _ = render(tmp_path, np.clip(noise, -0.5, 0.5), name=name, out=out, subtype_in=subtype_in, makeup_db=-20.0)
    assert soundfile.info(str(tmp_path / out)).subtype == subtype_out
    assert len(y) == len(noise) == report.samples


def test_integer_output_beyond_full_scale_is_refused_with_the_peak_or_clipped_on_request(tmp_path, noise):
    with pytest.raises(RequestError, match=r"its peak is \+\d+\.\d\d dBFS and PCM_24 ends at 0"):
        render(tmp_path, np.clip(noise, -1, 1), subtype_in="PCM_24", makeup_db=40.0)
    assert [p.name for p in tmp_path.iterdir()] == ["in.wav"]
    y, report, _ = render(tmp_path, np.clip(noise, -1, 1), subtype_in="PCM_24", makeup_db=40.0, clip=True)
    assert report.clipped == np.count_nonzero(np.abs(y) >= 1 - 2**-23)
    assert report.clipped > 0


def test_float_output_beyond_full_scale_is_kept(tmp_path, noise):
    quiet, _, _ = render(tmp_path, noise)
    loud, report, _ = render(tmp_path, noise, out="loud.wav", makeup_db=40.0)
    np.testing.assert_allclose(loud, 100 * quiet, rtol=1e-5)
    assert report.clipped == 0
    assert report.peak_out > 1


def test_reported_gain_reduction_is_that_of_the_gain(tmp_path, noise):
    _, report, compressor = render(tmp_path, noise)
    stream = compressor.stream(attack="fast")
    stream(noise)
    gain_db = 20 * np.log10(stream.gain[np.abs(noise) > 1e-3, 0])
    assert report.gain_reduction_mean_db == pytest.approx(gain_db.mean(), abs=1e-3)
    assert report.gain_reduction_max_db == pytest.approx(min(0.0, gain_db.min()), abs=1e-3)


def test_plan_names_outputs_after_inputs_and_refuses_collisions(tmp_path):
    for name in ("a.wav", "b.flac", "c.mp3"):
        (tmp_path / name).touch()
    out = tmp_path / "out"
    out.mkdir()
    assert [t.name for _, t in plan([tmp_path], out, "cl1b")] == ["a.wav", "b.flac", "c.wav"]
    assert [t.name for _, t in plan([tmp_path / "a.wav"], None, "cl1b")] == ["a_cl1b.wav"]
    with pytest.raises(RequestError, match="would both be written to"):
        plan([tmp_path / "a.wav", out / ".." / "a.wav"], out, "cl1b")
    with pytest.raises(RequestError, match="is an input and would be an output too"):
        plan([tmp_path / "a.wav"], tmp_path / "a.wav", "cl1b")
    if not (tmp_path / "A.WAV").exists():  # two names of one file, as on a volume that does not mind case
        (tmp_path / "A.WAV").hardlink_to(tmp_path / "a.wav")
    with pytest.raises(RequestError, match="is an input and would be an output too"):
        plan([tmp_path / "a.wav"], tmp_path / "A.WAV", "cl1b")
    with pytest.raises(RequestError, match="must be a folder that exists"):
        plan([tmp_path / "a.wav", tmp_path / "b.flac"], tmp_path / "new", "cl1b")
    with pytest.raises(RequestError, match="holds no sound file"):
        plan([out], out, "cl1b")


def test_a_real_recording_comes_out_aligned_and_quieter_where_it_is_loud(tmp_path):
    import mlxopto

    x, rate = soundfile.read(shared("hardware/cl1b_m20dbu_2to1_input.wav"), dtype="float32")
    y = mlxopto.load("cl1b")(x, rate, attack="fast", threshold=-20, ratio=4)
    assert y.shape == x.shape
    correlation = np.correlate(y[rate : 2 * rate], x[rate - 50 : 2 * rate + 50], "valid")
    assert abs(int(np.argmax(correlation)) - 50) <= 1
    assert np.mean(y**2) < 0.8 * np.mean(x**2)
