"""The detectors' pass over the samples, against the definition written as a loop in float64, and its gradients."""

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlxopto.scan import cpu, detector_scan, reference

FLOOR = 1e-10


def arguments(batch: int, frames: int, hop: int, seed: int) -> list[np.ndarray]:
    """Random, each a number of float32."""
    rng = np.random.default_rng(seed)

    def rates(count: int) -> np.ndarray:
        return 1 / (1 + np.exp(2 - 2 * rng.standard_normal((batch, count))))

    state = np.abs(rng.standard_normal((batch, 12))) * 0.1
    given = [
        rng.standard_normal((batch, frames * hop)) * 0.3,
        rates(2),
        rates(8),
        rates(8),
        *rng.standard_normal((2, 2)),
        state,
    ]
    return [array.astype(np.float32).astype(np.float64) for array in given]


def in_numpy(key, average, attack, release, magnitude, wave, hop, state):
    once, twice, charged = (part.copy() for part in np.split(state, [2, 4], axis=1))
    ends = []
    for t in range(key.shape[1]):
        x = key[:, t, None]
        once += average * (x**2 - once)
        twice += average * (once - twice)
        rectified = magnitude * np.abs(x) + wave * x
        heard = np.concatenate([rectified, np.sqrt(twice + FLOOR), np.repeat(x**2, 2, axis=1) + FLOOR, twice + FLOOR], axis=1)
        charged += np.where(heard > charged, attack, release) * (heard - charged)
        if t % hop == hop - 1:
            ends.append(charged.copy())
    return np.stack(ends, axis=1), np.concatenate([once, twice, charged], axis=1)


def scan_by(function, arrays, hop, dtype=mx.float32):
    *given, state = (mx.array(array, dtype=dtype) for array in arrays)
    return function(*given, hop, FLOOR, state)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4), st.integers(1, 6), st.sampled_from([1, 3, 16, 32]), st.integers(0, 99))
def test_the_native_pass_agrees_with_float64(batch, frames, hop, seed):
    arrays = arguments(batch, frames, hop, seed)
    *given, state = arrays
    for ours, theirs in zip(scan_by(detector_scan, arrays, hop), in_numpy(*given, hop, state), strict=True):
        assert np.abs(np.array(ours) - theirs).max() < 1e-6


def test_the_reference_agrees_with_float64():
    arrays = arguments(2, 4, 8, 1)
    *given, state = arrays
    with mx.stream(mx.cpu):
        found = scan_by(detector_scan, arrays, 8, mx.float64)
        for ours, theirs in zip(found, in_numpy(*given, 8, state), strict=True):
            assert np.abs(np.array(ours) - theirs).max() < 1e-12


@pytest.mark.parametrize(("frames", "hop"), [(1, 1), (5, 16), (3, 32)])
def test_every_gradient_agrees_with_mlx_differentiating_the_reference(frames, hop):
    arrays = arguments(3, frames, hop, 7)
    rng = np.random.default_rng(8)
    weights = rng.standard_normal((3, frames, 8)), rng.standard_normal((3, 12))

    def gradients(function, dtype):
        def total(*given):
            *rest, state = given
            outputs = function(*rest, hop, FLOOR, state)
            return sum((mx.array(w, dtype=dtype) * out).sum() for w, out in zip(weights, outputs, strict=True))

        given = [mx.array(array, dtype=dtype) for array in arrays]
        with mx.stream(mx.cpu):
            return [np.array(gradient) for gradient in mx.grad(total, tuple(range(7)))(*given)]

    for ours, theirs in zip(
        gradients(cpu.detector_scan, mx.float32), gradients(reference.detector_scan, mx.float64), strict=True
    ):
        assert np.abs(ours - theirs).max() < 1e-4 * np.abs(theirs).max()


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=5))
def test_in_pieces_it_is_the_same_but_for_rounding(pieces):
    hop = 4
    *given, state = (mx.array(a, dtype=mx.float32) for a in arguments(2, max(1, sum(pieces)), hop, 3))
    key, rates = given[0][:, : sum(pieces) * hop], given[1:]
    whole, end = detector_scan(key, *rates, hop, FLOOR, state)
    parts, at = [], 0
    for frames in pieces:
        part, state = detector_scan(key[:, at * hop : (at + frames) * hop], *rates, hop, FLOOR, state)
        parts.append(part)
        at += frames
    assert np.allclose(np.array(mx.concatenate(parts, axis=1)), np.array(whole), rtol=1e-6, atol=1e-7)
    assert np.allclose(np.array(state), np.array(end), rtol=1e-6, atol=1e-7)


def test_shapes_that_do_not_fit_are_named():
    *given, state = (mx.array(a, dtype=mx.float32) for a in arguments(2, 3, 4, 0))
    with pytest.raises(ValueError, match="whole frames of 5 samples"):
        detector_scan(*given, 5, FLOOR, state)
    with pytest.raises(ValueError, match=r"state must have the shape \(2, 12\)"):
        detector_scan(*given, 4, FLOOR, state[:, :11])
