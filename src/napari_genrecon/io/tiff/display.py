"""Channel names, colours and display limits of a TIFF file without OME-XML."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.io.layer_display import hex_color, lut_display

if TYPE_CHECKING:
    from tifffile import TiffFile

__all__ = ["tiff_display"]

_COUNTERS = re.compile(r"^([czt]:\d+/\d+\s*)+(-\s*)?")  # ImageJ begins the labels of hyperstacks with counters
_SHADES = 256  # entries of a lookup table of ImageJ


def tiff_display(tif: TiffFile, letters: str, shape: tuple[int, ...], lut: NDArray[Any] | None) -> dict[str, Any]:
    """Return the channel names, colours and limits that a file states, as fields of `ImageMeta`.

    Parameters
    ----------
    tif : tifffile.TiffFile
        Without OME-XML.
    letters, shape
        Dimensions of the image.
    lut : (3, N) ndarray, optional
        The colours of its first page, from 0 on, where they are only a way to show it.
    """
    n = shape[letters.index("C")] if "C" in letters else 1
    # Each program has its own place for names and colours.
    if tif.is_imagej:
        return _imagej_display(tif.imagej_metadata or {}, n, lut)
    if tif.is_lsm:
        return _lsm_display(tif.lsm_metadata or {}, n)
    return lut_display([lut]) if lut is not None else {}


def _imagej_display(meta: dict[str, Any], n: int, lut: NDArray[Any] | None) -> dict[str, Any]:
    luts = [np.asarray(table) for table in _listed(meta.get("LUTs")) or ([] if lut is None else [lut])]
    grey = n > 1 and meta.get("mode") == "grayscale"  # ImageJ shows each channel alone, without its colour
    usable = len(luts) == n and all(table.shape == (3, _SHADES) for table in luts)
    found = lut_display(luts) if usable and not grey else {}
    # ImageJ stores limits of several channels as one list, low and high in turn.
    ends = meta.get("Ranges") or ((meta.get("min"), meta.get("max")) if n == 1 else ())
    limits = tuple(zip(ends[::2], ends[1::2], strict=False))
    if len(limits) == n and all(_is_range(*pair) for pair in limits):
        found["channel_limits"] = tuple((float(low), float(high)) for low, high in limits)
    names = _names(_listed(meta.get("Labels")), n)
    return found | ({"channel_names": names} if names else {})


def _listed(value: object) -> list[Any]:
    """Return a list; tifffile gives the only one of several as it is."""
    return [] if value is None else list(value) if isinstance(value, list | tuple) else [value]


def _is_range(low: Any, high: Any) -> bool:
    numbers = isinstance(low, int | float) and isinstance(high, int | float)
    return numbers and bool(np.isfinite([low, high]).all()) and low < high


def _names(labels: Sequence[str], n: int) -> tuple[str, ...]:
    """Return names of the channels from the labels of all planes, the channel being counted first.

    Labels that are the same for all channels name the file, and those that differ along a channel its planes.
    """
    # Only the first line of a label: some programs append the metadata of the plane.
    plain = [_COUNTERS.sub("", str(label).splitlines()[0] if label else "").strip() for label in labels]
    names = tuple(plain[:n])
    each = all(label == names[i % n] for i, label in enumerate(plain))
    return names if n > 1 and len(set(names)) == n and all(names) and each else ()


def _lsm_display(meta: dict[str, Any], n: int) -> dict[str, Any]:
    found = meta.get("ChannelColors") or {}
    colors, names = found.get("Colors") or [], found.get("ColorNames") or []
    display: dict[str, Any] = {}
    if len(colors) == n:
        # Stored as red, green, blue and a fourth byte that is not used.
        display["channel_colors"] = tuple(hex_color(color[:3]) for color in colors)
    if len(names) == n and all(names):
        display["channel_names"] = tuple(map(str, names))
    return display
