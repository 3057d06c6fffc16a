"""Read TIFF: OME-TIFF, ImageJ TIFF and any other; large ones without loading them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_genrecon.arrays import ImageArray
from napari_genrecon.axes import COLOUR_SAMPLES, Axes
from napari_genrecon.errors import ImageError
from napari_genrecon.io.image_file import ImageFile, ImageMeta, Series, about_with, chosen_series, resolved_axes
from napari_genrecon.io.layer_display import lut_display, saved_colours, saved_limits, stated
from napari_genrecon.io.lazy import Regions, at_once
from napari_genrecon.io.record.provenance import LAYER_NAMESPACE, RECORD_NAMESPACE
from napari_genrecon.io.tiff.acquisition import acquisition_in
from napari_genrecon.io.tiff.checks import check_codec, check_pages, check_sizes, smaller_copies
from napari_genrecon.io.tiff.colours import converted, lut_of
from napari_genrecon.io.tiff.display import tiff_display
from napari_genrecon.io.tiff.ome import channels_in, image_in, note_in, ome_of, positions_in, sizes_in
from napari_genrecon.io.tiff.pixels import tiff_pixels
from napari_genrecon.io.tiff.sizes import tiff_sizes

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from numpy.typing import NDArray
    from tifffile import TiffFile, TiffPageSeries

__all__ = ["open_tiff", "samples_moved"]

_BESIDE = {"thumbnail", "label", "macro", "map", "overview"}  # pictures of a slide, beside the image


def open_tiff(path: Path, axes: str | None, series: int | str | None = None) -> ImageFile:
    """Open one image of a TIFF file; see `reader.open_image`."""
    import tifffile

    with tifffile.TiffFile(path) as tif:
        ome = ome_of(tif)  # first, because tifffile parses the OME-XML without these checks
        if not tif.series:
            raise ImageError(f"{path.name} holds no image")
        check_pages(path, tif)
        images = _images(tif)
        listed = [Series(str(tif.series[i].name or ""), tuple(map(int, tif.series[i].shape))) for i in images]
        chosen = chosen_series(path, listed, series)
        index = images[chosen]
        one = tif.series[index]
        # Before pixels are read: a header that lies could ask for more memory than there is.
        for level in one.levels:
            check_sizes(path, level)
            check_codec(path, level.keyframe)
        shown_only = tif.is_imagej or ome is not None
        levels, letters = converted(path, one.keyframe, _pixels(one, index, path), one.axes, shown_only=shown_only)
        # Axes that the user gives describe the dimensions in the order of the file.
        if not axes:
            source, target, letters = samples_moved(letters, levels[0].shape, levels[0].dtype)
            levels = [_moved(level, source, target) for level in levels]
        # OME-XML has Q for a dimension of another kind than its own, such as several fillings.
        found = resolved_axes(axes, letters, tuple(levels[0].shape), stated="Q" if ome is not None else "")
        lut = lut_of(one.keyframe, shown_only=shown_only)
        # OME-XML says all there is; other files say it in places that differ by program.
        if ome is None:
            about = about_with(found, tiff_sizes(tif), **tiff_display(tif, found.letters, levels[0].shape, lut))
        else:
            about = _about_ome(found, levels[0].shape, ome, image_in(ome, index, len(tif.series)), lut)
    return ImageFile(
        data=levels[0],
        about=about,
        name="",
        path=path,
        levels=tuple(levels[1:]),
        series=tuple(listed) if len(listed) > 1 else (),
        chosen=chosen,
    )


def _images(tif: TiffFile) -> list[int]:
    """Return the indices of the images of a file: the first, and others that are no small pictures of it."""
    return [
        index
        for index, series in enumerate(tif.series)
        if not index or not (str(series.name).lower() in _BESIDE or series.keyframe.is_reduced)
    ]


def _about_ome(axes: Axes, shape: tuple[int, ...], ome: Element, image: Element, lut: NDArray[Any] | None) -> ImageMeta:
    about = about_with(axes, sizes_in(image))
    names, colors = channels_in(image)
    display = {"channel_colors": colors} if colors or lut is None else lut_display([lut])
    layer = note_in(ome, LAYER_NAMESPACE)
    display |= saved_colours(layer or {}, axes.n_channels(shape))  # OME-XML has one colour for each channel
    return ImageMeta(
        axes=axes,
        scale=about.scale,
        units=about.units,
        translate=_places(positions_in(image, about), axes, layer or {}),
        channel_names=names,
        channel_limits=saved_limits(layer or {}, axes.n_channels(shape)),
        record=note_in(ome, RECORD_NAMESPACE),
        layer=layer,
        acquisition=acquisition_in(ome, image) or None,
        **display,
    )


def _places(known: tuple[float, ...], axes: Axes, layer: dict[str, Any]) -> tuple[float, ...]:
    """Add the places that OME-XML has no room for, as in time, from the settings of the layer."""
    saved = {
        letter: float(place)
        for letter, place in stated(layer, "translate").items()
        if letter not in "CZYX" and isinstance(place, int | float) and math.isfinite(place)
    }
    found = tuple(
        saved.get(letter, place) for letter, place in zip(axes.letters, known or (0.0,) * len(axes), strict=True)
    )
    return found if any(found) else ()


# --- pixels ---


def _pixels(series: TiffPageSeries, index: int, path: Path) -> list[Any]:
    """Return the pixels and those of smaller levels; what is large, or has levels, is not read but can be by region."""
    smaller = smaller_copies(series)
    # With levels, always by region: a viewer then loads the level that fits the screen, and never the whole.
    if smaller or not at_once(series.nbytes):
        return [_by_region(series, index, level, path) for level in (0, *smaller)]
    data = series.asarray()
    if tuple(data.shape) != tuple(series.shape):
        raise ImageError(f"{path.name} declares {series.shape} but holds {data.shape}: its header is damaged")
    return [data]


def samples_moved(letters: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[int, int, str]:
    """Return from where to where the samples of a pixel move, and the letters then: colours last, others as channels.

    Three planes of 16 bits are channels, or a stack that was saved by a program that takes three planes for colours.
    """
    source = max(letters.find("S"), 0)
    rest = letters.replace("S", "")
    # Interleaved samples (S last) are colours. Planar ones are so in 8 bits only, as the docstring says.
    if "S" in letters and shape[source] in COLOUR_SAMPLES and (letters.endswith("S") or dtype == np.uint8):
        return source, len(rest), f"{rest}S"
    # In front of Y, where channels of a stack usually stand: (S, Y, X) -> (C, Y, X).
    if "S" in letters and "Y" in rest and "C" not in rest:
        target = rest.index("Y")
        return source, target, f"{rest[:target]}C{rest[target:]}"
    return 0, 0, letters


def _moved(data: ImageArray, source: int, target: int) -> Any:
    """Return the same pixels with one axis elsewhere; a view, or lazy."""
    if source == target:
        return data
    if isinstance(data, np.ndarray):
        return np.moveaxis(data, source, target)
    import dask.array as da

    return da.moveaxis(data if hasattr(data, "dask") else da.from_array(data, chunks=data.chunks), source, target)


def _by_region(series: TiffPageSeries, index: int, level: int, path: Path) -> Regions:
    found = series.levels[level]
    page = found.keyframe
    # Tiles, or strips as wide as the image: the pieces that are unpacked as a whole.
    height, width = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
    sides = {"Y": height, "X": width, "S": found.shape[-1]}
    chunks = tuple(min(sides.get(letter, 1), n) for letter, n in zip(found.axes, found.shape, strict=True))
    return tiff_pixels(path, level, found.shape, found.dtype.newbyteorder("="), chunks, series=index)
