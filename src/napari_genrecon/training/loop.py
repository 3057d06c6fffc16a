"""One training loop, which loses nothing: it can be killed at any moment and continues exactly where it saved.

A run is a `State` (network, moving average, optimiser, step) and a function from the network and the step number to a
loss. Networks that are trained against each other are children of one network; each has an optimiser and a loss, and
every step gives each a turn. `train_steps` is a generator: to stop is to stop asking for the next step.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.optim import Optimizer

from napari_genrecon.errors import InferenceError
from napari_genrecon.training.publish import publish
from napari_genrecon.training.triton import load_triton

__all__ = ["Loss", "State", "Step", "load_latest", "save_checkpoint", "train_steps", "warm_up"]

Loss = Callable[[nn.Module, int, int], Tensor]
"""``loss(net, step, skipped)``: the loss of the batch of that step."""

GENERATIONS = 2  # checkpoints kept: if the newest was cut short, the one before is whole
MAX_GRADIENT = 1.0  # norm above which gradients are scaled down
MAX_RETRIES = 8  # times in a row that a run may fall back without reaching a checkpoint that is further on


@dataclass(slots=True)
class State:
    """All that a run must remember.

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


@dataclass(frozen=True, slots=True)
class Step:
    """What happened in one step: its number, the training time in seconds, the losses and the learning rate."""

    step: int
    seconds: float
    losses: tuple[float, ...]
    rate: float

    @property
    def loss(self) -> float:
        """The loss of the first optimiser."""
        return self.losses[0]


def warm_up(step: int, rate: float, steps: int) -> float:
    """Learning rate that rises linearly over the first `steps` and then stays.

    Examples
    --------
    >>> [round(warm_up(step, 0.1, 4), 3) for step in (0, 1, 3, 100)]
    [0.025, 0.05, 0.1, 0.1]
    """
    return rate * min(1.0, (step + 1) / max(steps, 1))


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
    """Train for ever, one step at a time; saves every few minutes and when the generator is closed.

    Parameters
    ----------
    state : State
        Where to start; changed in place.
    loss_at : callable or tuple of callable
        ``loss_at(net, step, skipped)`` is the loss of the batch of that step; one for each optimiser, in turn.
    rate_at : callable
        Learning rate of a step; a parameter group's ``"scale"`` multiplies it.
    folder : Path
        Where the checkpoints go.
    save_every : float
        Seconds between checkpoints.
    ema : float or callable
        Factor of the moving average of the weights, at a step.
    clip : float
        Norm above which the gradients of a turn are scaled down.
    backward : callable
        Computes the gradients of a loss.
    options : dict
        Written into the checkpoints, as a record.

    Yields
    ------
    Step
        After every step that changed the weights.

    Raises
    ------
    InferenceError
        If the loss is not finite again and again, with other data every time.
    """
    load_triton()
    turns = loss_at if isinstance(loss_at, tuple) else (loss_at,)
    factor = ema if callable(ema) else lambda _: ema
    saved, retries = time.monotonic(), 0
    save_checkpoint(state, folder, options)
    try:
        while True:
            began, rate = time.monotonic(), rate_at(state.step)
            losses = _step(state, turns, rate, clip, backward)
            if losses is None:
                retries += 1
                _fall_back(state, folder, retries)
                continue
            _update_average(state, factor(state.step))
            now = time.monotonic()
            state.seconds += now - began
            if now - saved > save_every:
                save_checkpoint(state, folder, options)
                saved, retries = now, 0
            yield Step(state.step, state.seconds, losses, rate)
    finally:
        save_checkpoint(state, folder, options)


def _step(
    state: State, turns: tuple[Loss, ...], rate: float, clip: float, backward: Callable[[Tensor], None]
) -> tuple[float, ...] | None:
    """One turn of every optimiser; None if a loss or a gradient is not finite, and the weights are then void."""
    losses = []
    for optimiser, loss_at in zip(state.optimisers, turns, strict=True):
        for group in optimiser.param_groups:
            group["lr"] = rate * group.get("scale", 1.0)
        loss = loss_at(state.net, state.step, state.skipped)
        backward(loss)
        norm = nn.utils.clip_grad_norm_([p for g in optimiser.param_groups for p in g["params"]], clip)
        finite = bool(torch.isfinite(loss)) and bool(torch.isfinite(norm))
        if finite:
            optimiser.step()
        state.net.zero_grad(set_to_none=True)  # a turn leaves gradients in the other networks, too
        if not finite:
            return None
        losses.append(float(loss.detach()))
    state.step += 1
    return tuple(losses)


@torch.no_grad()
def _update_average(state: State, ema: float) -> None:
    weights = {name: w for name, w in state.net.state_dict().items() if name.startswith(state.averaged)}
    if not state.average:
        state.average = {name: weight.clone() for name, weight in weights.items()}
    floats = [name for name, weight in weights.items() if weight.is_floating_point()]
    torch._foreach_lerp_([state.average[name] for name in floats], [weights[name] for name in floats], 1 - ema)
    for name in weights.keys() - set(floats):  # counters
        state.average[name].copy_(weights[name])


def _fall_back(state: State, folder: Path, retries: int) -> None:
    """Return to the last checkpoint and go on with other data."""
    if retries > MAX_RETRIES:
        raise InferenceError(
            f"training diverges at step {state.step}: the loss became infinite {retries} times in a row; "
            "take a lower learning rate"
        )
    skipped = state.skipped + 1
    load_latest(state, folder)
    state.skipped = skipped


# --- checkpoints: one safetensors file and one JSON file each; the JSON is written last and makes it valid ---


def save_checkpoint(state: State, folder: Path, options: dict[str, Any] | None = None) -> None:
    """Write a checkpoint beside the older ones, then remove all but the newest two.

    Both files are written under another name and moved into place; the JSON holds the sha256 of the tensors.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = f"step-{state.step:08d}"
    tensors = save(_tensors(state))
    publish(folder / f"{name}.safetensors", tensors)
    record = {
        "step": state.step,
        "skipped": state.skipped,
        "seconds": state.seconds,
        "sha256": hashlib.sha256(tensors).hexdigest(),
        "options": options or {},
    }
    publish(folder / f"{name}.json", json.dumps(record, indent=1).encode())
    for old in sorted(folder.glob("step-*.json"))[:-GENERATIONS]:
        old.unlink()
        old.with_suffix(".safetensors").unlink(missing_ok=True)


def load_latest(state: State, folder: Path) -> bool:
    """Fill `state` from the newest whole checkpoint in `folder`; False if there is none."""
    for record_path in sorted(folder.glob("step-*.json"), reverse=True):
        try:
            record = json.loads(record_path.read_bytes())
            tensors = record_path.with_suffix(".safetensors")
            if hashlib.sha256(tensors.read_bytes()).hexdigest() != record["sha256"]:
                continue
        except (OSError, ValueError, KeyError):
            continue  # cut short while it was written: the one before is whole
        _fill(state, load_file(tensors))
        state.step, state.skipped, state.seconds = record["step"], record["skipped"], record["seconds"]
        return True
    return False


def _tensors(state: State) -> dict[str, Tensor]:
    tensors = {f"weights/{name}": weight for name, weight in state.net.state_dict().items()}
    tensors |= {f"average/{name}": mean for name, mean in state.average.items()}
    for turn, optimiser in enumerate(state.optimisers):
        for index, moments in optimiser.state_dict()["state"].items():
            tensors |= {f"{_moments(turn)}{index}/{name}": value for name, value in moments.items()}
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}


def _fill(state: State, tensors: dict[str, Tensor]) -> None:
    weights = state.net.state_dict()
    for name, weight in weights.items():
        weight.copy_(tensors[f"weights/{name}"])
    state.average = {
        name: torch.empty_like(weight).copy_(tensors[f"average/{name}"])
        for name, weight in weights.items()
        if f"average/{name}" in tensors
    }
    for turn, optimiser in enumerate(state.optimisers):
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith(_moments(turn)):
                index, key = name.removeprefix(_moments(turn)).split("/")
                moments.setdefault(int(index), {})[key] = tensor
        groups = optimiser.state_dict()["param_groups"]
        optimiser.load_state_dict({"state": moments, "param_groups": groups})


def _moments(turn: int) -> str:
    return f"moments-{turn}/" if turn else "moments/"
