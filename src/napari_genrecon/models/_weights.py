"""Weight files: checked against their sha256, read as safetensors, never executed."""

from __future__ import annotations

import hashlib
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from napari_genrecon.errors import WeightsError
from napari_genrecon.models.spec import ModelSpec

__all__ = ["WEIGHTS", "load_weights"]

WEIGHTS = Path(__file__).parent / "weights"


def load_weights(network: nn.Module, spec: ModelSpec) -> None:
    """Put the packaged weights of a model into its network.

    Raises
    ------
    WeightsError
        If the file is missing, is not the one that was packaged, or does not fit the network.
    """
    tensors = _read(WEIGHTS / spec.weights, spec)
    try:
        network.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        raise WeightsError(f"the weights of {spec.name!r} do not fit its network: {error}") from error


def _read(path: Path, spec: ModelSpec) -> dict[str, Tensor]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(
            f"the weights of {spec.name!r} cannot be read from {path} ({error.strerror}): reinstall napari-genrecon"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != spec.sha256:
        raise WeightsError(
            f"the weights of {spec.name!r} are damaged: {path} has sha256 {found[:12]}…, expected {spec.sha256[:12]}…; "
            "reinstall napari-genrecon"
        )
    try:
        tensors: dict[str, Tensor] = load(content)
    except SafetensorError as error:
        raise WeightsError(f"{path} is not a readable safetensors file: {error}") from error
    return tensors
