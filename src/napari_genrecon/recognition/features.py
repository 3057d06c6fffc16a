"""Describe objects by blocks of features: what a network sees, shape, texture, and grey values."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.engine.run import Progress
from napari_genrecon.models import ModelCard, encode
from napari_genrecon.numerics.resample import binned
from napari_genrecon.recognition.objects import AT_ONCE, SIDE, Pictures, Scene, cut_pictures

__all__ = ["BLOCKS", "Blocks", "describe_steps", "joined"]

BLOCKS = ("network", "shape", "texture", "intensity")
"""Names of the blocks, in their order in a saved model; points and whole planes have no shape."""

Blocks = Mapping[str, NDArray[np.float32]]
"""Features of N objects: (N, F) by the name of the block."""

_SCALES = (1, 2, 4)  # pixels, divisors of SIDE: sides of the squares that are averaged before textures are read
_BANDS = (1.0, 2.0, 4.0, 8.0)  # pixels: Gaussian s.d. of the lower end of each band of spatial frequency
_PERCENTILES = (1, 5, 25, 50, 75, 95, 99)  # the usual summary of a histogram
_RINGS = 6  # around the middle, whose mean grey values make a radial profile


def describe_steps(
    scene: Scene, side: int, encoder: ModelCard, *, device: str = "auto", zoom: float = 1.0
) -> Generator[Progress, None, Blocks]:
    """Compute all blocks of features of the objects of one image.

    Parameters
    ----------
    scene : Scene
        Image and objects.
    side : int
        Side of the crops in pixels.
    encoder : ModelCard
        Model whose feature maps are read.
    device : str
        Where to run it.
    zoom : float
        See `cut_pictures`.

    Yields
    ------
    Progress
        After every 16 objects.

    Returns
    -------
    dict of str to (N, F) ndarray of float32
    """
    parts = []
    for start in range(0, len(scene), AT_ONCE):
        yield Progress(start, len(scene), "describing the objects")
        # Only the pictures of this step are held: those of 20,000 objects would take gigabytes.
        pictures = cut_pictures(scene, side, slice(start, start + AT_ONCE), zoom=zoom)
        parts.append(_described(pictures, encoder, device))
    return joined(parts)


def joined(parts: list[Blocks]) -> Blocks:
    """Put the features of several groups of objects below each other."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _described(pictures: Pictures, encoder: ModelCard, device: str) -> Blocks:
    blocks = {
        "network": encode(pictures.relative, encoder, device),
        # Textures are read in the mean of the channels, so that their number does not grow with that of the channels.
        "texture": _texture(pictures.relative.mean(axis=1), pictures.inside),
        # Grey values as they are, and on the scale of the image, on which another exposure changes little.
        "intensity": np.concatenate([_greys(x, pictures.inside) for x in (pictures.grey, pictures.relative)], axis=1),
    }
    if pictures.outlines is not None:
        blocks["shape"] = pictures.outlines
    # In the order of BLOCKS, in which the weights of a saved model are written.
    return {name: blocks[name] for name in BLOCKS if name in blocks}


# --- texture ---


def _texture(x: NDArray[np.float32], inside: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (N, F) features of (N, S, S) pictures inside the objects: patterns at three scales, strength of bands."""
    patterns = [_patterns(binned(x, scale), binned(inside, scale)) for scale in _SCALES]
    return np.concatenate([*patterns, _bands(x, inside)], axis=1).astype(np.float32)


def _patterns(x: NDArray[np.float32], inside: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (N, 10) shares of local binary patterns (Ojala et al., IEEE TPAMI 24, 2002).

    A pixel's pattern says which of its 8 neighbours are brighter; those with at most one bright and one dark stretch
    are counted by the number of brighter ones, which does not change when the picture is turned, and all others
    together.
    """
    side = x.shape[1] - 2
    # The neighbours in order around the pixel: those that are brighter then follow each other along axis 0.
    ring = ((0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0))
    centre = x[:, 1:-1, 1:-1]
    bright = np.stack([x[:, r : r + side, c : c + side] >= centre for r, c in ring])  # (8, N, side, side)
    # np.roll closes the ring: the first neighbour is compared with the last. Two changes are one bright stretch.
    changes = (bright != np.roll(bright, 1, axis=0)).sum(axis=0)
    code = np.where(changes <= 2, bright.sum(axis=0), 9)
    # Pixels on the border of the object count by the share of them that is inside.
    weight = inside[:, 1:-1, 1:-1]
    counts = np.stack([(weight * (code == pattern)).sum(axis=(1, 2)) for pattern in range(10)], axis=1)
    # An object that is far smaller than a pixel of its picture may weigh nothing at all: its shares are then 0.
    shares: NDArray[np.float32] = counts / (weight.sum(axis=(1, 2)) + 1e-6)[:, None]
    return shares


def _bands(x: NDArray[np.float32], inside: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (N, 2 B) logarithms of the mean bright and dark parts of bands of spatial frequency."""
    from scipy.ndimage import gaussian_filter

    # (N, S, S) each; the last one is only the lower end of the coarsest band.
    blurred = [gaussian_filter(x, (0, sigma, sigma)) for sigma in (*_BANDS, 2 * _BANDS[-1])]
    total = inside.sum(axis=(1, 2)) + 1e-6
    found = []
    for fine, coarse in pairwise(blurred):
        # The mean of a band is near 0: its bright and its dark part are averaged apart.
        for part in (fine - coarse, coarse - fine):
            # 1e-4 of the range of the image keeps the logarithm of a flat object finite.
            found.append(np.log((part.clip(0) * inside).sum(axis=(1, 2)) / total + 1e-4))
    return np.stack(found, axis=1)


# --- grey values ---


def _greys(x: NDArray[np.float32], inside: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (N, F) statistics of the (N, C, S, S) grey values in the objects and around them, and radial profiles."""
    # Every object has another number of pixels; the functions for NaN leave the others out.
    own = np.where(inside[:, None] > 0.5, x, np.nan)
    none = ~(inside > 0.5).any(axis=(1, 2))
    own[none] = x[none]  # an object far smaller than a pixel of its picture
    percentiles = np.nanpercentile(own, _PERCENTILES, axis=(2, 3))  # (P, N, C)
    # (N, C); 0 for whole planes, which have nothing around them.
    around = (x * (1 - inside[:, None])).sum(axis=(2, 3)) / ((1 - inside).sum(axis=(1, 2)) + 1e-6)[:, None]
    single = [np.nanmean(own, axis=(2, 3)), np.nanstd(own, axis=(2, 3)), around]
    profile = [(x * ring).sum(axis=(2, 3)) / ring.sum() for ring in _rings()]
    return np.concatenate([*percentiles, *single, *profile], axis=1).astype(np.float32)


def _rings() -> NDArray[np.float32]:
    """Return (R, S, S) rings of equal width around the middle."""
    y, x = np.indices((SIDE, SIDE)) - (SIDE - 1) / 2
    # Pixels in the corners, farther than half a side from the middle, get a number of no ring.
    number = np.floor(np.hypot(y, x) / (SIDE / 2) * _RINGS)
    return np.stack([number == ring for ring in range(_RINGS)]).astype(np.float32)
