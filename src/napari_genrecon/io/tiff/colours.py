"""Convert samples of a TIFF file that are no grey values: colours from a palette, white for zero, inks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.arrays import ImageArray
from napari_genrecon.errors import ImageError

if TYPE_CHECKING:
    from tifffile import TiffPage

__all__ = ["converted", "lut_of"]

_REFUSED = {
    "SEPARATED": "amounts of printing inks (CMYK)", "CIELAB": "colours as CIE L*a*b*", "ICCLAB": "colours as L*a*b*",
    "ITULAB": "colours as L*a*b*", "LOGL": "logarithms of luminance", "LOGLUV": "colours as LogLuv",
    "YCBCR": "colours as YCbCr without JPEG compression",
}  # fmt: skip
_JPEG = {6, 7, 22610, 33003, 33005, 33007, 34712, 34892, 34927, 34933}  # compressions whose decoders give RGB


def lut_of(page: TiffPage, *, shown_only: bool) -> NDArray[Any] | None:
    """Return the lookup table of a page whose samples are grey values all the same, (3, N); None for all others.

    Parameters
    ----------
    page : tifffile.TiffPage
        Any.
    shown_only : bool
        Whether the program that wrote it uses palettes only to show grey values, as ImageJ and OME do. Else one is used
        so if its red, green and blue all rise from black.
    """
    if page.photometric.name != "PALETTE" or page.colormap is None:
        return None
    # (3, 2**bits), of 16 bits each.
    lut = np.asarray(page.colormap)
    # Signed, as the difference of unsigned numbers is never negative.
    rises = bool((np.diff(lut.astype(np.int64)) >= 0).all()) and not lut[:, 0].any()
    return lut if shown_only or rises else None


def converted(
    path: Path, page: TiffPage, levels: list[Any], letters: str, *, shown_only: bool
) -> tuple[list[Any], str]:
    """Return the pixels as grey values or RGB, and the letters of their dimensions then.

    Parameters
    ----------
    path : Path
        Path of the file, for error messages.
    page : tifffile.TiffPage
        The first one.
    levels : list of array_like
        The image and its smaller copies, NumPy or lazy.
    letters : str
        Letters of their dimensions.
    shown_only : bool
        See `lut_of`.

    Raises
    ------
    ImageError
        If they are neither, and no table says how to get there.
    """
    kind = getattr(page.photometric, "name", str(page.photometric))
    if kind in _REFUSED and not (kind == "YCBCR" and int(page.compression) in _JPEG):
        raise ImageError(f"{path.name} holds {_REFUSED[kind]}, which are not read: save it as RGB or grey values first")
    if kind == "PALETTE" and page.colormap is not None and lut_of(page, shown_only=shown_only) is None:
        # TIFF stores palettes in 16 bits; colours on screen have 8. (3, N) -> (N, 3).
        table = (np.asarray(page.colormap) >> 8).astype(np.uint8).T
        return [_each(level, partial(_looked_up, table=table), np.dtype("u1"), 3) for level in levels], f"{letters}S"
    # Left as they are, the values would be the larger the darker the image is. Not so the booleans of tifffile (and of
    # scikit-image and napari, which use it): it states that 0 is white for them, and writes True as 1.
    if kind == "MINISWHITE" and not (levels[0].dtype == bool and page.software == "tifffile.py"):
        levels = [_inverted(path, level, int(page.bitspersample)) for level in levels]
    # napari and the tasks compute with numbers; a mask of 0 and 1 stays what it is.
    if levels[0].dtype == bool:
        levels = [_each(level, partial(np.asarray, dtype=np.uint8), np.dtype("u1")) for level in levels]
    return levels, letters


def _looked_up(indices: NDArray[Any], table: NDArray[Any]) -> NDArray[Any]:
    # A damaged index must not fail in the middle of a lazy image.
    return table[np.minimum(indices, len(table) - 1)]


def _inverted(path: Path, data: ImageArray, bits: int) -> Any:
    if data.dtype == bool:
        return _each(data, np.logical_not, data.dtype)
    if data.dtype.kind != "u":
        raise ImageError(
            f"{path.name} says that 0 is white, which is not defined for {data.dtype}: save it with 0 as black first"
        )
    # From the bits per sample, which may be fewer than the dtype has: 12-bit samples lie in 16-bit numbers.
    return _each(data, partial(np.subtract, data.dtype.type(2**bits - 1)), data.dtype)


def _each(data: ImageArray, function: Callable[..., Any], dtype: np.dtype[Any], samples: int = 0) -> Any:
    """Apply a function to all pixels, at once or when they are read."""
    if isinstance(data, np.ndarray):
        return function(data)
    import dask.array as da

    lazy = data if hasattr(data, "dask") else da.from_array(data, chunks=data.chunks)
    more = {"new_axis": lazy.ndim, "chunks": (*lazy.chunks, (samples,))} if samples else {}
    return da.map_blocks(function, lazy, dtype=dtype, **more)
