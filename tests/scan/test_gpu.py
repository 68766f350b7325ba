"""The GPU kernels against the float64 reference, on a GPU if there is one and everywhere as C++ under sanitizers."""

from __future__ import annotations

import re
import warnings

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlxopto import scan
from mlxopto.errors import Notice, RequestError
from mlxopto.scan import gpu
from mlxopto.scan.gpu import one_pole, sizes, trial
from tests.scan import emulator
from tests.scan.recurrences import (
    KERNELS,
    NAMES,
    OVER_TIME,
    arguments,
    exact_gradients,
    flat,
    gradients,
    in_numpy,
    keywords,
    relative,
    single,
)

# a convolution by Fourier transforms: its rounding counts as many times in the gradient of `turns` as there are steps; and
# near a resonance the exact gradient itself changes by 1e-3 where an angle is rounded once
GRADIENT, ROUNDING = {"diagonal_scan": 3e-4}, 6e-8
FEW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SHAPES = (
    st.integers(1, 4),
    st.integers(1, 160),
    st.integers(1, 20),
    st.integers(1, 20),
    st.sampled_from(scan.DISCRETIZATIONS),
    st.integers(0, 99),
)


FEW_SIZES = ((1, 1), (3, 9), (6, 5), (16, 8), (16, 16), (20, 2))  # each compiles its kernels; slow tests have all sizes


def few_sizes(width: int, states: int) -> tuple[int, int]:
    return FEW_SIZES[(width + states) % len(FEW_SIZES)]


def check(name: str, batch: int, time: int, width: int, states: int, discretization: str, seed: int) -> None:
    args = arguments(name, batch, time, width, states, seed)
    function, extra = getattr(scan, name), keywords(name, discretization)
    for a, b in zip(flat(function(*single(args), **extra)), in_numpy(name, args, discretization), strict=True):
        assert relative(a, b) < 1e-5
    ours, exact = gradients(function, single(args), **extra), exact_gradients(name, args, discretization)
    rounded = exact_gradients(name, [a * (1 + ROUNDING) for a in args], discretization) if name in GRADIENT else exact
    for position, (a, b, c) in enumerate(zip(ours, exact, rounded, strict=True)):
        assert relative(a, b) < GRADIENT.get(name, 1e-4) + 2 * relative(c, b), f"argument {position}"


@FEW
@given(*SHAPES)
def test_selective_scan_agrees_with_float64(gpu_scan, batch, time, width, states, discretization, seed):
    check("selective_scan", batch, time, *few_sizes(width, states), discretization, seed)


@FEW
@given(st.sampled_from(NAMES[1:]), *SHAPES)
def test_the_other_recurrences_agree_with_float64(gpu_scan, name, batch, time, width, states, discretization, seed):
    check(name, batch, time, *few_sizes(width, states), discretization, seed)


@pytest.mark.slow
def test_every_recurrence_agrees_with_float64_at_hundreds_of_random_shapes(gpu_scan, request):
    rng = np.random.default_rng(7)
    for seed in range(len(NAMES) if request.config.getoption("--small") else 400):
        batch, time, width, states = (int(rng.integers(1, most + 1)) for most in (4, 160, 20, 20))
        sizes = few_sizes(width, states) if gpu_scan == "device" else (width, states)
        check(NAMES[seed % len(NAMES)], batch, time, *sizes, "zoh", seed)


@pytest.mark.parametrize(
    ("name", "batch", "time", "width", "states"),
    [
        ("selective_scan", 1, 1, 1, 1),
        ("selective_scan", 1, 700, 2, 3),  # many chunks
        ("selective_scan", 1, 257, 64, 16),  # the widest group
        ("selective_scan", 1, 70, 3, 128),  # a channel's states fill a SIMD group
        ("gru_scan", 1, 40, 64, 1),
        ("lstm_scan", 1, 40, 64, 1),
        ("one_pole_bank", 2, 5000, 1, 3),
    ],
)
def test_extreme_sizes_agree_with_float64(gpu_scan, name, batch, time, width, states):
    check(name, batch, time, width, states, "zoh", 1)


@pytest.mark.parametrize("name", NAMES)
def test_a_scan_in_pieces_is_the_scan_in_one(gpu_scan, name):
    args = single(arguments(name, 2, 230, 7, 5))
    whole, *last = flat(getattr(scan, name)(*args))
    parts, at = [], 0
    for length in (1, 7, 8, 64, 65, 85):
        part = [a[:, at : at + length] if i in OVER_TIME.get(name, (0,)) else a for i, a in enumerate(args)]
        y, *states = flat(getattr(scan, name)(*part))
        args[-len(states) :] = states
        parts.append(y)
        at += length
    assert relative(mx.concatenate(parts, axis=1), np.array(whole)) < 1e-6
    for a, b in zip(states, last, strict=True):
        assert relative(a, np.array(b)) < 1e-6


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16])
def test_half_precision_inputs_keep_a_state_in_float32(gpu_scan, dtype):
    halves = [a.astype(dtype) for a in single(arguments("selective_scan", 2, 150, 6, 9))]
    exact = [np.array(a.astype(mx.float32), np.float64) for a in halves]
    unit = 1e-3 if dtype == mx.float16 else 8e-3
    y, last = scan.selective_scan(*halves)
    y64, last64 = in_numpy("selective_scan", exact)
    assert (y.dtype, last.dtype) == (dtype, mx.float32)
    assert relative(y.astype(mx.float32), y64) < unit
    assert relative(last, last64) < 1e-5
    found = gradients(scan.selective_scan, halves)
    for position, (a, b) in enumerate(zip(found, exact_gradients("selective_scan", exact), strict=True)):
        assert a.dtype == dtype, f"argument {position}"
        assert relative(a.astype(mx.float32), b) < 4 * unit, f"argument {position}"  # y, rounded, is in every gradient


def test_small_steps_lose_nothing_over_ten_thousand_steps(gpu_scan):
    u, dt, a, b, c, d, h = arguments("selective_scan", 1, 10_000, 2, 3)
    dt *= 1e-3  # time constants of thousands of steps, where float32 would lose exp(x) - 1
    found = flat(scan.selective_scan(*single([u, dt, a, b, c, d, h])))
    for ours, theirs in zip(found, in_numpy("selective_scan", [u, dt, a, b, c, d, h]), strict=True):
        assert relative(ours, theirs) < 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_no_time_at_all_gives_nothing_and_keeps_the_state(gpu_scan, name):
    args = single(arguments(name, 2, 0, 4, 3))
    y, *last = flat(getattr(scan, name)(*args))
    assert y.shape[1] == 0
    for a, b in zip(last, args[-len(last) :], strict=True):
        assert mx.array_equal(a, b)


@pytest.mark.parametrize("name", NAMES)
def test_the_order_in_which_threads_run_does_not_matter(emulated, name):
    args = single(arguments(name, 2, 150, 20, 9))
    results = []
    for order in (0, 1, 2):
        emulated.order = 1000 * order
        found = [*flat(getattr(scan, name)(*args)), *gradients(getattr(scan, name), args)]
        results.append([np.array(a) for a in found])
    for others in results[1:]:
        for a, b in zip(results[0], others, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("width", "states"), [(4, 4), (16, 16), (32, 32), (8, 64)])
def test_the_working_set_is_time_by_channels_plus_states(emulated, width, states):
    """All that the kernels of one forward and backward pass read and write, in float32 values, at the shortest chunks."""
    batch, time = 1, 512
    gradients(scan.selective_scan, single(arguments("selective_scan", batch, time, width, states)))
    assert emulated.bytes / 4 / (batch * time) < 14 * (width + states)  # measured: 10.0 to 13.5


class Shapes:
    """Launches that only make arrays of the right shapes, out of what goes in: enough to trace a graph."""

    @staticmethod
    def launch(kernel, inputs, shapes, groups, threads, dtype=mx.float32, **constants):
        heard = sum(mx.isnan(x).sum().astype(mx.float32) for x in inputs)
        types = [dtype if name in kernel.typed else mx.float32 for name in kernel.outputs]
        return [mx.broadcast_to(heard, shape).astype(kind) for shape, kind in zip(shapes, types, strict=True)]


@pytest.mark.parametrize("name", NAMES)
def test_gradients_can_be_compiled(monkeypatch, name):
    for module in emulator.MODULES:
        monkeypatch.setattr(module, "launch", Shapes.launch)
    args = single(arguments(name, 2, 100, 4, 3))
    compiled = mx.compile(
        lambda *a: gradients(getattr(gpu, name), list(a), **({"discretization": "zoh"} if len(a) == 7 else {}))
    )
    for gradient, argument in zip(compiled(*args), args, strict=True):
        assert gradient.shape == argument.shape


def test_chunks_fill_a_gpu_but_no_more():
    assert sizes.chunk_length(65536, 32 * 64) == 512
    assert sizes.chunk_length(65536, 64) == 64
    assert sizes.chunk_length(1, 64) == 64
    assert sizes.chunk_length(1024, 4096 * 64) == 1024
    for length in (sizes.chunk_length(time, threads) for time in (1, 100, 10**6) for threads in (32, 10**4, 10**7)):
        assert length % sizes.KEEP == 0
    assert sizes.KEEP % sizes.TILE == sizes.TILE % sizes.AHEAD == one_pole._CHUNK % sizes.AHEAD == 0


def test_the_environment_chooses_the_back_end(monkeypatch):
    args = single(arguments("gru_scan", 1, 5, 3, 1))
    monkeypatch.setenv("MLXOPTO_SCAN", "reference")
    monkeypatch.setattr(scan.cpu, "gru_scan", None)
    assert scan.gru_scan(*args)[0].shape == (1, 5, 3)
    monkeypatch.setenv("MLXOPTO_SCAN", "metal")
    with pytest.raises(RequestError, match="MLXOPTO_SCAN must be one of reference, cpu, gpu, got metal"):
        scan.gru_scan(*args)


@pytest.mark.parametrize(
    ("there", "name", "width", "states", "sentence"),
    [
        (False, "gru_scan", 3, 1, "MLX finds no GPU here; the CPU kernels run instead"),
        (True, "gru_scan", 65, 1, "gru_scan takes up to 64 hidden units on the GPU, got 65; the CPU kernels run instead"),
        (True, "selective_scan", 300, 4, "selective_scan has no GPU kernel for 300 channels of 4 states; the CPU"),
        (True, "selective_scan", 2, 129, "selective_scan has no GPU kernel for 2 channels of 129 states; the CPU"),
    ],
)
def test_what_the_gpu_cannot_do_is_told_once_and_done_on_the_cpu(monkeypatch, there, name, width, states, sentence):
    monkeypatch.setenv("MLXOPTO_SCAN", "gpu")
    if there:
        monkeypatch.setattr(gpu, "obstacle", lambda name: None)
    elif gpu.available():
        pytest.skip("needs a machine without a GPU")
    scan._tell_once.cache_clear()
    args = arguments(name, 1, 4, width, states)
    with pytest.warns(Notice, match=sentence):
        found = flat(getattr(scan, name)(*single(args)))
    assert relative(found[0], in_numpy(name, args)[0]) < 1e-5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        getattr(scan, name)(*single(args))


@pytest.fixture
def tried(monkeypatch):
    """`trial.obstacle`, with this machine's CPU in the GPU's place."""
    monkeypatch.setattr(trial, "available", lambda: True)
    monkeypatch.setattr(mx, "gpu", mx.cpu)
    trial.obstacle.cache_clear()
    yield trial.obstacle
    trial.obstacle.cache_clear()


@pytest.mark.parametrize("name", NAMES)
def test_kernels_that_are_right_are_taken(emulated, tried, name):
    assert tried(name) is None


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_that_are_wrong_or_do_not_compile_are_not_taken(emulated, tried, monkeypatch, name):
    def wrong(*arguments, **constants):
        return [1.01 * array for array in emulated.launch(*arguments, **constants)]

    def broken(*arguments, **constants):
        raise RuntimeError("\n[metal::Device] Unable to build metal library from source\nprogram_source:12: error")

    for launch, sentence in (
        (wrong, "give wrong numbers here"),
        (broken, r"do not run here \(\[metal::Device\] Unable to build"),
    ):
        for module in emulator.MODULES:
            monkeypatch.setattr(module, "launch", launch)
        tried.cache_clear()
        assert re.search(f"the GPU's kernels of {name} {sentence}", tried(name))


@pytest.mark.parametrize(
    ("edit", "finding"),
    [
        (("h[(rows + t) * H + tid] = own;", "h[(rows + t) * H + tid + 1] = own;"), "heap-buffer-overflow"),
        (("before[tid] = own;\n}", "before[tid + H] = own;\n}"), "heap-buffer-overflow"),
        (("if (t < time) {", "if (t < time + tid) {"), "heap-buffer-overflow|meet at different places"),
    ],
)
def test_the_emulator_finds_mistakes(emulated, tmp_path, monkeypatch, edit, finding):
    with broken(tmp_path, monkeypatch, *edit), pytest.raises(AssertionError, match=finding):
        scan.gru_scan(*single(arguments("gru_scan", 1, 9, 5, 1)))


def test_the_emulator_finds_a_missing_barrier(emulated, tmp_path, monkeypatch):
    args = single(arguments("gru_scan", 1, 9, 20, 1))
    with broken(tmp_path, monkeypatch, "            BARRIER;\n            if (tid < H)", "            if (tid < H)") as program:
        results = []
        for order in range(4):
            program.order = order
            results.append(np.array(scan.gru_scan(*args)[0]).tobytes())
    assert len(set(results)) > 1


class broken:  # noqa: N801
    """An emulator of one kernel with a mistake in its text."""

    def __init__(self, folder, monkeypatch, old: str, new: str):
        kernel = emulator.gru._FORWARD
        assert old in kernel.body
        monkeypatch.setattr(emulator, "KERNELS", (kernel,))
        monkeypatch.setattr(type(kernel), "body", property(lambda _: emulator.text("gru_forward.h").replace(old, new)))
        self._program = emulator.Emulator(folder, emulator.compiler())
        monkeypatch.setattr(emulator.gru, "launch", self._program.launch)

    def __enter__(self):
        return self._program

    def __exit__(self, *_):
        self._program.close()
