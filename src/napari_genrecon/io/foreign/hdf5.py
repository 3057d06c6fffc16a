"""HDF5, through h5py: the datasets of numbers with at least two dimensions are its images."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.errors import ImageError
from napari_genrecon.io.image_file import (
    MICROMETRE,
    ImageFile,
    Series,
    Sizes,
    about_with,
    chosen_series,
    resolved_axes,
)  # fmt: skip
from napari_genrecon.io.lazy import whole_or_regions

__all__ = ["open_hdf5", "region_of"]

_SIZES = "element_size_um"  # as ilastik and the HDF5 plugin of Fiji write it, slowest dimension first


def open_hdf5(path: Path, axes: str | None, series: int | str | None = None) -> ImageFile:
    """Open a dataset; links to other files are not followed."""
    import h5py

    with h5py.File(path, "r") as file:
        images = _images(file)
        if not images:
            raise ImageError(f"{path.name} holds no dataset of numbers with at least two dimensions")
        listed = [Series(name, tuple(file[name].shape)) for name in images]
        chosen = chosen_series(path, listed, series)
        dataset = file[images[chosen]]
        data = _dataset_pixels(path, dataset)
        found = resolved_axes(axes, "", tuple(dataset.shape))
        steps = np.ravel(dataset.attrs.get(_SIZES, []))
        sizes: Sizes = dict(zip("XYZ", ((float(step), MICROMETRE) for step in steps[::-1]), strict=False))
    several = tuple(listed) if len(listed) > 1 else ()
    about = about_with(found, sizes)
    return ImageFile(data=data, about=about, name="", path=path, series=several, chosen=chosen)


def _images(file: Any) -> list[str]:
    import h5py

    names: list[str] = []

    def collect(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.dtype.kind in "iuf" and item.ndim > 1 and min(item.shape) > 0:
            names.append(name)

    file.visititems(collect)  # follows neither soft nor external links
    return names


def _dataset_pixels(path: Path, dataset: Any) -> Any:
    """Return the pixels of a dataset, by region if it is large.

    Raises
    ------
    ImageError
        If they lie in other files.
    """
    # A file from somebody else could otherwise lead to any file that the user may read.
    if dataset.is_virtual or dataset.external:
        raise ImageError(f"the pixels of {dataset.name} of {path.name} lie in other files: open those")
    # A dataset in one piece has no chunks: planes can be read from it at no extra cost.
    chunks = dataset.chunks or (*(1,) * (dataset.ndim - 2), *dataset.shape[-2:])
    return whole_or_regions(partial(region_of, path, dataset.name), dataset.shape, dataset.dtype, chunks)


def region_of(path: Path, name: str, region: Any) -> NDArray[Any]:
    """Read a region of a dataset."""
    import h5py

    with h5py.File(path, "r") as file:
        return np.asarray(file[name][region])
