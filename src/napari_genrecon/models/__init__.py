"""The models that exist and how to get one: see `models.card`. Importing this loads no torch."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.errors import MissingPackageError, OptionError
from napari_genrecon.models.card import ModelCard, PerAxis
from napari_genrecon.models.first_import import import_torch
from napari_genrecon.models.registry import MODELS, axial_card, find_model, list_models
from napari_genrecon.normal import Taps

if TYPE_CHECKING:
    from napari_genrecon.models.devices import DeviceReport
    from napari_genrecon.models.filters.fourier import FourierFilter
    from napari_genrecon.models.generative import GenerativeModel
    from napari_genrecon.models.runtime import Model

__all__ = [
    "MODELS",
    "ModelCard",
    "PerAxis",
    "available_devices",
    "axial_card",
    "describe_devices",
    "device_note",
    "device_words",
    "encode",
    "find_model",
    "fourier_filter",
    "free_memory",
    "known_devices",
    "list_models",
    "load_model",
    "load_network",
    "load_torch",
    "release_memory",
    "read_arrays",
    "resolve_device",
    "resolve_precision",
    "torch_missing",
    "weighted_planes",
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
    # A classifier needs more than pixels, so that neither class of models would know what to do with it.
    if card.task == "classify":
        raise OptionError(f"{card.name!r} is a classifier of objects: use classify(image, labels, model={card.name!r})")
    if card.task != "sample":
        return load_network(card, device)
    return _torch_side("generative").load_generative(card, device)


def load_network(
    card: ModelCard, device: str = "auto", weights: bytes | None = None, precision: str = "float32"
) -> Model:
    """Load a network as a function on planes; kept for the next call with the same arguments.

    Parameters
    ----------
    card : ModelCard
        The model to load.
    device : str
        As for `load_model`.
    weights : bytes, optional
        Weights to load instead of the model's own, as the content of a safetensors file: those of a fine-tuned network.
    precision : {"float32", "auto"}
        ``"auto"`` computes in bfloat16 where the device is fast in it and the model's card says that it is safe.

    Raises
    ------
    MissingPackageError
        If torch cannot be loaded.
    WeightsError
        If the weight file is missing or damaged.
    OptionError
        If the device does not exist here.
    """
    # Device and precision are resolved here, as they are keys of the cache: "auto" and what it stands for share one
    # network.
    where = resolve_device(device)
    return _torch_side("runtime").load_network(card, where, weights, resolve_precision(precision, card, where))


def encode(x: NDArray[np.float32], card: ModelCard, device: str = "auto") -> NDArray[np.float32]:
    """Describe (N, C, Y, X) pictures, on a scale of about 0 to 1, by (N, F) features of a model's network.

    Raises
    ------
    MissingPackageError
        If torch cannot be loaded.
    OptionError
        If the device does not exist here.
    """
    found: NDArray[np.float32] = _torch_side("encoder").encode(x, card, resolve_device(device))
    return found


def read_arrays(card: ModelCard) -> dict[str, NDArray[np.float32]]:
    """Return the weights of a model by name, checked against its card.

    Raises
    ------
    WeightsError
        If the file is damaged, or does not hold what its card says.
    """
    # Reading is checked against the network, so that torch is needed although arrays come back.
    return {name: tensor.numpy() for name, tensor in _torch_side("runtime").read_weights(card).items()}


def resolve_device(device: str) -> str:
    """Return the device that ``"auto"`` stands for here, or the one asked for if it exists and computes.

    Raises
    ------
    OptionError
        If a device was asked for that does not exist here or cannot compute; it is never exchanged for another.
    """
    return _torch_side("devices").resolve_device(device)


def available_devices() -> tuple[str, ...]:
    """Return the devices that exist here, GPUs first."""
    return _torch_side("devices").available_devices()


def known_devices() -> tuple[str, ...]:
    """Return the values of the option ``device``: those that exist here, or all kinds while torch is not loaded."""
    torch = sys.modules.get("torch")
    if torch is None or getattr(torch.__spec__, "_initializing", False):  # or a window would wait for another thread
        return ("auto", "cpu", "cuda", "mps")
    return ("auto", *available_devices())


def describe_devices() -> tuple[list[DeviceReport], list[str]]:
    """Return what was found, best first, and sentences about what was not."""
    return _torch_side("devices").describe_devices()


def device_note(asked: str) -> list[str]:
    """Return a sentence for the record if ``"auto"`` passed over a GPU that cannot compute; else nothing."""
    return _torch_side("devices").device_note(asked)


def free_memory(device: str) -> int:
    """Return the bytes of memory that can still be used on a device that `resolve_device` returned."""
    return _torch_side("devices").free_memory(device)


def resolve_precision(asked: str, card: ModelCard, device: str) -> str:
    """Return the number format, ``"float32"`` or ``"bfloat16"``, that a model uses on a device."""
    return _torch_side("precision").resolve_precision(asked, card, resolve_device(device))


def device_words(device: str, precision: str = "float32") -> str:
    """Name a device for the record; empty for the CPU in float32."""
    return _torch_side("devices").device_words(device, precision)


def fourier_filter(device: str) -> FourierFilter | None:
    """Return a function that multiplies the spectrum of an image on a GPU; None where the CPU shall do that.

    Parameters
    ----------
    device : str
        As for `load_model`.
    """
    return _torch_side("filters.fourier").fourier_filter(resolve_device(device))


def weighted_planes(
    planes: NDArray[np.float32], taps: Sequence[Taps], outside: float | None = None
) -> NDArray[np.float32]:
    """Return planes (N, Y, X) averaged along Y and then X with two `Taps`, on the CPU.

    `outside` is the value beyond the edge; what is at the edge, if not given.
    """
    made: NDArray[np.float32] = _torch_side("filters.windows").weighted_planes(planes, taps, outside)
    return made


def release_memory(device: str) -> None:
    """Give memory that torch keeps for later back to the device, at the end of a job."""
    _torch_side("devices").release_memory(device)


def load_torch() -> None:
    """Load torch now, for programs in which other libraries must come after it.

    Raises
    ------
    MissingPackageError
        If it cannot be loaded.
    """
    _torch_side("devices")


def torch_missing(error: BaseException) -> MissingPackageError:
    """Return the sentence for an error that was raised while torch was imported."""
    return MissingPackageError(
        f"PyTorch cannot be loaded: {error}. On Windows this happens where napari's window came first: close napari "
        "and start it with 'genrecon window'. Elsewhere, install PyTorch again: https://pytorch.org/get-started/locally"
    )


def _torch_side(module: str) -> Any:
    try:
        # By name, so that importing this package loads no torch; `import_torch` lets other threads run while it loads.
        import_torch()
        return import_module(f"{__name__}.{module}")
    except (ImportError, OSError) as error:
        # On Windows, torch's libraries fail to load when Qt's came first (WinError 1114 or 126).
        raise torch_missing(error) from error
