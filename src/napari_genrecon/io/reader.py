"""Open an image, whatever its format."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path

from napari_genrecon.errors import GenReconError, GenReconWarning, ImageError
from napari_genrecon.io.formats import image_name, plainly, read_format
from napari_genrecon.io.image_file import ImageFile, listed_series

__all__ = ["check_source", "file_sentence", "image_name", "open_image"]


def open_image(path: str | Path, *, axes: str | None = None, series: int | str | None = None) -> ImageFile:
    """Open an image.

    Parameters
    ----------
    path : path-like
        A file of one of `io.formats.FORMATS`: OME-TIFF, ImageJ TIFF or any other TIFF, OME-Zarr 0.4 or 0.5, files of
        microscopes, PNG, NumPy…; or a folder with at least two TIFF files of one shape, which become one stack. What is
        large is not loaded but can be read by region.
    axes : str, optional
        Meaning of the dimensions, if the file is wrong or silent about it.
    series : int or str, optional
        The image to read of several (series, scenes, positions): its number, counted from 0, or its name.
        If not given, the first is opened, and a `GenReconWarning` says so.

    Raises
    ------
    ImageError
        If the file is missing, of another kind, damaged or not safe to read, or does not fit the axes.
    MissingPackageError
        If it needs a package that is not installed.
    """
    path = Path(path)
    check_source(path)
    found = plainly(path, "image", partial(read_format, path)).open_file(path, axes, series)
    # Here and not in the readers, so that every format names its images alike.
    image: ImageFile = replace(found, name=_name(found))
    if series is None and image.series:
        warnings.warn(_several(image), GenReconWarning, stacklevel=2)
    return image


def check_source(path: Path) -> None:
    """Refuse the path of an image where there is nothing.

    Raises
    ------
    ImageError
        If nothing is there, or it may not be looked at.
    """
    # Through `plainly`, as even asking may fail: no permission for a folder above, or a name that the system refuses.
    if not plainly(path, "image", path.exists):
        raise ImageError(f"there is no file {path}")


def _name(image: ImageFile) -> str:
    name = image_name(image.path)
    if not image.series or not image.chosen:
        return name
    # The first image keeps the name of the file; the others need one of their own beside it in the layer list.
    return f"{name} {image.series[image.chosen].name or image.chosen}"


def _several(image: ImageFile) -> str:
    return (
        f"{image.path.name} holds {len(image.series)} images ({listed_series(image.series)}); the first was opened: "
        "choose another by its number or name with series (--series on the command line)"
    )


def file_sentence(error: Exception, path: Path) -> str:
    """Return why a file failed, for a user who is not shown a traceback."""
    if isinstance(error, GenReconError):
        return str(error)
    if isinstance(error, OSError):
        # The path stands before the sentence already, unless another file failed, such as one of a folder of planes.
        where = f" ({error.filename})" if error.filename not in (None, str(path)) else ""
        return f"cannot be read or written: {error.strerror or error}{where}"
    return f"failed: {type(error).__name__}: {error}"
