"""Find candidates in one part of an image: under filters, or with a network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from napari_genrecon.errors import OptionError
from napari_genrecon.models import ModelCard, find_model, load_network
from napari_genrecon.models.networks import RARE
from napari_genrecon.noise import NoiseModel
from napari_genrecon.normal import FWHM
from napari_genrecon.numerics.blobs.filters import (
    STEP,
    Blobs,
    Filters,
    filter_widths,
    find_blobs,
    heights_at,
    widest_halo,
)
from napari_genrecon.numerics.blobs.maxima import centred, find_maxima, refined
from napari_genrecon.numerics.blobs.spot_planes import REACH, spot_planes
from napari_genrecon.tasks.detect.options import DetectOptions
from napari_genrecon.tasks.detect.spot_noise import SpotNoise

__all__ = ["SMALLEST_PLANE", "TILE", "Answer", "Finder", "LogFinder", "NetFinder", "finders_of"]

Values = NDArray[np.float32]

TILE = 1024  # pixels along a side of a plane: about two seconds on one core, after which a run can be cancelled
_VOXELS = 1 << 21  # of a tile of a volume: about two seconds, too
SMALLEST_PLANE = 16  # pixels a side: filters reach further, and see mirror images on both sides
_WINDOW = 0.7  # s.d. of the spot: within it lies the heat that counts for its centre


class Finder(Protocol):
    """What finds candidates in one part of an image."""

    @property
    def filters(self) -> Filters:
        """Filters under which sizes and heights are given."""

    @property
    def halo(self) -> tuple[int, ...]:
        """Pixels around a part that count for it, per dimension."""

    @property
    def stride(self) -> int:
        """Pixels of a plane by multiples of which parts may begin."""

    def tile(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the lengths of a part of an image or volume."""

    def __call__(self, values: Values, ends: Sequence[tuple[bool, bool]]) -> Blobs:
        """Return the candidates in values with noise of s.d. 1; `ends` as for `find_blobs`."""


@dataclass(frozen=True, slots=True)
class LogFinder:
    """Maxima of the Laplacians of Gaussians."""

    filters: Filters

    @property
    def halo(self) -> tuple[int, ...]:
        """Reach of the widest filter; nothing along Z, which is never cut."""
        halo = widest_halo(self.filters)
        return (0, *halo[1:]) if len(halo) == 3 else halo

    @property
    def stride(self) -> int:
        """Parts may begin anywhere."""
        return 1

    def tile(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the lengths of a part that takes about two seconds."""
        if len(shape) == 2:
            return (TILE, TILE)
        # Smaller parts would be little but their surroundings.
        side = max(*self.halo, math.isqrt(_VOXELS // max(1, shape[0])))
        return (shape[0], side, side)

    def __call__(self, values: Values, ends: Sequence[tuple[bool, bool]]) -> Blobs:
        """Return the maxima of a plane or volume."""
        return find_blobs(values, self.filters, ends)


class Answer(NamedTuple):
    """What a network says of a plane: its heat (Y, X), and of every candidate the pixel, s.d. and evidence."""

    heat: Values
    where: NDArray[np.intp]  # (N, 2)
    sigma: NDArray[np.floating]  # (N,), in pixels
    evidence: NDArray[np.floating]  # (N,)


@dataclass(frozen=True, slots=True)
class NetFinder:
    """Maxima of the answer of a network, in planes."""

    filters: Filters
    card: ModelCard
    device: str
    weights: bytes | None = None  # to use instead of the card's
    noise: SpotNoise | None = None  # of these weights
    simulated: Mapping[str, float] | None = None  # what they were trained on, for the record

    @property
    def halo(self) -> tuple[int, ...]:
        """Pixels around a part that count for the filters and then the network."""
        return (math.ceil(REACH / self.stride) * self.stride + self.card.halo.y,) * 2

    @property
    def stride(self) -> int:
        """Parts begin on the grid of the network."""
        return self.card.stride.y

    def tile(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the lengths of a part that takes about two seconds."""
        return (TILE,) * len(shape)

    def __call__(self, values: Values, ends: Sequence[tuple[bool, bool]]) -> Blobs:
        """Return the maxima of a plane, those of other sizes left out."""
        heat, where, sigma, evidence = self.answer(values)
        widths = np.log(self.filters.widths[:-2]) - 0.5 * math.log(3)  # of the spots that they answer most to
        level = np.abs(np.log(sigma)[:, None] - widths).argmin(axis=1)
        places = centred(expit(heat), refined(heat, where, (1.0, 1.0))[0], _WINDOW * sigma)
        found = Blobs(places, np.zeros(len(where), np.float32), level, evidence)
        return replace(found, z=heights_at(values, places, level, self.filters))

    def answer(self, values: Values) -> Answer:
        """Return what the network says of a plane, candidates of other sizes left out."""
        rho_y, rho_x = self.filters.rho
        planes = spot_planes(values, (rho_y, rho_x))
        heat, log_sigma, odds = load_network(self.card, self.device, self.weights)(planes, (rho_x, rho_y))
        where = find_maxima(heat, RARE)
        sigma = np.exp(log_sigma[tuple(where.T)])
        # By a step from filter to filter more or less: sizes of dim ones are as uncertain.
        least, most = self.filters.sizes[0] / STEP, self.filters.sizes[-3] * STEP
        fits = (least < FWHM * sigma) & (FWHM * sigma < most)
        return Answer(heat, where[fits], sigma[fits], (heat + odds)[tuple(where[fits].T)])


def finders_of(
    options: DetectOptions, noise: Sequence[NoiseModel], plane: tuple[int, int]
) -> dict[str, Sequence[Finder]]:
    """Return by method what finds candidates in channels with this noise and planes of this shape.

    Raises
    ------
    OptionError
        If the network was asked for, and does not know noise as correlated as that, or images as small.
    """
    filters = [_filters(options, each, max(plane)) for each in noise]
    found: dict[str, Sequence[Finder]] = {}
    if "log" in options.methods:
        found["log"] = [LogFinder(each) for each in filters]
    if "net" in options.methods:
        card = find_model("auto", "detect")
        unknown = _unknown(filters, card, plane)
        if not unknown:
            found["net"] = [NetFinder(each, card, options.device) for each in filters]
        elif options.method != "auto":
            raise OptionError(unknown)
    return found


def _unknown(filters: list[Filters], card: ModelCard, plane: tuple[int, int]) -> str:
    """Say what the network was not trained for, and what to do; empty if nothing."""
    strongest, known = max(max(map(abs, each.rho)) for each in filters), card.calibration["rho"][-1]
    if strongest > known:
        return (
            f"the noise of neighbouring pixels has a correlation of {strongest:.2f}, and method 'net' knows up to "
            f"{known:g}: take method 'log', or bin the image"
        )
    if min(plane) < SMALLEST_PLANE:
        return f"planes of {plane[0]} x {plane[1]} pixels are too small for method 'net': take method 'log'"
    return ""


def _filters(options: DetectOptions, noise: NoiseModel, side: int) -> Filters:
    rho = (noise.rho_y, noise.rho_x)
    # Nothing is wider than the longer side of its plane, and filters that are would take minutes on a tiny one.
    largest = max(options.min_size, min(options.max_size, side))
    if not options.volume:
        return Filters(filter_widths(options.min_size, largest, 2), rho, (1.0, 1.0))
    widths = filter_widths(options.min_size, largest, 3)
    return Filters(widths, (0.0, *rho), (options.spacing or 1.0, 1.0, 1.0))
