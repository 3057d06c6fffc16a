"""Put small pictures side by side, for the widgets and for layers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtGui import QImage, QPixmap

__all__ = ["pixmap", "sheet"]

_TINTS = {
    1: ((1.0, 1.0, 1.0),),
    2: ((1.0, 0.0, 1.0), (0.0, 1.0, 0.0)),
    3: ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    4: ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (1.0, 1.0, 1.0)),
}


def sheet(pictures: NDArray[Any], columns: int, gap: int = 1) -> NDArray[np.float32]:
    """Put pictures side by side.

    Parameters
    ----------
    pictures : (N, C, Y, X) ndarray
        Pictures of one size.
    columns : int
        Number of pictures in a row.
    gap : int
        Pixels between them, as dark as the darkest pixel of all pictures.

    Returns
    -------
    (C, Y, X) float32 ndarray
    """
    n, channels, height, width = pictures.shape
    rows = -(-n // columns)
    floor = pictures.min(axis=(0, 2, 3)).astype(np.float32)[:, None, None]
    shape = (channels, rows * (height + gap) - gap, columns * (width + gap) - gap)
    # The copy can be written to; the view cannot.
    out = np.broadcast_to(floor, shape).copy()
    for index, picture in enumerate(pictures):
        y, x = index // columns * (height + gap), index % columns * (width + gap)
        out[:, y : y + height, x : x + width] = picture
    return out


def _stretched(picture: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the (Y, X, 3) colours of a (C, Y, X) picture, each channel stretched over its own range."""
    out = np.zeros((*picture.shape[1:], 3), np.float32)
    for channel, tint in zip(picture, _TINTS[len(picture)], strict=True):
        low, high = np.percentile(channel, [0.5, 99.8])  # a few hot pixels must not set the contrast
        share = np.clip((channel - low) / max(float(high - low), 1e-9), 0, 1).astype(np.float32)
        out += share[..., None] * np.asarray(tint, np.float32)
    return (255 * np.clip(out, 0, 1)).round().astype(np.uint8)


def pixmap(picture: NDArray[Any], width: int) -> QPixmap:
    """Return a (C, Y, X) picture for a label of about this width, with pixels that stay squares."""
    colours = np.ascontiguousarray(_stretched(picture))
    height, columns = colours.shape[:2]
    # The length of a line is given, as Qt expects multiples of 4 bytes; copied, as QImage does not own the array.
    image = QImage(colours.data, columns, height, 3 * columns, QImage.Format.Format_RGB888).copy()
    larger = width >= columns
    mode = Qt.TransformationMode.FastTransformation if larger else Qt.TransformationMode.SmoothTransformation
    # Enlarged by whole numbers, so that all pixels are squares of one size.
    return QPixmap.fromImage(image).scaledToWidth(max(width // columns * columns, columns) if larger else width, mode)
