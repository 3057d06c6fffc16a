"""Open an image, whatever its format."""

from __future__ import annotations

import re
from pathlib import Path

from napari_genrecon.errors import ImageError
from napari_genrecon.io.image_file import ImageFile
from napari_genrecon.io.tiff.read import TIFF_ENDINGS, is_tiff

__all__ = ["image_name", "open_image"]


def image_name(path: Path) -> str:
    """The name of a file without the ending of a TIFF, OME-TIFF or OME-Zarr."""
    return re.sub(r"(\.ome)?\.(tiff?|zarr)$", "", path.name, flags=re.IGNORECASE)


def open_image(path: str | Path, *, axes: str | None = None) -> ImageFile:
    """Open the first image of a TIFF file, a folder of TIFF planes or an OME-Zarr store.

    Parameters
    ----------
    path : path-like
        An OME-TIFF, ImageJ TIFF or any other TIFF; a folder with at least two TIFF files of one shape, which become
        one stack; an OME-Zarr 0.4 or 0.5 image. What is large is not loaded but can be read by region.
    axes : str, optional
        What the dimensions mean, if the file is wrong or silent about it.

    Raises
    ------
    ImageError
        If the file is missing, of another kind, damaged or not safe to read, or does not fit the axes.
    """
    from napari_genrecon.io.tiff.read import open_planes, open_tiff
    from napari_genrecon.io.zarr.read import is_zarr, open_omezarr

    path = Path(path)
    if not path.exists():
        raise ImageError(f"there is no file {path}")
    if path.is_dir():
        return open_omezarr(path, axes) if is_zarr(path) else open_planes(path, axes)
    if not is_tiff(path):
        raise ImageError(
            f"{path.name} is not an image that can be opened here: give a {' or '.join(TIFF_ENDINGS)} file, a folder "
            "of them, or an OME-Zarr store"
        )
    return open_tiff(path, axes)
