"""One training loop, which loses nothing: it can be killed at any moment and continues exactly where it saved.

A run is a `State` (network, moving average, optimiser, step) and a function from the network and the step number to a
loss. `train_steps` is a generator: to stop is to stop asking for the next step.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.optim import Optimizer

__all__ = ["State", "Step", "load_latest", "publish", "save_checkpoint", "train_steps", "warm_up"]

GENERATIONS = 2  # checkpoints kept: if the newest was cut short, the one before is whole
MAX_GRADIENT = 1.0  # norm above which gradients are scaled down


@dataclass(slots=True)
class State:
    """All that a run must remember.

    Attributes
    ----------
    net : nn.Module
        The network that is trained.
    optimiser : Optimizer
        Holds the moments; already knows the parameters of `net`.
    average : dict of str to Tensor
        Exponential moving average of the weights; empty until the first step.
    step : int
        Steps done. With the seed it decides the next batch.
    skipped : int
        Times the run fell back to a checkpoint; shifts the data, so that the same batch does not come again.
    seconds : float
        Training time so far.
    """

    net: nn.Module
    optimiser: Optimizer
    average: dict[str, Tensor] = field(default_factory=dict)
    step: int = 0
    skipped: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Step:
    """What happened in one step: its number, the training time in seconds, the loss and the learning rate."""

    step: int
    seconds: float
    loss: float
    rate: float


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
    loss_at: Callable[[nn.Module, int, int], Tensor],
    rate_at: Callable[[int], float],
    folder: Path,
    *,
    save_every: float = 180.0,
    ema: float = 0.999,
    options: dict[str, Any] | None = None,
) -> Iterator[Step]:
    """Train for ever, one step at a time; saves every few minutes and when the generator is closed.

    Parameters
    ----------
    state : State
        Where to start; changed in place.
    loss_at : callable
        ``loss_at(net, step, skipped)`` is the loss of the batch of that step.
    rate_at : callable
        Learning rate of a step; a parameter group's ``"scale"`` multiplies it.
    folder : Path
        Where the checkpoints go.
    save_every : float
        Seconds between checkpoints.
    ema : float
        Factor of the moving average of the weights.
    options : dict
        Written into the checkpoints, as a record.

    Yields
    ------
    Step
        After every step that changed the weights.
    """
    saved = time.monotonic()
    save_checkpoint(state, folder, options)
    try:
        while True:
            began, rate = time.monotonic(), rate_at(state.step)
            loss = _step(state, loss_at, rate, ema)
            if not math.isfinite(loss):
                _fall_back(state, folder)
                continue
            now = time.monotonic()
            state.seconds += now - began
            if now - saved > save_every:
                save_checkpoint(state, folder, options)
                saved = now
            yield Step(state.step, state.seconds, loss, rate)
    finally:
        save_checkpoint(state, folder, options)


def _step(state: State, loss_at: Callable[[nn.Module, int, int], Tensor], rate: float, ema: float) -> float:
    """One update; nothing is changed, and NaN returned, if the loss or the gradient is not finite."""
    for group in state.optimiser.param_groups:
        group["lr"] = rate * group.get("scale", 1.0)
    loss = loss_at(state.net, state.step, state.skipped)
    loss.backward()  # type: ignore[no-untyped-call]
    norm = nn.utils.clip_grad_norm_(state.net.parameters(), MAX_GRADIENT)
    finite = bool(torch.isfinite(loss)) and bool(torch.isfinite(norm))
    if finite:
        state.optimiser.step()
        state.step += 1
        _update_average(state, ema)
    state.optimiser.zero_grad(set_to_none=True)
    return float(loss.detach()) if finite else math.nan


@torch.no_grad()
def _update_average(state: State, ema: float) -> None:
    weights = state.net.state_dict()
    if not state.average:
        state.average = {name: weight.clone() for name, weight in weights.items()}
    for name, mean in state.average.items():
        mean.lerp_(weights[name], 1 - ema)


def _fall_back(state: State, folder: Path) -> None:
    """Return to the last checkpoint and go on with other data."""
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


def publish(path: Path, data: bytes) -> None:
    """Write a file so that a reader, or a run after a crash, sees all of it or none of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def _tensors(state: State) -> dict[str, Tensor]:
    tensors = {f"weights/{name}": weight for name, weight in state.net.state_dict().items()}
    tensors |= {f"average/{name}": mean for name, mean in state.average.items()}
    for index, moments in state.optimiser.state_dict()["state"].items():
        tensors |= {f"moments/{index}/{name}": value for name, value in moments.items()}
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
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("moments/"):
            _, index, key = name.split("/")
            moments.setdefault(int(index), {})[key] = tensor
    groups = state.optimiser.state_dict()["param_groups"]
    state.optimiser.load_state_dict({"state": moments, "param_groups": groups})
