"""Muon: momentum with an orthogonalised update, for convolution kernels.

After Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024). :class:`torch.optim.Muon` takes
matrices only; here a kernel ``(out, in, k, k)`` is read as the matrix ``(out, in*k*k)``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from napari_genrecon.models.precision import bfloat16_is_native

__all__ = ["Muon", "move"]

# Coefficients of the quintic Newton-Schulz iteration of Jordan et al., chosen for speed at small singular values.
QUINTIC = (3.4445, -4.7750, 2.0315)


class Muon(Optimizer):
    """Nesterov momentum, orthogonalised, with decoupled weight decay.

    Parameters
    ----------
    params : iterable of Parameter
        Kernels with two or more axes.
    lr : float
        Learning rate, matched to that of AdamW: an update has a root mean square of 0.2 times it
        (Liu et al., "Muon is scalable for LLM training", 2025, eq. 4).
    momentum : float
        Factor of the running mean of the gradients.
    weight_decay : float
        Share of the weights that is removed per unit of `lr`.
    """

    def __init__(
        self, params: Iterable[nn.Parameter], lr: float = 1e-3, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._update(weight, weight.grad, group)

    def _update(self, weight: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        # In `state`, so that checkpoints hold it as they hold the moments of torch's own optimisers.
        moment = self.state[weight].setdefault("momentum", torch.zeros_like(weight))
        move(weight, gradient, moment, group["lr"], momentum=group["momentum"], weight_decay=group["weight_decay"])


@torch.no_grad()
def move(
    weight: Tensor, gradient: Tensor, moment: Tensor, lr: float, *, momentum: float = 0.95, weight_decay: float = 0.0
) -> None:
    """Update one kernel and its running mean in place; parameters as for `Muon`.

    For callers that cannot create a torch optimiser: that loads a compiler first, which takes seconds and has crashed
    in a thread of a window.
    """
    moment.lerp_(gradient, 1 - momentum)
    # Nesterov's momentum: the gradient where the moment is about to lead.
    ahead = torch.lerp(gradient, moment, momentum)
    matrix = ahead.reshape(len(ahead), -1)  # (out, in*k*k)
    # Liu et al., eq. 4: an orthogonal matrix has the root mean square 1 / sqrt(max(out, in*k*k)).
    update = _orthogonal(matrix).reshape(weight.shape) * (0.2 * max(matrix.shape) ** 0.5)
    # Decoupled decay: added to the gradient, it would pass through the orthogonalisation and lose its size.
    weight.mul_(1 - lr * weight_decay).add_(update, alpha=-lr)


def _orthogonal(matrix: Tensor) -> Tensor:
    """Return the nearest semi-orthogonal matrix, roughly: all singular values between 0.7 and 1.2."""
    a, b, c = QUINTIC
    # Half of the digits are enough, but a device that has no instructions for them is ten times slower with them.
    # The CPU always takes float32, so that processors agree.
    fast = matrix.device.type != "cpu" and bfloat16_is_native(matrix.device)
    x = matrix.to(torch.bfloat16 if fast else torch.float32)
    # The Gram matrix is made of the shorter side: the same result from fewer products.
    x = x.T if x.shape[0] > x.shape[1] else x
    # The norm of all elements is at least the largest singular value, and the iteration takes none above 1.
    x = x / (x.norm() + 1e-7)
    for _ in range(5):
        # x (a + b x'x + c (x'x)^2): it changes the singular values alone and keeps the singular vectors.
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    x = x.T if matrix.shape[0] > matrix.shape[1] else x
    return x.to(matrix.dtype)
