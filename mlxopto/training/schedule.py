"""The learning rate over a run."""

from __future__ import annotations

import math


def learning_rate(step: int, steps: int, highest: float, warmup: int = 0) -> float:
    """Linear warm-up, then half a cosine to a hundredth: the rate of step 0 to `steps` - 1."""
    if step < warmup:
        return highest * step / warmup
    done = min(1.0, (step - warmup) / max(1, steps - warmup))
    low = highest / 100
    return low + (highest - low) * 0.5 * (1 + math.cos(math.pi * done))
