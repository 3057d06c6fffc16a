"""Checkpoints: one safetensors file and one JSON file each; the JSON is written last and makes it valid."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from napari_genrecon.io.publish import remove, write_file
from napari_genrecon.training.loop.state import State

__all__ = ["load_latest", "save_checkpoint"]

_GENERATIONS = 2  # checkpoints that stay on the disk: if the newest was cut short, the one before is whole


def save_checkpoint(state: State, folder: Path, options: dict[str, Any] | None = None) -> None:
    """Write a checkpoint beside the older ones, then remove all but the newest two.

    Both files are written under another name and moved into place; the JSON holds the sha256 of the tensors.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Leading zeros, so that names sort as numbers do.
    name = f"step-{state.step:08d}"
    tensors = save(_tensors(state))
    write_file(folder / f"{name}.safetensors", tensors)
    record = {
        "step": state.step,
        "skipped": state.skipped,
        "seconds": state.seconds,
        "sha256": hashlib.sha256(tensors).hexdigest(),
        "options": options or {},
    }
    # Last: without its JSON a file of tensors does not count, so a crash between the two leaves the older checkpoint.
    write_file(folder / f"{name}.json", json.dumps(record, indent=1).encode())
    for old in sorted(folder.glob("step-*.json"))[:-_GENERATIONS]:
        # The JSON first: a crash between the two leaves tensors that do not count, never a record without its tensors.
        remove(old)
        remove(old.with_suffix(".safetensors"))


def load_latest(state: State, folder: Path) -> bool:
    """Fill `state` from the newest whole checkpoint in `folder`; False if there is none."""
    for record_path in sorted(folder.glob("step-*.json"), reverse=True):
        try:
            record = json.loads(record_path.read_bytes())
            # Not mapped: Windows would not let a mapped file be replaced while its tensors live.
            content = record_path.with_suffix(".safetensors").read_bytes()
            # A disk that lost power may hold a file of the right size and of other content.
            if hashlib.sha256(content).hexdigest() != record["sha256"]:
                continue
        except (OSError, ValueError, KeyError):
            continue  # cut short while it was written: the one before is whole
        _fill(state, load(content))
        state.step, state.skipped, state.seconds = record["step"], record["skipped"], record["seconds"]
        return True
    return False


def _tensors(state: State) -> dict[str, Tensor]:
    tensors = {f"weights/{name}": weight for name, weight in state.net.state_dict().items()}
    tensors |= {f"average/{name}": mean for name, mean in state.average.items()}
    for turn, optimiser in enumerate(state.optimisers):
        for index, moments in optimiser.state_dict()["state"].items():
            tensors |= {f"{_moments(turn)}{index}/{name}": value for name, value in moments.items()}
    # safetensors refuses tensors that share memory or are not contiguous, as in the channels-last layout of a GPU.
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}


def _fill(state: State, tensors: dict[str, Tensor]) -> None:
    weights = state.net.state_dict()
    for name, weight in weights.items():
        # In place: the optimisers hold these very tensors.
        weight.copy_(tensors[f"weights/{name}"])
    # Empty before the first step, and for weights that are not averaged, such as those of a discriminator.
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
        # The groups are those of the recipe. Without moments, as before the first step, the optimiser begins afresh.
        groups = optimiser.state_dict()["param_groups"]
        optimiser.load_state_dict({"state": moments, "param_groups": groups})


def _moments(turn: int) -> str:
    return f"moments-{turn}/" if turn else "moments/"
