"""Deform images, labels and points together: one map from places in the result to places in the source.

The map is affine plus a smooth random displacement, a cubic spline through random displacements at a few knots
(Ronneberger et al., MICCAI 2015, section 3.1). An image is read at the mapped places between pixels, labels at the
nearest pixel, and points take the inverse of the map, found by fixed-point iteration.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["LEAST_KNOTS", "CoordinateMap", "Places", "knot_weights", "random_map"]

Floats = NDArray[np.float64]

_SPACING = 64  # px between knots, a few cells: closer ones tear cells apart, distant ones shift the image as a whole
LEAST_KNOTS = (2, 4, 4)  # along Z, Y, X: displacements vary within small images, too, but little from plane to plane
_STEEPEST = 0.4  # px of displacement per px, at most: the iteration below gains a digit in three steps, and none fold
_ALONG_Z = 0.25  # share of the displacement along Z: planes are about four pixels apart in most stacks
_ROUNDS = math.ceil(math.log(np.finfo(np.float64).eps) / math.log(_STEEPEST))
"""Rounds of the fixed-point iteration: each leaves at most `_STEEPEST` of the error, and after these only rounding."""


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Places in a source at which the pixels of one plane of the result are read.

    Attributes
    ----------
    where : (D, Y, X) ndarray of float64
        Coordinates within the source.
    outside : (Y, X) ndarray of bool
        Pixels whose place lies beyond the edge of the source.
    """

    where: Floats
    outside: NDArray[np.bool_]

    def linear(self, source: NDArray[Any], fill: float) -> NDArray[np.floating[Any]]:
        """Interpolate a (Y, X) or (Z, Y, X) source linearly; pixels outside get the grey value `fill`.

        Returns
        -------
        (Y, X) ndarray
            float32, or float64 for a source of more than 16 bits per pixel (but float32).
        """
        from scipy import ndimage

        # float32 holds every integer of 16 bits exactly.
        narrow = source.dtype.itemsize <= 2 or source.dtype == np.float32
        kind = np.float32 if narrow else np.float64
        # `map_coordinates` reads no floats of 16 bits, nor of more than 64.
        source = source.astype(kind, copy=False) if source.dtype.kind == "f" else source
        found = ndimage.map_coordinates(source, self.where, output=kind, order=1, mode="nearest")
        found[self.outside] = fill
        return np.asarray(found)

    def nearest(self, labels: NDArray[Any]) -> NDArray[Any]:
        """Return the label of the nearest pixel, and 0 outside."""
        # `Places.where` was clipped to the source, so that no rounded place can lie beyond it.
        found = labels[tuple(np.rint(self.where).astype(np.intp))]
        found[self.outside] = 0
        return np.asarray(found)


@dataclass(frozen=True, slots=True, eq=False)
class CoordinateMap:
    """Backward map of a plane or a stack: where each pixel of the result lies in the source.

    Attributes
    ----------
    shape : tuple of int
        (Y, X) or (Z, Y, X), of source and result.
    matrix : (D, D) ndarray
        Linear part, about the centre of the image.
    knots : (D, ...) ndarray or None
        Displacements at the knots, in pixels, one array per dimension; None for no displacement.
    """

    shape: tuple[int, ...]
    matrix: Floats
    knots: Floats | None = None

    @property
    def is_identity(self) -> bool:
        """Whether nothing moves."""
        return self.knots is None and np.array_equal(self.matrix, np.eye(len(self.shape)))

    def backward(self, points: Floats) -> Floats:
        """Return where the (N, D) places of the result lie in the source."""
        return self._affine(points) + self._displacement(points)

    def forward(self, points: Floats) -> Floats:
        """Return where (N, D) places of the source lie in the result: the inverse of `backward`."""
        # First guess: the inverse of the affine part alone.
        inverse = np.linalg.inv(self.matrix)
        found = (points - self._centre) @ inverse.T + self._centre
        for _ in range(_ROUNDS if self.knots is not None else 0):
            # A Newton step with the affine part in place of the slope: what is missing in the source, seen in the
            # result. The displacement is never steep (see `_STEEPEST`), so every step shrinks the error.
            found = found + (points - self.backward(found)) @ inverse.T
        return found

    def places(self, plane: int = 0) -> Places:
        """Return the places of one plane of the result, the `plane`-th of a stack."""
        grid = [np.array([float(plane)])] if len(self.shape) == 3 else []
        grid += [np.arange(float(n)) for n in self.shape[-2:]]
        mesh = np.stack(np.meshgrid(*grid, indexing="ij"), axis=-1)
        moved = np.moveaxis(self._affine(mesh), -1, 0)  # (D, ..., Y, X)
        if self.knots is not None:
            moved = moved + self._grid_displacement(grid)
        # The Z axis of length 1 of a stack's plane goes.
        where = moved.reshape(len(self.shape), *self.shape[-2:])
        last = np.array(self.shape, float).reshape(-1, 1, 1) - 1
        outside = np.any(
            (where < -0.5) | (where > last + 0.5), axis=0
        )  # a pixel reaches half its width beyond its centre
        return Places(np.clip(where, 0, last), outside)

    @property
    def _centre(self) -> Floats:
        return (np.array(self.shape, float) - 1) / 2

    def _affine(self, points: Floats) -> Floats:
        return np.asarray((points - self._centre) @ self.matrix.T + self._centre)

    def _weights(self, axis: int, places: Floats, *, slope: bool = False) -> Floats:
        assert self.knots is not None
        count = self.knots.shape[axis + 1]
        # The first knot lies on the first pixel and the last on the last; 1 avoids a division by 0 for a single plane.
        per_pixel = (count - 1) / max(self.shape[axis] - 1, 1)
        found = knot_weights(np.clip(places * per_pixel, 0, count - 1), count, slope=slope)  # constant beyond the edges
        return found * per_pixel if slope else found

    def _displacement(self, points: Floats) -> Floats | float:
        if self.knots is None:
            return 0.0
        weights = [self._weights(axis, points[:, axis]) for axis in range(len(self.shape))]
        found = np.einsum(
            "dyx,ny,nx->nd" if len(weights) == 2 else "dzyx,nz,ny,nx->nd", self.knots, *weights, optimize=True
        )
        return np.asarray(found)

    def _grid_displacement(self, grid: list[Floats]) -> Floats:
        found = self.knots
        assert found is not None
        for axis, places in enumerate(grid):
            found = np.moveaxis(np.tensordot(self._weights(axis, places), found, (1, axis + 1)), 0, axis + 1)
        return np.asarray(found)

    def steepness(self) -> float:
        """Return the largest change of the displacement per pixel, in any direction."""
        if self.knots is None:
            return 0.0
        n = len(self.shape)
        # The slope of a cubic spline is a parabola between two knots: four places find its highest value closely
        # enough.
        grid = [np.linspace(0, side - 1, 4 * k) for side, k in zip(self.shape, self.knots.shape[1:], strict=True)]
        slopes = []
        for along in range(n):
            found = self.knots
            for axis, places in enumerate(grid):
                weights = self._weights(axis, places, slope=axis == along)
                found = np.moveaxis(np.tensordot(weights, found, (1, axis + 1)), 0, axis + 1)
            slopes.append(found.reshape(n, -1))
        jacobian = np.stack(slopes, axis=1).transpose(2, 0, 1)  # (grid, displacement, direction)
        # Largest singular value: the change in the direction in which it is largest.
        return float(np.linalg.norm(jacobian, 2, axis=(1, 2)).max())


def knot_weights(places: NDArray[Any], knots: int, *, slope: bool = False, linear: bool = False) -> Floats:
    """Return the weights of evenly spaced knots at places between them.

    Parameters
    ----------
    places : (N,) array
        In distances of knots, from 0 to ``knots - 1``.
    knots : int
        Number of knots, at least 2.
    slope : bool
        Return the derivative of the weights by the place.
    linear : bool
        Interpolate linearly instead of by a natural cubic spline.

    Returns
    -------
    (N, knots) ndarray
    """
    if linear:
        return np.asarray(np.maximum(0, 1 - np.abs(places[:, None] - np.arange(knots))))
    from scipy.interpolate import CubicSpline

    # A spline is linear in its values: the splines of unit vectors are the weights.
    return np.asarray(CubicSpline(np.arange(knots), np.eye(knots), bc_type="natural")(places, 1 if slope else 0))


def random_map(
    rng: np.random.Generator, shape: tuple[int, ...], *, rotate: float = 0.0, scale: float = 0.0, elastic: float = 0.0
) -> tuple[CoordinateMap, dict[str, float]]:
    """Draw a map.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the randomness.
    shape : tuple of int
        (Y, X) or (Z, Y, X).
    rotate : float
        Largest angle in degrees, in either direction, within the YX plane.
    scale : float
        Largest relative change of size, along all dimensions alike.
    elastic : float
        S.d. of the displacements at the knots in pixels, a quarter of it along Z. A field that would fold the image is
        made weaker as a whole.

    Returns
    -------
    CoordinateMap
    dict of str to float
        What was drawn: ``angle`` in degrees, ``scale``, and ``elastic``, the s.d. after weakening.
    """
    angle, size = rng.uniform(-rotate, rotate), rng.uniform(1 - scale, 1 + scale)
    matrix = np.eye(len(shape))
    turn = np.deg2rad(angle)
    matrix[-2:, -2:] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    # The map leads back to the source, so that an enlargement reads places closer together.
    found = CoordinateMap(tuple(shape), matrix / size)
    if elastic > 0:
        counts = [
            max(least, round(n / _SPACING) + 1) for n, least in zip(shape, LEAST_KNOTS[-len(shape) :], strict=True)
        ]
        knots = elastic * rng.standard_normal((len(shape), *counts))
        knots[:-2] *= _ALONG_Z
        # The inverse of the affine part enlarges by `size`: the product is the factor by which a step of `forward`
        # shrinks its error, and below 1 nothing folds.
        steepest = CoordinateMap(found.shape, found.matrix, knots).steepness()
        weaker = min(1.0, _STEEPEST / max(steepest * size, 1e-12))
        found, elastic = CoordinateMap(found.shape, found.matrix, weaker * knots), weaker * elastic
    return found, {"angle": float(angle), "scale": float(size), "elastic": float(elastic)}
