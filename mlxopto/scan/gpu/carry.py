"""From what each chunk adds on its own to the states that the chunks start from."""

from __future__ import annotations

import mlx.core as mx

from mlxopto.scan.gpu.launch import Kernel, launch
from mlxopto.scan.gpu.sizes import AHEAD

_CARRY = Kernel("carry", ("local", "span", "A", "state"), ("edges",))
_THREADS = 64


def carry(local: mx.array, span: mx.array, A: mx.array, state: mx.array, reverse: bool) -> mx.array:
    """The states at the chunks' starts; in `reverse`, at their ends, from the last chunk backwards.

    Args:
        local: (batch, chunks - 1, D, N), of every chunk but the last, in reverse but the first; at least two chunks.
        span: (batch, chunks - 1, D); a chunk decays by exp(A span). A: (D, N). state: (batch, D, N).
    Returns:
        (batch, chunks, D, N).
    """
    batch, others, width, states = local.shape
    (edges,) = launch(
        _CARRY, (local, span, A, state), [(batch, others + 1, width, states)],
        (-(-width * states // _THREADS), batch), _THREADS,
        D=width, N=states, AHEAD=AHEAD, REVERSE=reverse,
    )  # fmt: skip
    return edges
