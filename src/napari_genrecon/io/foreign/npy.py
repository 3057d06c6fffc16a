"""NumPy arrays (.npy)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_genrecon.errors import ImageError
from napari_genrecon.io.image_file import ImageFile, about_with, resolved_axes
from napari_genrecon.io.lazy import whole_or_regions

__all__ = ["open_npy"]


def open_npy(path: Path, axes: str | None, _series: int | str | None = None) -> ImageFile:
    """Open an array of numbers; truth values become 0 and 1."""
    # A pickle in the file would run code when it is loaded.
    found = np.load(path, mmap_mode="r", allow_pickle=False)
    if found.dtype.kind not in "biuf":
        raise ImageError(f"{path.name} holds {found.dtype}: real numbers are needed")
    dtype = np.dtype("u1") if found.dtype == bool else found.dtype
    chunks = (*(1,) * max(0, found.ndim - 2), *found.shape[-2:])
    # A copy of the region: a view would keep the map, and with it the file, open.
    data = whole_or_regions(lambda region: np.array(found[region]), found.shape, dtype, chunks)
    return ImageFile(data=data, about=about_with(resolved_axes(axes, "", found.shape), {}), name="", path=path)
