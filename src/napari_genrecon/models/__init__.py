"""The models that exist and how to get one: see `models.card`. Importing this loads no torch."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.errors import MissingPackageError, OptionError
from napari_genrecon.models.card import ModelCard, PerAxis
from napari_genrecon.models.registry import MODELS, axial_card, find_model, list_models

if TYPE_CHECKING:
    from napari_genrecon.models.generative import GenerativeModel
    from napari_genrecon.models.runtime import Model

__all__ = [
    "MODELS",
    "ModelCard",
    "PerAxis",
    "available_devices",
    "axial_card",
    "encode",
    "find_model",
    "list_models",
    "load_model",
    "load_network",
    "read_arrays",
    "resolve_device",
]


def load_model(name_or_path: str | os.PathLike[str], device: str = "auto") -> GenerativeModel | Model:
    """Load a model: a `GenerativeModel` if it generates images, else a function on planes.

    Parameters
    ----------
    name_or_path : str or path-like
        A name that `list_models` lists, or a model file.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.

    Raises
    ------
    UnknownModelError
        If there is none of this name.
    WeightsError
        If its file is damaged, of another kind, or does not fit the network on its card.
    OptionError
        If the device does not exist here, or it is a classifier, which needs objects: see `classify`.
    """
    card = find_model(name_or_path)
    if card.task == "classify":
        raise OptionError(f"{card.name!r} is a classifier of objects: use classify(image, labels, model={card.name!r})")
    if card.task != "sample":
        return load_network(card, device)
    _torch_side()
    from napari_genrecon.models.generative import load_generative

    return load_generative(card, device)


def load_network(card: ModelCard, device: str = "auto", weights: bytes | None = None) -> Model:
    """Load a network as a function on planes; kept for the next call with the same arguments.

    Parameters
    ----------
    card : ModelCard
        The model to load.
    device : str
        As for `load_model`.
    weights : bytes, optional
        Weights to load instead of the model's own, as the content of a safetensors file: those of a fine-tuned network.

    Raises
    ------
    MissingPackageError
        If torch cannot be loaded.
    WeightsError
        If the weight file is missing or damaged.
    OptionError
        If the device does not exist here.
    """
    return _torch_side().load_network(card, resolve_device(device), weights)


def encode(x: NDArray[np.float32], card: ModelCard, device: str = "auto") -> NDArray[np.float32]:
    """Describe (N, C, Y, X) pictures, on a scale of about 0 to 1, by (N, F) features of a model's network.

    Raises
    ------
    MissingPackageError
        If torch cannot be loaded.
    OptionError
        If the device does not exist here.
    """
    found = _torch_side().resolve_device(device)
    from napari_genrecon.models import encoder

    return encoder.encode(x, card, found)


def read_arrays(card: ModelCard) -> dict[str, NDArray[np.float32]]:
    """Return the weights of a model by name, checked against its card.

    Raises
    ------
    WeightsError
        If the file is damaged, or does not hold what its card says.
    """
    return {name: tensor.numpy() for name, tensor in _torch_side().read_weights(card).items()}


def resolve_device(device: str) -> str:
    """Return the device that ``"auto"`` stands for here, or the one asked for if it exists.

    Raises
    ------
    OptionError
        If a device was asked for that does not exist here; it is never exchanged for another.
    """
    return _torch_side().resolve_device(device)


def available_devices() -> tuple[str, ...]:
    """Return the devices that can be used here, best first."""
    return _torch_side().available_devices()


def _torch_side() -> Any:
    try:
        from napari_genrecon.models import runtime
    except (ImportError, OSError) as error:
        # On Windows, torch's libraries fail to load when Qt's came first (WinError 1114 or 126).
        raise MissingPackageError(
            f"PyTorch cannot be loaded: {error}. If this happens on Windows with napari open, start Python with "
            "'import torch' before 'import napari', or run the same job with the genrecon command"
        ) from error
    return runtime
