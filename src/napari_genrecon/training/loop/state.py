"""The state of a training, as a checkpoint holds it."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor, nn
from torch.optim import Optimizer

__all__ = ["State"]


@dataclass(slots=True)
class State:
    """The state of a training, as a checkpoint holds it.

    Attributes
    ----------
    net : nn.Module
        Network that is trained.
    optimiser : Optimizer or tuple of Optimizer
        Optimisers with their moments; together they hold the parameters of `net`.
    average : dict of str to Tensor
        Exponential moving average of the weights; empty until the first step.
    step : int
        Number of steps done. With the seed it decides the next batch.
    skipped : int
        Number of returns to a checkpoint; it changes the batches, so that the one that diverged is not drawn again.
    seconds : float
        Training time so far, in seconds.
    averaged : str
        Only weights whose names begin with this have a moving average; all if empty.
    """

    net: nn.Module
    optimiser: Optimizer | tuple[Optimizer, ...]
    average: dict[str, Tensor] = field(default_factory=dict)
    step: int = 0
    skipped: int = 0
    seconds: float = 0.0
    averaged: str = ""

    @property
    def optimisers(self) -> tuple[Optimizer, ...]:
        """The optimisers, always as a tuple."""
        return self.optimiser if isinstance(self.optimiser, tuple) else (self.optimiser,)
