"""Types of the images that functions accept and return, and how their pixels are read."""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["ImageArray", "ImageLayer", "ImageLike", "LazyArray", "as_numpy"]


# Protocols, so that neither dask, zarr nor napari is imported to describe their objects.
class LazyArray(Protocol):
    """An array that is read by region, such as one of dask or Zarr."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the dimensions."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the pixels."""

    def __getitem__(self, region: Any, /) -> Any:
        """Return the pixels of a region."""

    # The rest (`chunks`, `dask`, `nbytes`) differs between libraries: callers ask with `hasattr` before they use it.
    def __getattr__(self, name: str, /) -> Any:
        """Return any other attribute of the array."""


class ImageLayer(Protocol):
    """An image layer of napari."""

    @property
    def data(self) -> Any:
        """Pixels, or a list of the pixels of every level of a multiscale layer."""

    def as_layer_data_tuple(self) -> tuple[Any, dict[str, Any], str]:
        """Return the pixels, the metadata of the layer, and the kind of layer."""


ImageLike: TypeAlias = ArrayLike | LazyArray | ImageLayer
"""A NumPy array or anything that converts to one, a dask or Zarr array, or an image layer of napari."""

ImageArray: TypeAlias = NDArray[Any] | LazyArray
"""A NumPy array for a NumPy image, else a dask array."""


def as_numpy(array: Any) -> NDArray[Any]:
    """Return an array as NumPy; what is lazy is computed without the cache that napari gives dask.

    That cache is one for all threads, and loses its keys (a KeyError) where two of them compute with it at once: a job
    and the view of another layer.
    """
    return np.asarray(array.compute(callbacks=()) if hasattr(array, "__dask_graph__") else array)
