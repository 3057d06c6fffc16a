"""Find objects like those that were clicked on with a network that learns from the clicks to draw a heat map.

Planes are shrunk until the objects have one size, so that one small network fits objects of any size. The crops that it
is trained on are turned, scaled and deformed by the maps of `augment`.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from napari_genrecon.engine.run import Progress
from napari_genrecon.engine.tiles import TileGrid
from napari_genrecon.models import load_network
from napari_genrecon.models.networks import RARE
from napari_genrecon.numerics.blobs.filters import heights_at
from napari_genrecon.numerics.blobs.maxima import find_maxima, refined
from napari_genrecon.numerics.blobs.ring_features import even
from napari_genrecon.numerics.resample import resize_matrix
from napari_genrecon.numerics.symmetries import WAYS, turned
from napari_genrecon.tasks.detect.candidates import AROUND, Candidates, Size, filters_around
from napari_genrecon.tasks.detect.finders import SMALLEST_PLANE, TILE
from napari_genrecon.training import task_recipe
from napari_genrecon.training.data.augment import draw_places
from napari_genrecon.training.data.dataset import Dataset

if TYPE_CHECKING:
    from napari_genrecon.models.runtime import Model

__all__ = ["FOLDS", "Marked", "Picture", "heat_steps", "train_steps"]

Floats = NDArray[np.float64]

FOLDS = 3  # of the cross-validation: every one costs a training of some seconds
_OBJECT = 8.0  # pixels: full width at half maximum of the objects in the shrunk planes; they are then 11 across
_CROP = 32  # pixels: an object and its neighbours; with 48 a training takes 1.7 times as long
_CROPS, _HELD_OUT = 192, 16  # crops to train on, and to tell the loss on
_GAIN, _SHIFT = 0.2, 0.1  # largest changes of contrast and brightness, in parts of the range of a plane
_WIDTH = 0.2  # s.d. of the heat around a centre, in sizes of the object
_CERTAIN = 0.5  # sizes around a click within which there is no other object


class Picture(NamedTuple):
    """A plane shrunk until its objects have one size, and its pixels per pixel of the plane along y and x."""

    channels: NDArray[np.float32]  # (C, y, x), from the median of each and in parts of its range
    scale: Floats  # (2,)

    @classmethod
    def of(cls, channels: NDArray[np.floating], size: Size) -> Picture:
        """Shrink a plane (C, Y, X)."""
        shape = channels.shape[1:]
        lengths = [min(n, max(SMALLEST_PLANE, round(n * _OBJECT / size.fwhm))) for n in shape]
        rows, columns = (resize_matrix(n, length) for n, length in zip(shape, lengths, strict=True))
        small = np.stack([rows @ even(channel) @ columns.T for channel in channels])
        return cls(small.astype(np.float32), np.array(lengths) / shape)

    def inward(self, places: Floats) -> Floats:
        """Return where places of the plane lie in the picture."""
        return (places + 0.5) * self.scale - 0.5

    def outward(self, places: Floats) -> Floats:
        """Return where places of the picture lie in the plane."""
        return (places + 0.5) / self.scale - 0.5


class Marked(NamedTuple):
    """A picture of which it is partly known where objects are."""

    picture: Picture
    clicks: Floats  # (N, 2) in the picture
    folds: NDArray[np.intp]  # (N,) of the clicks
    nearest: NDArray[np.intp]  # (y, x): fold of the nearest click
    complete: NDArray[np.bool_]  # (y, x): where everything is clicked on
    known: NDArray[np.bool_]  # (y, x): there, and around each click, where it is known what is an object
    size: float  # pixels of the picture: that of the objects

    @classmethod
    def of(
        cls, picture: Picture, clicks: Floats, folds: NDArray[np.intp], region: NDArray[np.bool_], size: Size
    ) -> Marked:
        """Mark a picture with clicks and a region (Y, X) of its plane, in which everything is clicked on."""
        places, shape = picture.inward(clicks), picture.channels.shape[1:]
        grid: Floats = np.moveaxis(np.indices(shape, np.float64), 0, -1).reshape(-1, 2)
        gaps, click = cKDTree(places).query(grid)
        pixels = size.fwhm * float(picture.scale.mean())
        centres = np.clip(np.round(picture.outward(grid)).astype(int), 0, np.array(region.shape) - 1)
        complete = region[tuple(centres.T)].reshape(shape)
        known = complete | (gaps < _CERTAIN * pixels).reshape(shape)
        return cls(picture, places, folds, folds[click].reshape(shape), complete, known, pixels)

    def without(self, fold: int | None) -> tuple[Floats, NDArray[np.bool_]]:
        """Return the clicks, and where it is known what is an object, that are not in a fold."""
        kept = self.folds != fold
        return self.clicks[kept], self.known if fold is None else self.known & (self.nearest != fold)

    def judges(self, places: Floats, fold: int) -> NDArray[np.bool_]:
        """Return which places of the plane lie where everything is clicked on, nearest to a click of a fold."""
        nearest = np.round(self.picture.inward(places)).astype(int)
        index = tuple(np.clip(nearest, 0, np.array(self.complete.shape) - 1).T)
        return np.asarray(self.complete[index] & (self.nearest[index] == fold))


# --- training ---


def train_steps(marked: list[Marked], fold: int | None, device: str) -> Generator[Progress, None, Model]:
    """Train a network on all marks that are not in a fold.

    Parameters
    ----------
    marked : list of Marked
        Pictures with clicks.
    fold : int or None
        Fold of the clicks to leave out.
    device : str
        Where to train.

    Yields
    ------
    Progress
        After every step.

    Returns
    -------
    Model
        Draws the logarithm of the odds of a centre.
    """
    from napari_genrecon.training.session import train_aside_steps

    options = task_recipe("detect").options(device=device)
    dataset = yield from _dataset(marked, fold)
    steps = train_aside_steps(dataset, options, name="clicks", note="learning from the clicks")
    card, content = yield from steps
    return load_network(card, device, content)


def _dataset(marked: list[Marked], fold: int | None) -> Generator[Progress, None, Dataset]:
    """Cut crops, of which half are around clicks, with the heat and where it is known."""
    rng = np.random.default_rng(0)
    known = [each.without(fold) for each in marked]
    clicks = [(i, place) for i, (places, _) in enumerate(known) for place in places]
    # (N, 3): plane, y and x
    free = np.concatenate([np.insert(np.argwhere(where), 0, i, axis=1) for i, (_, where) in enumerate(known)])
    count = _CROPS + _HELD_OUT
    x = np.empty((count, marked[0].picture.channels.shape[0], _CROP, _CROP), np.float32)
    targets = np.empty((count, 2, _CROP, _CROP), np.float32)
    for index in range(count):
        yield Progress(0, 0, "cutting crops around the clicks")
        if index % 2:
            plane, place = clicks[index // 2 % len(clicks)]
            place = place + rng.uniform(-_CROP / 3, _CROP / 3, 2)
        else:
            plane, *place = free[rng.integers(len(free))]
        x[index], targets[index] = _crop(rng, marked[plane], *known[plane], np.asarray(place))
    return Dataset(
        x=x, targets=targets, source=np.zeros(count, np.int64),
        place=np.zeros((count, 3), np.int64), label=np.zeros(count, np.int64), held_out=np.arange(count) >= _CROPS,
        options={},
    )  # fmt: skip


def _crop(
    rng: np.random.Generator, marked: Marked, clicks: Floats, known: NDArray[np.bool_], place: Floats
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return a crop (C, y, x) around a place, turned and deformed, and its heat and where that is known (2, y, x)."""
    where = draw_places(rng, _CROP) + (place - (_CROP - 1) / 2)[:, None, None]
    pixels = np.stack([ndimage.map_coordinates(c, where, order=1, mode="mirror") for c in marked.picture.channels])
    pixels = pixels * np.exp(rng.uniform(-_GAIN, _GAIN)) + rng.uniform(-_SHIFT, _SHIFT)
    gaps = cdist(where.reshape(2, -1).T, clicks, "sqeuclidean").min(axis=1).reshape(where.shape[1:])
    heat = np.exp(-gaps / (2 * (_WIDTH * marked.size) ** 2))
    told = ndimage.map_coordinates(known.astype(np.float32), where, order=0, mode="constant")
    return pixels.astype(np.float32), np.stack([heat, told]).astype(np.float32)


# --- use ---


def heat_steps(
    model: Model,
    picture: Picture,
    values: NDArray[np.float32],
    size: Size,
    rho: tuple[float, float],
    plane: int,
) -> Generator[Progress, None, Candidates]:
    """Find the maxima of the heat map of a plane.

    Parameters
    ----------
    model : Model
        A network that `train_steps` trained.
    picture : Picture
        The plane as the network takes it.
    values : (Y, X) ndarray
        The plane with noise of s.d. 1.
    size : Size
        Size of the objects.
    rho : (float, float)
        Correlation of the noise along y and x.
    plane : int
        Number of the plane.

    Yields
    ------
    Progress
        Before every run of the network.

    Returns
    -------
    Candidates
        Their only feature is the logarithm of the odds; heights are those under the filter of the objects' size.
    """
    shape = picture.channels.shape[1:]
    halo, stride = (geometry.along("YX", 0) for geometry in (model.card.halo, model.card.stride))
    # Mirrored sides that are no multiples of the stride would lie on another grid of the network than unmirrored ones.
    more = [(0, -side % step) for side, step in zip(shape, stride, strict=True)]
    channels = np.pad(picture.channels, [(0, 0), *more], mode="symmetric")
    odds = np.empty(channels.shape[1:], np.float32)
    grid = TileGrid(shape=odds.shape, tile=(TILE, TILE), halo=halo, scale=(1, 1), stride=stride)
    for tile in grid.tiles():
        part, ways = channels[:, *tile.src], []
        # Even ways mirror and do not turn, so that tiles keep their sides; done twice, each undoes itself. The mean of
        # the answers is steadier than one.
        for way in range(0, WAYS, 2):
            yield Progress(0, 0, "drawing heat maps")
            ways.append(turned(model(turned(part, way)), way))
        odds[tile.dst] = np.mean(ways, axis=0)[tile.crop]
    odds = odds[: shape[0], : shape[1]]
    where = find_maxima(odds, RARE)
    places = picture.outward(refined(odds, where, (1.0, 1.0))[0])
    places = np.clip(places, 0, np.array(values.shape) - 1)
    level = np.full(len(places), AROUND.index(1.0))
    heights = heights_at(-values if size.dark else values, places, level, filters_around(size, rho))
    found = odds[tuple(where.T)].astype(np.float64)[:, None]
    return Candidates(places, np.full(len(places), plane), heights.astype(np.float64)[:, None], found)
