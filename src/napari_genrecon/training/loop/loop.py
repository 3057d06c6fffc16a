"""The training loop: it can be killed at any moment, and continues exactly from its last checkpoint.

A run is a `State` (network, moving average, optimiser, step) and a function from the network and the step number to a
loss. Adversarial networks are children of one network; each has an optimiser and a loss, and a step updates them in
turn. `train_steps` is a generator: close it to stop.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from napari_genrecon.errors import InferenceError
from napari_genrecon.training.loop.checkpoint import load_latest, save_checkpoint
from napari_genrecon.training.loop.state import State
from napari_genrecon.training.loop.triton import load_triton

__all__ = ["Loss", "State", "Step", "train_steps"]

Loss = Callable[[nn.Module, int, int], Mapping[str, Tensor]]
"""``loss(net, step, skipped)``: losses by name; the first is minimised, the others are only logged."""

MAX_GRADIENT = 1.0  # norm above which gradients are scaled down: larger, and one odd batch can spoil the weights
MAX_RETRIES = 8  # consecutive returns to a checkpoint before giving up; more only delay the error message


@dataclass(frozen=True, slots=True)
class Step:
    """One training step: its number, the training time in seconds, the losses and the learning rate."""

    step: int
    seconds: float
    losses: dict[str, float]
    rate: float

    @property
    def loss(self) -> float:
        """The loss of the first optimiser."""
        return next(iter(self.losses.values()))


def train_steps(
    state: State,
    loss_at: Loss | tuple[Loss, ...],
    rate_at: Callable[[int], float],
    folder: Path,
    *,
    save_every: float = 180.0,
    ema: float | Callable[[int], float] = 0.999,
    clip: float = MAX_GRADIENT,
    backward: Callable[[Tensor], None] = Tensor.backward,
    options: dict[str, Any] | None = None,
) -> Generator[Step, None, None]:
    """Train until the generator is closed, which saves a checkpoint; others are saved every few minutes.

    Parameters
    ----------
    state : State
        State to start from; changed in place.
    loss_at : callable or tuple of callable
        `Loss` of the batch of a step; one for each optimiser, in turn.
    rate_at : callable
        ``rate_at(step)``: learning rate; a parameter group's ``"scale"`` multiplies it.
    folder : Path
        Folder of the checkpoints.
    save_every : float
        Seconds between checkpoints.
    ema : float or callable
        Factor of the moving average of the weights, or a function of the step.
    clip : float
        Norm above which the gradients of a turn are scaled down.
    backward : callable
        Function that computes the gradients of a loss.
    options : dict
        Options to record in the checkpoints.

    Yields
    ------
    Step
        After every step that changed the weights.

    Raises
    ------
    InferenceError
        If the loss is not finite again and again, with other data every time.
    """
    # `fabric_for` does this as well; a caller that needs no Fabric comes here first.
    load_triton()
    turns = loss_at if isinstance(loss_at, tuple) else (loss_at,)
    # A tuple, so that networks with one loss and with several go the same way.
    factor = ema if callable(ema) else lambda _: ema
    saved, retries = time.monotonic(), 0
    # The first steps may diverge already: there must be a checkpoint to return to.
    save_checkpoint(state, folder, options)
    try:
        while True:
            began, rate = time.monotonic(), rate_at(state.step)
            losses = _step(state, turns, rate, clip, backward)
            if losses is None:
                # The weights are void, and the step does not count: nothing is averaged, timed or yielded.
                retries += 1
                _fall_back(state, folder, retries)
                continue
            _update_average(state, factor(state.step))
            now = time.monotonic()
            # Without the time between two steps, in which the caller scores and draws previews.
            state.seconds += now - began
            if now - saved > save_every:
                save_checkpoint(state, folder, options)
                # Only a new checkpoint clears the count: good steps between two returns to one are no progress.
                saved, retries = now, 0
            yield Step(state.step, state.seconds, losses, rate)
    finally:
        save_checkpoint(state, folder, options)


def _step(
    state: State, turns: tuple[Loss, ...], rate: float, clip: float, backward: Callable[[Tensor], None]
) -> dict[str, float] | None:
    """Update with every optimiser in turn; None if a loss or gradient is not finite: the weights are then void."""
    losses: dict[str, Tensor] = {}
    for optimiser, loss_at in zip(state.optimisers, turns, strict=True):
        # The rate is set before every step: a checkpoint holds moments, and no rates.
        for group in optimiser.param_groups:
            group["lr"] = rate * group.get("scale", 1.0)
        values = loss_at(state.net, state.step, state.skipped)
        loss = next(iter(values.values()))
        backward(loss)
        # Measured even if `clip` is infinite: one NaN or infinity in any gradient makes the norm such a number.
        norm = nn.utils.clip_grad_norm_([p for g in optimiser.param_groups for p in g["params"]], clip)
        finite = bool(torch.isfinite(loss)) and bool(torch.isfinite(norm))
        if finite:
            optimiser.step()
        state.net.zero_grad(set_to_none=True)  # a loss leaves gradients in the other networks, too
        if not finite:
            return None
        losses |= values
    # Counted last: all turns of a step draw the batch and the random numbers of one number.
    state.step += 1
    # A number, not a tensor: that would keep the graph of the step, and its memory, alive.
    return {name: float(value.detach()) for name, value in losses.items()}


@torch.no_grad()
def _update_average(state: State, ema: float) -> None:
    # With the buffers, such as the statistics of batch normalisation: the average must be a network that runs.
    weights = {name: w for name, w in state.net.state_dict().items() if name.startswith(state.averaged)}
    if not state.average:
        # A copy: the tensors of `state_dict` are the weights themselves, and the next step changes them in place.
        state.average = {name: weight.clone() for name, weight in weights.items()}
    floats = [name for name, weight in weights.items() if weight.is_floating_point()]
    # One call for all weights. The last argument, a count of averages, does not matter to an exponential one.
    average = get_ema_multi_avg_fn(ema)  # type: ignore[no-untyped-call]
    average([state.average[name] for name in floats], [weights[name] for name in floats], 0)
    for name in weights.keys() - set(floats):  # counters
        state.average[name].copy_(weights[name])


def _fall_back(state: State, folder: Path, retries: int) -> None:
    """Return to the last checkpoint and continue with other batches."""
    if retries > MAX_RETRIES:
        raise InferenceError(
            f"training diverges at step {state.step}: the loss became infinite {retries} times in a row; "
            "take a lower learning rate"
        )
    # Kept over the loading: the count in the checkpoint is older, and would draw the batch that diverged once more.
    skipped = state.skipped + 1
    load_latest(state, folder)
    state.skipped = skipped
