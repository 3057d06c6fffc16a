"""Grey values of two images along a line, with the noise of the first, as numbers and as a plot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Points
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from napari_genrecon.errors import ImageError
from napari_genrecon.noise import NoiseModel
from napari_genrecon.widgets.compare.pairs import Pair, affine_of
from napari_genrecon.widgets.layers.snapshot import layer_axes, layer_data
from napari_genrecon.widgets.plot import Plot

if TYPE_CHECKING:
    from napari.layers import Layer

__all__ = ["Profile", "ProfilePlot", "line_of", "profile_along"]

_MOST = 2000  # places along a line: more than a dock has pixels
_HEIGHT = 200  # pixels of the plot
_PENS = {"before": "#e8a33d", "after": "#4c9be8"}
_BAND = (76, 155, 232, 70)  # colour of `after`, so that the band belongs to it


@dataclass(frozen=True, slots=True)
class Profile:
    """Grey values along a line.

    Attributes
    ----------
    distance : (N,) ndarray
        Distance from the start of the line, in `unit`.
    before, after : (N,) ndarray
        Grey values; NaN outside the image.
    sigma : (N,) ndarray or None
        Noise s.d. of one pixel of the image before, at the grey value after; None where it is not known.
    unit : str
        Unit of the distance.
    """

    distance: NDArray[Any]
    before: NDArray[Any]
    after: NDArray[Any]
    sigma: NDArray[Any] | None
    unit: str


def line_of(layer: Layer) -> NDArray[Any]:
    """Return the corners of the line that was drawn last, or of all points in turn, in the world, (N, D).

    Raises
    ------
    ImageError
        If there is none.
    """
    if isinstance(layer, Points):
        found = layer.data
    else:
        lines = [i for i, kind in enumerate(layer.shape_type) if kind in ("line", "path")]
        found = layer.data[lines[-1]] if lines else ()
    if len(found) < 2:
        what = "two points" if isinstance(layer, Points) else "a line"
        raise ImageError(f"'{layer.name}' holds {'one point' if len(found) else 'none'}: draw {what} on the image")
    return np.array([layer.data_to_world(corner) for corner in found], float)


def along(corners: NDArray[Any], step: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the distances of places along a line of several corners, (N,), and the places, (N, D)."""
    ends = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(corners, axis=0), axis=1))])
    # One place per pixel of the finer image, and at least both ends of the line.
    n = int(np.clip(np.ceil(ends[-1] / step) + 1, 2, _MOST))
    distance = np.linspace(0.0, ends[-1], n)
    return distance, np.stack([np.interp(distance, ends, each) for each in corners.T], axis=1)


def profile_along(pair: Pair, line: NDArray[Any], point: tuple[float, ...], noise: NoiseModel | None) -> Profile:
    """Return the grey values of both images along a line of the plane on screen.

    Parameters
    ----------
    pair : Pair
        The images. Of colours the mean is taken.
    line : (N, D) ndarray
        Corners of the line in the world, of which Y and X count.
    point : tuple of float
        Point of the world whose plane is on screen.
    noise : NoiseModel or None
        Noise of the image before.
    """
    step = float(np.abs(np.asarray(pair.fine.scale, float)[-2:]).min())
    distance, places = along(line[:, -2:], step)
    before, after = (_values(layer, places, point) for layer in (pair.before, pair.after))
    # Of colours the mean is drawn, whose noise no model describes.
    sigma = None if noise is None or pair.fine.rgb else noise.sigma_at(np.nan_to_num(after))
    return Profile(distance, before, after, sigma, str(pair.fine.units[-1]))


def _values(layer: Layer, places: NDArray[Any], point: tuple[float, ...]) -> NDArray[Any]:
    """Return the grey values of a layer at places (Y, X) of the world, interpolated linearly within its plane."""
    data, n = layer_data(layer), layer.ndim
    world = np.zeros((len(places), n))
    # The point has as many dimensions as the viewer, the layer may have fewer: both end with Y and X.
    world[:] = ([0.0] * n + list(point))[-n:]
    world[:, -2:] = places
    matrix, offset = affine_of(layer)
    # napari's own mapping takes one point at a time; a product takes all.
    pixels = world @ matrix.T + offset  # (N, D)
    hidden = tuple(int(np.floor(i + 0.5)) for i in pixels[0, : n - 2])
    shape = data.shape[n - 2 : n]
    if any(not 0 <= i < length for i, length in zip(hidden, data.shape, strict=False)):
        return np.full(len(places), np.nan)
    # Only the box around the line is read, with the neighbours between which is interpolated: the image may be lazy.
    low = np.clip(np.floor(pixels[:, -2:].min(axis=0)).astype(int), 0, np.array(shape) - 1)
    high = np.clip(np.ceil(pixels[:, -2:].max(axis=0)).astype(int) + 1, low + 1, shape)
    box = np.asarray(data[(*hidden, slice(low[0], high[0]), slice(low[1], high[1]))], float)
    box = box.mean(axis=-1) if layer.rgb else box
    # A pixel reaches half its size beyond its middle; there `nearest` stands in for the neighbour that is missing.
    inside = ((pixels[:, -2:] >= -0.5) & (pixels[:, -2:] <= np.array(shape) - 0.5)).all(axis=1)
    found = map_coordinates(box, (pixels[:, -2:] - low).T, order=1, mode="nearest")
    return np.where(inside, found, np.nan)


def channel_index(pair: Pair, point: tuple[float, ...]) -> int:
    """Return the channel on screen of the image before; 0 if it has no channel axis."""
    axes, layer = layer_axes(pair.before), pair.before
    if "C" not in axes.letters:
        return 0
    matrix, offset = affine_of(layer)
    index = matrix @ np.asarray(([0.0] * layer.ndim + list(point))[-layer.ndim :]) + offset
    return int(np.clip(np.floor(index[axes.letters.index("C")] + 0.5), 0, None))


class ProfilePlot(Plot):
    """Plot of a profile for a dock."""

    def __init__(self) -> None:
        super().__init__(_HEIGHT)

    def draw(self, found: Profile | None) -> None:
        """Draw a profile, or hide the plot."""
        self.setVisible(found is not None)
        if found is None:
            return
        plot, names = self.items, [f'<span style="color: {pen}">{name}</span>' for name, pen in _PENS.items()]
        plot.clear()
        plot.setTitle("&nbsp;&nbsp;".join(names), size="9pt")
        plot.setLabel("left", "grey value")
        plot.setLabel("bottom", f"distance ({found.unit})")
        if found.sigma is not None:
            self._draw_band(found.distance, np.nan_to_num(found.after), np.nan_to_num(found.sigma))
        for values, pen in zip((found.before, found.after), _PENS.values(), strict=True):
            # "finite" leaves gaps where a value is NaN.
            plot.plot(found.distance, values, pen={"color": pen, "width": 1.5}, connect="finite")

    def _draw_band(self, distance: NDArray[Any], middle: NDArray[Any], half: NDArray[Any]) -> None:
        import pyqtgraph as pg

        edges = [pg.PlotCurveItem(distance, middle + sign * half, pen=None) for sign in (-1, 1)]
        for item in (*edges, pg.FillBetweenItem(*edges, brush=pg.mkBrush(*_BAND))):
            self.items.addItem(item)
