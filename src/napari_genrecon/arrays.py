"""What can be passed as an image, and what comes back, as types."""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["ImageArray", "ImageLayer", "ImageLike", "LazyArray"]


class LazyArray(Protocol):
    """An array that is read by region, such as one of dask or Zarr."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the dimensions."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the pixels."""

    def __getitem__(self, region: Any, /) -> Any:
        """Pixels of a region."""

    def __getattr__(self, name: str, /) -> Any:
        """Whatever else this kind of array can do."""


class ImageLayer(Protocol):
    """An image layer of napari."""

    @property
    def data(self) -> Any:
        """Pixels, or those of every level of a multiscale layer."""

    def as_layer_data_tuple(self) -> tuple[Any, dict[str, Any], str]:
        """Pixels, all that the layer says about them, and the kind of layer."""


ImageLike: TypeAlias = ArrayLike | LazyArray | ImageLayer
"""A NumPy array or what becomes one, a dask or Zarr array, or an image layer of napari."""

ImageArray: TypeAlias = NDArray[Any] | LazyArray
"""A NumPy array; a dask array where the image was no NumPy array."""
