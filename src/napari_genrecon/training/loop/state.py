"""All that a training must remember."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor, nn
from torch.optim import Optimizer

__all__ = ["State"]


@dataclass(slots=True)
class State:
    """All that a training must remember: it is what a checkpoint holds.

    Attributes
    ----------
    net : nn.Module
        The network that is trained.
    optimiser : Optimizer or tuple of Optimizer
        Hold the moments; already know the parameters of `net`, each its own.
    average : dict of str to Tensor
        Exponential moving average of the weights; empty until the first step.
    step : int
        Steps done. With the seed it decides the next batch.
    skipped : int
        Times the run fell back to a checkpoint; shifts the data, so that the same batch does not come again.
    seconds : float
        Training time so far.
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
        """All of them."""
        return self.optimiser if isinstance(self.optimiser, tuple) else (self.optimiser,)
