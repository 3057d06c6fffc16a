"""Display settings of channels in OME-Zarr. They are often incomplete: what is missing is left to the viewer."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

__all__ = ["WHITE", "channels_of"]

WHITE = "#ffffff"
"""Colour of channels that have none."""


def channels_of(omero: Any, n: int, dtype: np.dtype[Any]) -> dict[str, Any]:
    """Return names, colours and display limits of `n` channels, as fields of `ImageMeta`; only what all channels have.

    Parameters
    ----------
    omero : Any
        The object of that name in the metadata, as it was found.
    n : int
        Number of channels.
    dtype : dtype
        Type of the pixels: limits that are its whole range are ignored.
    """
    channels = omero.get("channels") if isinstance(omero, dict) else None
    if not isinstance(channels, list) or len(channels) != n or not all(isinstance(one, dict) for one in channels):
        return {}
    names = tuple(str(one.get("label") or "") for one in channels)
    colors = tuple(_color(one.get("color")) for one in channels)
    limits = [_limits(one.get("window"), dtype) for one in channels]
    return {
        # Colours and limits of some channels only would have to be matched with made-up ones: all or none.
        "channel_names": names if any(names) else (),
        # Nobody chose colours where all are white, as nobody chose limits of the whole range.
        "channel_colors": colors if all(colors) and set(colors) != {WHITE} else (),
        "channel_limits": tuple(pair for pair in limits if pair) if all(limits) else (),
    }


def _color(text: Any) -> str:
    # Six digits by the specification; some programs add alpha, or "#".
    found = re.fullmatch(r"#?([0-9a-fA-F]{6})([0-9a-fA-F]{2})?", str(text or ""))
    return f"#{found[1].lower()}" if found else ""


def _limits(window: Any, dtype: np.dtype[Any]) -> tuple[float, float] | None:
    low, high = (window.get("start"), window.get("end")) if isinstance(window, dict) else (None, None)
    if not isinstance(low, int | float) or not isinstance(high, int | float) or not np.isfinite([low, high]).all():
        return None
    # Limits of the whole range mean that nobody chose any: a 12-bit image would be nearly black with them.
    least, most = (np.iinfo(dtype).min, np.iinfo(dtype).max) if dtype.kind in "iu" else (0, 1)
    return (float(low), float(high)) if low < high and (low, high) not in ((least, most), (0, most)) else None
