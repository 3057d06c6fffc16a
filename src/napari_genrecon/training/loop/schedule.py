"""Learning rates by step. Importing this loads no torch."""

from __future__ import annotations

__all__ = ["warm_up"]


def warm_up(step: int, rate: float, steps: int) -> float:
    """Return a learning rate that rises linearly over the first `steps` and then stays.

    Examples
    --------
    >>> [round(warm_up(step, 0.1, 4), 3) for step in (0, 1, 3, 100)]
    [0.025, 0.05, 0.1, 0.1]
    """
    # Step 0 already learns a little, so that no step is spent in vain. No steps of warm-up is allowed, too.
    return rate * min(1.0, (step + 1) / max(steps, 1))
