"""Filter images in Fourier space on a GPU, for algorithms that know no device."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from napari_genrecon.models.devices import to_cpu, to_device
from napari_genrecon.models.failures import plain_errors
from napari_genrecon.models.runtime import ONE_AT_A_TIME

__all__ = ["FourierFilter", "fourier_filter"]

FourierFilter = Callable[[NDArray[np.float32], NDArray[np.inexact]], NDArray[np.float32]]
"""``multiply(x, response)``: the real image `x` with its spectrum, as of `rfftn`, times `response`."""

# Devices whose transforms are used. On one core of a CPU, a transform there and back takes 30 to 60 ns a pixel; the
# copies to CUDA and back 2 ns. Those of MPS are left out until they were tried.
_WITH_TRANSFORMS = {"cuda"}


def fourier_filter(device: str) -> FourierFilter | None:
    """Return a function that multiplies the spectrum of an image on a device; None where the CPU shall do that."""
    return partial(_filtered, device) if torch.device(device).type in _WITH_TRANSFORMS else None


def _filtered(device: str, x: NDArray[np.float32], response: NDArray[np.inexact]) -> NDArray[np.float32]:
    # "W": torch warns of arrays that cannot be written, although nothing is written here.
    image, factor = (torch.from_numpy(np.require(array, requirements=["C", "W"])) for array in (x, response))
    with ONE_AT_A_TIME, plain_errors("Fourier", device, "the transform"), torch.inference_mode():
        spectrum = torch.fft.rfftn(to_device(image, device)) * to_device(factor, device)
        # The shape is given because half a spectrum does not tell whether the last side was odd.
        return np.asarray(to_cpu(torch.fft.irfftn(spectrum, s=x.shape)).numpy())
