"""Write the OME-XML of a file: sizes, channels, the place of the image, its record and its display settings."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from napari_genrecon import __version__
from napari_genrecon.errors import ImageError
from napari_genrecon.io.image_file import MICROMETRES, UNIT_SYMBOLS, ImageMeta
from napari_genrecon.io.record.provenance import LAYER_NAMESPACE, RECORD_NAMESPACE

__all__ = ["ome_text"]

_LENGTHS = {*MICROMETRES, "pixel"}
_TIMES = UNIT_SYMBOLS.keys() - _LENGTHS
_SIZE_KEYS = {"X": "PhysicalSizeX", "Y": "PhysicalSizeY", "Z": "PhysicalSizeZ", "T": "TimeIncrement"}


def ome_text(about: ImageMeta, shape: tuple[int, ...], dtype: np.dtype[Any], identity: str | None = None) -> bytes:
    """Return the OME-XML of an image whose planes are the pages of a TIFF file, in C order.

    Parameters
    ----------
    about : ImageMeta
        Metadata of the pixels; Y and X (and colour samples) come last.
    shape, dtype
        Shape and type of the image.
    identity : str, optional
        UUID of the file; a random one if not given.

    Raises
    ------
    ImageError
        If OME has no room for the dimensions.
    """
    import tifffile

    height, width, *samples = shape[about.axes.y :]
    planes = math.prod(shape[: about.axes.y])
    known = {} if identity is None else {"UUID": f"urn:uuid:{identity}"}
    text = tifffile.OmeXml(Creator=f"napari-genrecon {__version__}", **known)
    # As tifffile counts: pages, separate samples, depth, height, width, samples of a pixel.
    stored = (planes, 1, 1, height, width, samples[0] if samples else 1)
    try:
        text.addimage(dtype.name, shape, stored, **_metadata(about, shape))
    except tifffile.OmeXmlError as error:
        raise ImageError(
            f"OME-TIFF has no room for the dimensions {about.axes.letters}: beside T, C and Z it holds no further one"
        ) from error
    return str(text.tostring(declaration=True)).encode()


def _metadata(about: ImageMeta, shape: tuple[int, ...]) -> dict[str, Any]:
    metadata: dict[str, Any] = {"axes": about.axes.letters}
    # OME knows sizes of space and time only, each with the symbol of a unit of its kind.
    for letter, size, unit in zip(about.axes.letters, about.scale, about.units, strict=True):
        if letter in _SIZE_KEYS and unit in (_TIMES if letter == "T" else _LENGTHS) and size > 0:
            metadata[_SIZE_KEYS[letter]] = float(size)
            metadata[f"{_SIZE_KEYS[letter]}Unit"] = UNIT_SYMBOLS[unit]
    if any(about.translate):
        metadata["Plane"] = _positions(about, shape)
    channels = {} if about.axes.rgb else _channels(about, about.axes.n_channels(shape))
    if channels:
        metadata["Channel"] = channels
    notes = []
    if about.record is not None:
        # JSON as one value: the map annotations of OME hold pairs of texts and nothing nested.
        notes.append((RECORD_NAMESPACE, {"record": json.dumps(about.record)}))
    if about.layer is not None:
        notes.append((LAYER_NAMESPACE, {"layer": json.dumps(about.layer)}))
    if notes:
        metadata["MapAnnotation"] = [{"Namespace": namespace, "Value": value} for namespace, value in notes]
    return metadata


def _positions(about: ImageMeta, shape: tuple[int, ...]) -> dict[str, Any]:
    """Return the place of the first pixel, for every plane."""
    planes = math.prod(n for n, letter in zip(shape, about.axes.letters, strict=True) if letter not in "YXS")
    found: dict[str, Any] = {}
    for letter, place, unit in zip(about.axes.letters, about.translate, about.units, strict=True):
        if letter in "XYZ" and unit in _LENGTHS:
            # tifffile wants one entry per plane; the place is that of the image, the same for all.
            found[f"Position{letter}"] = [float(place)] * planes
            found[f"Position{letter}Unit"] = [UNIT_SYMBOLS[unit]] * planes
    return found


def _channels(about: ImageMeta, n: int) -> dict[str, Any]:
    """Return names and colours of `n` channels; those of another number, of axes that were typed, are none of them."""
    found: dict[str, Any] = {"Name": list(about.channel_names)} if len(about.channel_names) == n else {}
    if len(about.channel_colors) == n:
        # A signed 32-bit RGBA integer, opaque.
        numbers = [int(color.lstrip("#"), 16) << 8 | 0xFF for color in about.channel_colors]
        found["Color"] = [n - (1 << 32) if n >= 1 << 31 else n for n in numbers]
    return found
