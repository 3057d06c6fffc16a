"""MRC of electron microscopes, through mrcfile."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.errors import ImageError
from napari_genrecon.io.image_file import ImageFile, about_with, resolved_axes
from napari_genrecon.io.lazy import whole_or_regions

__all__ = ["open_mrc"]


def open_mrc(path: Path, axes: str | None, _series: int | str | None = None) -> ImageFile:
    """Open an image, a stack of images (T) or a volume (Z)."""
    import mrcfile

    # Mapped into memory: only the header is read here.
    with mrcfile.mmap(path, mode="r") as file:
        found, size, stack = file.data, file.voxel_size, file.is_image_stack()
        if found.dtype.kind not in "iuf":
            raise ImageError(f"{path.name} holds {found.dtype}: real numbers are needed")
        shape, dtype = found.shape, found.dtype
        sizes = {letter: (float(size[letter.lower()]), "angstrom") for letter in "XYZ"}
    data = whole_or_regions(partial(_region, path), shape, dtype, (*(1,) * (len(shape) - 2), *shape[-2:]))
    # The header says whether three dimensions are separate images or a volume.
    letters = {2: "YX", 3: "TYX" if stack else "ZYX", 4: "TZYX"}.get(len(shape), "")
    return ImageFile(data=data, about=about_with(resolved_axes(axes, letters, shape), sizes), name="", path=path)


def _region(path: Path, region: Any) -> NDArray[Any]:
    import mrcfile

    with mrcfile.mmap(path, mode="r") as file:
        # A copy, as the map ends with the file.
        return np.array(file.data[region])
