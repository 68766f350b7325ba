"""How work is cut into threads, groups and chunks, and what does not fit."""

from __future__ import annotations

from mlxopto.scan.gpu.launch import SIMD

STATES = 4  # of one channel, held by one thread
TILE = 8  # steps whose states the backward pass holds in registers
KEEP = 32  # steps between the states that the forward pass keeps
AHEAD = 4  # steps loaded at once, to hide the memory's latency
MAX_HIDDEN = 64
_MAX_THREADS = 256  # a group; each thread of the backward pass takes about a hundred registers
_SHARED_BYTES = 32768  # a group, on Apple silicon
_MAX_BATCH = 65535  # groups along y, on NVIDIA
_MAX_SIZE = 1 << 29  # values an array, of which there are at most four for each: the kernels count in 32 bits
_FILL = 1 << 18  # threads that fill a large GPU
_SHORTEST_CHUNK, _LONGEST_CHUNK = 64, 1024


def lanes(states: int) -> int:
    """Threads that share a channel's states, a power of two."""
    needed, count = -(-states // STATES), 1
    while count < needed:
        count *= 2
    return count


def group(threads: int) -> int:
    """Threads of a group that has room for so many."""
    return -(-threads // SIMD) * SIMD


def chunk_length(time: int, threads_a_chunk: int) -> int:
    """Steps a chunk: short enough to fill the GPU, otherwise long, because every chunk costs a carry. A power of two."""
    length = _SHORTEST_CHUNK
    while length < _LONGEST_CHUNK and threads_a_chunk * (time / length) > _FILL:
        length *= 2
    return length


def unfit(name: str, batch: int, time: int, width: int, states: int) -> str | None:
    """What a kernel has no room for, in words, or None.

    Args:
        name: of a function in `mlxopto.scan`. width, states: D and N of a selective scan; H and 1; or K and 1.
    """
    if batch > _MAX_BATCH or batch * time * max(width, states) > _MAX_SIZE:
        return f"{name} has no GPU kernel for arrays of {batch} x {time} x {max(width, states)}"
    if name in ("gru_scan", "lstm_scan") and width > MAX_HIDDEN:
        return f"{name} takes up to {MAX_HIDDEN} hidden units on the GPU, got {width}"
    if name == "selective_scan":
        count = lanes(states)
        threads = group(width * count)
        shared = 4 * threads * (KEEP // TILE * STATES + TILE * 2 * count * STATES // SIMD)
        if count > SIMD or threads > _MAX_THREADS or shared > _SHARED_BYTES:
            return f"selective_scan has no GPU kernel for {width} channels of {states} states"
    return None
