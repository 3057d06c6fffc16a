"""Complete options with the pixel sizes of the image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np

from napari_genrecon.arrays import ImageArray
from napari_genrecon.axes import MOST_CHANNELS
from napari_genrecon.errors import OptionError
from napari_genrecon.io.image_file import MICROMETRES, ImageMeta
from napari_genrecon.optics import MeasuredPSF, Optics
from napari_genrecon.optics.measured import SAME
from napari_genrecon.tasks.transforms import plane_spacing

__all__ = ["calibrated", "known_sizes", "measured_psf", "micrometres"]


def calibrated(options: Any, about_of: Callable[[], ImageMeta]) -> Any:
    """Return the options with missing sizes taken from the image's calibration.

    These are the pixel size and z step of optics, the pixel sizes to which a measured PSF is resampled, and, to upscale
    along z, the distance of two planes in pixels; and the pixel size by which a trained model is judged to fit.

    Parameters
    ----------
    options
        Options of any task.
    about_of : callable
        What the pixels of the image mean; only asked where it is needed.

    Raises
    ------
    OptionError
        If the image does not state the sizes that optics need.
    """
    given = {field.name: getattr(options, field.name) for field in fields(options)}
    found: dict[str, Any] = {
        name: _completed(value, about_of()) for name, value in given.items() if isinstance(value, Optics)
    }
    for name, value in given.items():
        if isinstance(value, MeasuredPSF) and value.image_pixel_size is None:
            sizes = known_sizes(about_of())
            # A PSF in a plane has no size along Z.
            letters = "ZYX"[-len(value.pixel_size) :]
            found[name] = replace(value, image_pixel_size=tuple(sizes.get(letter) for letter in letters))
    # Only upscaling along z has this option.
    if "spacing" in given and given["spacing"] is None:
        whole = about_of().filled()
        found["spacing"] = plane_spacing(str(options.axes), whole.scale, whole.units)
    # 0 stands for tasks without this option; None is an option that was not set.
    if given.get("pixel_size", 0) is None and given["model"] != "auto":  # the bundled models fit any size
        found["pixel_size"] = known_sizes(about_of()).get("X")
    return replace(options, **found) if found else options


def micrometres(size: float, unit: str) -> float | None:
    """Return a size in micrometres; None if its unit is no length."""
    return abs(float(size)) * MICROMETRES[unit] if unit in MICROMETRES and size else None


def measured_psf(data: ImageArray, about: ImageMeta) -> MeasuredPSF:
    """Return a point spread function from a file or a layer, with the sizes of its pixels if they are known.

    Parameters
    ----------
    data : array_like
        The pixels.
    about : ImageMeta
        What they mean. A stack of many planes that are named T or C counts as a z-stack.

    Raises
    ------
    OptionError
        If the array has channels, or cannot be a PSF.
    """
    array, letters = np.asarray(data), about.axes.letters
    # Dimensions of length 1 are dropped: files of a stack may also name a time and a channel.
    kept = [i for i, letter in enumerate(letters) if letter in "ZYX" or array.shape[i] > 1]
    names = "".join(letters[i] for i in kept)
    # Many programs write z-stacks as channels or frames.
    if len(names) == 3 and "Z" not in names and names.endswith("YX") and array.shape[kept[0]] > MOST_CHANNELS:
        names = "ZYX"
    if set(names) - set("ZYX"):
        raise OptionError(
            f"the PSF has axes {letters}, shape {tuple(array.shape)}, and Y, X or Z, Y, X are needed: give one channel "
            "and time of it"
        )
    whole = array[tuple(slice(None) if i in kept else 0 for i in range(array.ndim))]
    # The file may hold them in another order; a `MeasuredPSF` is (Y, X) or (Z, Y, X).
    order, sizes = [names.index(letter) for letter in "ZYX" if letter in names], known_sizes(about)
    return MeasuredPSF(pixels=whole.transpose(order), pixel_size=tuple(sizes.get(letters[kept[i]]) for i in order))


def known_sizes(about: ImageMeta) -> dict[str, float]:
    """Return the known sizes of a pixel in micrometres, by dimension."""
    whole = about.filled()
    sizes = zip(whole.axes.letters, whole.scale, whole.units, strict=True)
    return {letter: abs(float(s)) * MICROMETRES[unit] for letter, s, unit in sizes if unit in MICROMETRES and s}


def _completed(optics: Optics, about: ImageMeta) -> Optics:
    letters = about.axes.letters
    if optics.pixel_size is None:
        x, y = _length(about, "X", "pixel_size"), _length(about, "Y", "pixel_size")
        if abs(x - y) > SAME * max(x, y):
            raise OptionError(f"the pixels are {x:g} x {y:g} micrometres, and a computed PSF needs square ones")
        optics = replace(optics, pixel_size=(x + y) / 2)
    if optics.z_step is None:
        # Without planes only the PSF in focus counts, which a z step of 0 stands for.
        optics = replace(optics, z_step=_length(about, "Z", "z_step") if "Z" in letters else 0.0)
    return optics


def _length(about: ImageMeta, letter: str, name: str) -> float:
    """Return the size of a pixel along one dimension, in micrometres."""
    whole, index = about.filled(), about.axes.letters.index(letter)
    # A scale without a unit of length may be 1 for want of a better one, and must not pass for micrometres.
    unit = whole.units[index]
    if unit not in MICROMETRES:
        raise OptionError(
            f"the image does not say how large a pixel is along {letter} (its unit is {unit}): give the "
            f"{name.replace('_', ' ')} ({name}) in micrometres"
            + (", or 0 to treat every plane by itself" if name == "z_step" else "")
        )
    return float(whole.scale[index]) * MICROMETRES[unit]
