"""Accept arrays and napari layers as images, masks and PSFs, and refuse paths with a sentence."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

import numpy as np

from napari_genrecon.arrays import ImageArray, ImageLike
from napari_genrecon.axes import Axes, assumption, resolve_axes
from napari_genrecon.errors import GenReconWarning, ImageError, OptionError
from napari_genrecon.io.image_file import ImageMeta
from napari_genrecon.io.layers import about_layer, axes_of
from napari_genrecon.tasks.pixel_size import calibrated, measured_psf

__all__ = [
    "Given",
    "given_image",
    "given_images",
    "given_mask",
    "given_pixel_size",
    "given_points",
    "given_psf",
    "in_pixels",
    "warn_assumed",
]


@dataclass(frozen=True, slots=True)
class Given:
    """Pixels of an image, with the metadata of its layer.

    Attributes
    ----------
    pixels : array_like
        Pixels at full resolution.
    axes : str, Axes or None
        Axes that were given, else those of the layer; None infers them from the shape.
    layer : dict or None
        Keywords of the layer; None if an array was given.
    """

    pixels: Any
    axes: str | Axes | None
    layer: dict[str, Any] | None = None

    def calibrate(self, options: Any) -> Any:
        """Return options of a task in which missing pixel sizes are those of the layer."""
        return options if self.layer is None else calibrated(options, self.about)

    def about(self) -> ImageMeta:
        """Return the metadata of the image: the axes, and all that the layer says."""
        shape = tuple(np.shape(self.pixels))
        axes = resolve_axes(self.axes, shape)
        return ImageMeta(axes=axes) if self.layer is None else replace(about_layer(self.layer, shape), axes=axes)


def given_image(image: ImageLike, axes: str | Axes | None = None) -> Given:
    """Return the pixels of an image layer, or an array as it is.

    Raises
    ------
    ImageError
        If it is a path, or a layer of another kind.
    """
    # numpy would take a path for an array of text, and a later error would say nothing about it.
    if isinstance(image, str | os.PathLike):
        path = os.fspath(image)
        raise ImageError(
            f"the image is the path {path!r} and not an array: read it first, for example with tifffile.imread, or "
            "process the file with the genrecon command, which keeps its pixel size"
        )
    if not _is_layer(image):
        return Given(image, axes)
    pixels, meta = _pixels(image, ("image",), "an image layer")
    # Axes that were typed count before those of the layer.
    return Given(pixels, axes or axes_of(meta.get("axis_labels", ()), tuple(pixels.shape), rgb=meta["rgb"]), meta)


def given_pixel_size(image: Any) -> dict[str, Any]:
    """Return pixel size and units of a layer along Y and X, as keywords; nothing for an array."""
    found = given_image(image)
    if found.layer is None:
        return {}
    whole = found.about().filled()
    y, x = whole.axes.y, whole.axes.x
    return {
        # A layer may have a negative scale, which mirrors it.
        "pixel_size": (abs(float(whole.scale[y])), abs(float(whole.scale[x]))),
        "units": (whole.units[y], whole.units[x]),
    }


def given_images(images: Any, axes: Any) -> tuple[Any, Any]:
    """Return the pixels and the axes of one image or of a list of images; axes that were given are kept."""
    if not isinstance(images, list | tuple):
        found = given_image(images, axes)
        return found.pixels, found.axes
    several = [given_image(image) for image in images]
    # One answer per image: each layer may have axes of its own.
    letters = [found.axes for found in several]
    return [found.pixels for found in several], letters if axes is None and any(letters) else axes


def given_mask(mask: Any, kinds: Sequence[str] = ("labels", "image")) -> Any:
    """Return the pixels of a layer (or the points, or of each of a list), or anything else as it is."""
    # A list without layers stays as it is: it may be an array, written as nested lists.
    if isinstance(mask, list | tuple) and any(map(_is_layer, mask)):
        return [given_mask(entry, kinds) for entry in mask]
    return _pixels(mask, kinds, f"a {' or '.join(kinds)} layer")[0] if _is_layer(mask) else mask


def given_points(points: Any, image: Any) -> Any:
    """Return the places of a points layer in pixels of an image layer (or of each of a list), or else what was given.

    A layer of points has a scale and a place of its own. Those of other dimensions are taken as pixels.
    """
    if isinstance(points, list | tuple) and any(map(_is_layer, points)):
        images = list(image) if isinstance(image, list | tuple) else [image] * len(points)
        # Another number of images is refused where the two are used.
        return [given_points(*pair) for pair in zip_longest(points, images[: len(points)])]
    if not _is_layer(points):
        return points
    places, _ = _pixels(points, ("points",), "a points layer")
    # Plugins get layers behind a proxy.
    points, image = (getattr(layer, "__wrapped__", layer) for layer in (points, image))
    return in_pixels(points, image) if _is_layer(image) and image.ndim == points.ndim else places


def in_pixels(points: Any, image: Any) -> Any:
    """Return the points of a layer, (N, D), in pixels of an image layer.

    Raises
    ------
    OptionError
        If the layers differ in their number of dimensions.
    """
    if points.ndim != image.ndim:
        raise OptionError(
            f"'{points.name}' has {points.ndim} dimensions, '{image.name}' has {image.ndim}: points need as many as "
            "their image"
        )
    # Without any point the array would have no second dimension.
    return np.array([image.world_to_data(points.data_to_world(p)) for p in points.data]).reshape(-1, image.ndim)


def given_psf(psf: Any) -> Any:
    """Return the point spread function of an image layer with the size of its pixels, or anything else as it is."""
    if isinstance(psf, str | os.PathLike):
        path = os.fspath(psf)
        raise OptionError(
            f"the psf is the path {path!r} and not an array: read it first, for example with tifffile.imread"
        )
    if not _is_layer(psf):
        return psf
    pixels, meta = _pixels(psf, ("image",), "an image layer")
    return measured_psf(pixels, about_layer(meta, tuple(pixels.shape)))


def warn_assumed(axes: Axes, source: ImageArray) -> None:
    """Warn the caller's caller if axes were inferred that may be others."""
    said = assumption(axes, source.shape, eight_bit=source.dtype == np.uint8)
    if said:
        warnings.warn(said, GenReconWarning, stacklevel=3)


def _is_layer(value: object) -> bool:
    return hasattr(value, "as_layer_data_tuple")  # unlike isinstance, without importing napari


def _pixels(layer: Any, kinds: Sequence[str], wanted: str) -> tuple[Any, dict[str, Any]]:
    # Plugins get layers behind a proxy; what it wraps gives plain values.
    data, meta, kind = getattr(layer, "__wrapped__", layer).as_layer_data_tuple()
    if kind not in kinds:
        raise ImageError(f"'{meta.get('name')}' is a {kind} layer, and {wanted} is needed: choose another layer")
    # A pyramid is a list of levels, of which the first has the full resolution.
    return (data[0] if meta.get("multiscale") else data), meta
