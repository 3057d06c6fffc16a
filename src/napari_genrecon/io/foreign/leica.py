"""Leica LIF and LOF, through liffile: frame by frame, an image at a time."""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.errors import ImageError
from napari_genrecon.io.foreign.metadata import stated
from napari_genrecon.io.image_file import (
    MICROMETRE,
    ImageFile,
    Series,
    Sizes,
    about_with,
    chosen_series,
    resolved_axes,
)  # fmt: skip
from napari_genrecon.io.lazy import from_planes

if TYPE_CHECKING:
    from liffile import LifImage

__all__ = ["open_leica"]

_OPEN = 4  # files that stay open: opening one parses all its metadata, and would be repeated for every frame
_READING = Lock()  # a file has one read position, which threads would move under each other
_LUTS = {
    "red": "#ff0000", "green": "#00ff00", "blue": "#0000ff", "cyan": "#00ffff", "magenta": "#ff00ff",
    "yellow": "#ffff00", "gray": "#ffffff", "grey": "#ffffff",
}  # fmt: skip

_SETTINGS = ("ATLConfocalSettingDefinition", "ATLCameraSettingDefinition")
_OBJECTIVE = {
    "ObjectiveName": "model",
    "NumericalAperture": "na",
    "Magnification": "magnification",
    "Immersion": "immersion",
    "RefractionIndex": "refractive_index",
}


def open_leica(path: Path, axes: str | None, series: int | str | None = None) -> ImageFile:
    """Open an image of a LIF or LOF file."""
    # Part of the key of the cache: a file that was changed is opened anew.
    stamp = path.stat().st_mtime_ns
    images = _opened(str(path), stamp).images
    if not len(images):
        raise ImageError(f"{path.name} holds no image")
    listed = [Series(str(image.path or image.name), tuple(image.shape)) for image in images]
    chosen = chosen_series(path, listed, series)
    image = images[chosen]
    frames, letters = image.frames, "".join(image.dims)
    # A frame must be a plane: one of a line scan (T, X), say, is not.
    if not letters.isalpha() or not letters.endswith(("YX", "YXS")):
        raise ImageError(f"{path.name} holds the dimensions {image.dims}: save it as OME-TIFF in Fiji")
    outer = tuple(image.shape[: image.ndim - len(frames.frame_shape)])
    read = partial(_frame, str(path), stamp, chosen)
    data = from_planes(read, outer, tuple(frames.frame_shape), np.dtype(image.dtype))
    n = image.sizes.get("C", 1)
    colors = tuple(_LUTS.get(name.lower(), "") for name in _luts(image))
    about = about_with(
        resolved_axes(axes, letters, tuple(data.shape)),
        _sizes(image),
        channel_colors=colors if n == len(colors) > 1 and all(colors) else (),
        acquisition=_acquisition(image) or None,
    )
    several = tuple(listed) if len(listed) > 1 else ()
    return ImageFile(data=data, about=about, name="", path=path, series=several, chosen=chosen)


@lru_cache(maxsize=_OPEN)
def _opened(path: str, _stamp: int) -> Any:
    from liffile import LifFile

    return LifFile(path)


def _frame(path: str, stamp: int, image: int, index: tuple[int, ...]) -> NDArray[Any]:
    with _READING:
        frames = _opened(path, stamp).images[image].frames
        # An image of one frame has no outer dimensions to index.
        return np.array(frames[index] if index else frames[0])


def _sizes(image: LifImage) -> Sizes:
    """Return sizes from the coordinates of the pixels, which are in metres and seconds."""
    found: Sizes = {}
    for letter, places in image.coords.items():
        if letter in "TZYX" and len(places) > 1:
            # The mean step; a stage may run downwards.
            step = abs(float(places[-1] - places[0])) / (len(places) - 1)
            found[letter] = (step, "second") if letter == "T" else (step * 1e6, MICROMETRE)
    return found


def _acquisition(image: LifImage) -> dict[str, Any]:
    """Return what the settings of the microscope state; see `io.tiff.acquisition` for the names."""
    settings = next((one for name in _SETTINGS for one in image.xml_element.iter(name)), None)
    if settings is None:
        return {}
    objective = stated({ours: settings.get(theirs) for theirs, ours in _OBJECTIVE.items()})
    return stated({"microscope": settings.get("MicroscopeModel"), "objective": objective})


def _luts(image: LifImage) -> list[str]:
    channels = image.xml_element.iterfind("./Data/Image/ImageDescription/Channels/ChannelDescription")
    return [str(channel.get("LUTName", "")) for channel in channels]
