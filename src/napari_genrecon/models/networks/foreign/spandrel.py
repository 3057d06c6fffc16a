"""Networks of others for photographs, whose architecture the package spandrel tells from their weights.

The weights are tensors that were read as data (`models.tensors`); spandrel only names the architecture and builds it.
It never opens the file. https://github.com/chaiNNer-org/spandrel
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_genrecon.errors import GenReconError, MissingPackageError, WeightsError
from napari_genrecon.models.limits import BuildLimit
from napari_genrecon.models.networks.blocks import pad_to_stride

__all__ = ["SpandrelNet"]

_MOST_BLOCKS = 10_000  # largest number in the name of a weight: so many blocks are built, which takes memory


class SpandrelNet(nn.Module):
    """Restore or enlarge images with a network whose weights tell its architecture.

    Parameters
    ----------
    weights : mapping of str to Tensor
        The weights by name.

    Raises
    ------
    MissingPackageError
        If spandrel is not installed.
    WeightsError
        If it knows no such network, the weights do not fit it, or it is none for images.
    """

    scaling = "range"

    @staticmethod
    def knows(weights: Mapping[str, Tensor]) -> bool:
        """Return True: whether it does is found out by building it, so that it comes last."""
        return True

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        found = _descriptor(weights)
        self.network: nn.Module = found.model
        self.architecture: str = found.architecture.name
        self.task = "upscale" if found.purpose == "SR" and found.scale > 1 else "denoise"
        self.scale: int = found.scale
        self.multiple: int = found.size_requirements.multiple_of
        self.internal: bool = found.tiling.name == "INTERNAL"  # cuts tiles of its own
        self._least: int = found.size_requirements.minimum
        self._inputs, self._outputs = found.input_channels, found.output_channels
        self._call = found._call_fn  # the public call cuts off what lies outside 0 to 1, which grey values may
        self.requires_grad_(False)

    def forward(self, y: Tensor) -> Tensor:
        """Process a batch.

        Parameters
        ----------
        y : (B, 1, H, W) Tensor
            Grey values on a scale of about 0 to 1; a network for colours gets them as red, green and blue.

        Returns
        -------
        (B, 1, H*scale, W*scale) Tensor
            The mean of its colours.
        """
        height, width = y.shape[-2:]
        padded = _at_least(pad_to_stride(y, self.multiple), self._least).repeat(1, self._inputs, 1, 1)
        made = [self._call(self.network, each[None]) for each in padded]  # some take one image at a time
        large = [each.mean(dim=1, keepdim=True)[..., : height * self.scale, : width * self.scale] for each in made]
        return torch.cat(large)


def _at_least(y: Tensor, side: int) -> Tensor:
    """Repeat the right and bottom edges until both sides have this length."""
    bottom, right = max(0, side - y.shape[-2]), max(0, side - y.shape[-1])
    return F.pad(y, (0, right, 0, bottom), mode="replicate") if bottom or right else y


def _descriptor(weights: Mapping[str, Tensor]) -> Any:
    """Return what spandrel says about the network of these weights, with the network."""
    try:
        from spandrel import ModelLoader, UnsupportedModelError
    except ImportError as error:
        raise MissingPackageError(
            "a network of others needs the package spandrel: pip install 'napari-genrecon[zoo]'"
        ) from error
    # Before spandrel sees them: it counts the blocks by the numbers in the names, and builds as many.
    _check_names(weights)
    try:
        with BuildLimit(weights):
            found = ModelLoader("cpu").load_from_state_dict(dict(weights))
    # The sentence of `BuildLimit` stays as it is; the last clause would take it for a misfit.
    except GenReconError:
        raise
    except UnsupportedModelError:
        raise WeightsError(
            "its weights belong to no network that is known here (the package spandrel lists those it knows)"
        ) from None
    except Exception as error:  # architectures raise nearly anything for weights that are not theirs
        raise WeightsError(f"its weights do not fit the network that they look like: {_first_line(error)}") from None
    problem = _problem(found)
    if problem:
        raise WeightsError(problem)
    return found


def _check_names(weights: Mapping[str, Tensor]) -> None:
    for name, tensor in weights.items():
        # The length first, as Python refuses to convert a number of thousands of digits.
        if any(len(number) > 5 or int(number) > _MOST_BLOCKS for number in re.findall(r"\d+", name)):
            raise WeightsError(f"the weight {name[:80]!r} asks for more blocks than any network has")
        # Such a shape may be huge in its other dimensions, and stores nothing.
        if tensor.ndim and not tensor.numel():
            raise WeightsError(f"the weight {name[:80]!r} is empty: shape {tuple(tensor.shape)}")


def _problem(found: Any) -> str:
    """Return why a network cannot be used here; empty if it can."""
    if found.purpose not in ("SR", "Restoration"):
        return f"it is a network for {found.purpose} ({found.architecture.name}): only restoring and enlarging are used"
    if found.input_channels not in (1, 3) or found.output_channels not in (1, 3):
        return (
            f"it takes {found.input_channels} channels and gives {found.output_channels}: networks of one channel or "
            "three colours are used"
        )
    return "it takes square images only" if found.size_requirements.square else ""


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines)[:200]}" if lines else type(error).__name__
