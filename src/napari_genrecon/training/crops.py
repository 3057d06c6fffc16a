"""Small pictures of one size, cut from images, that a generative model is trained on.

Which crops are held out is decided by where they come from: whole source images, or for a single image a block in a
corner with a gap of one crop's side around it. Never crop by crop: neighbours show the same cells, and a model that
copied them would look good.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.axes import Axes
from napari_genrecon.errors import ImageError, OptionError

__all__ = ["MODES", "NEEDED", "SIZES", "CropOptions", "Crops", "cut_crops"]

SIZES = (32, 64, 128)
MODES = ("auto", "grid", "random", "objects", "whole")
NEEDED = 32
"""Training crops below which training is refused: fewer are learnt by heart."""
MAX_CHANNELS = 4
_FORMAT = "genrecon-crops/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class CropOptions:
    """How crops are cut.

    Attributes
    ----------
    size : int
        Side of a crop in pixels: 32, 64 or 128.
    mode : str
        ``"grid"``, ``"random"``, ``"objects"`` (one per labelled object or point), ``"whole"`` (every plane is a crop
        already), or ``"auto"``: objects if there are labels or points, whole if the planes have the size of a crop,
        else a grid.
    stride : int or None
        Distance between the crops of a grid in pixels; None puts them side by side.
    n : int
        How many crops at most; how many positions for random ones.
    seed : int
        Of random positions, and of the choice of what is held out.
    held_out : float
        Share of the crops that is not trained on, in [0, 0.5].
    """

    size: Annotated[int, {"choices": SIZES, "tooltip": "Side of a crop in pixels"}] = 32
    mode: Annotated[str, {"choices": MODES, "tooltip": "Where crops are cut"}] = "auto"
    stride: Annotated[
        int | None, {"min": 1, "tooltip": "Distance between the crops of a grid; empty puts them side by side"}
    ] = None
    n: Annotated[int, {"min": 1, "max": 1_000_000, "tooltip": "How many crops at most"}] = 20_000
    seed: Annotated[int, {"min": 0, "max": 2**31 - 1, "tooltip": "Of random positions and of what is held out"}] = 0
    held_out: Annotated[
        float, {"min": 0.0, "max": 0.5, "step": 0.05, "tooltip": "Share of the crops that is not trained on"}
    ] = 0.1

    def __post_init__(self) -> None:
        if self.size not in SIZES:
            raise OptionError(f"size must be one of {', '.join(map(str, SIZES))} pixels, got {self.size}")
        if self.mode not in MODES:
            raise OptionError(f"crops are cut in the mode {' or '.join(map(repr, MODES))}, got {self.mode!r}")
        if self.stride is not None and self.stride < 1:
            raise OptionError(f"stride must be at least 1 pixel, got {self.stride}")
        if self.n < 1:
            raise OptionError(f"n must be at least 1 crop, got {self.n}")
        if not 0 <= self.held_out <= 0.5:
            raise OptionError(f"held_out must lie between 0 and 0.5, got {self.held_out:g}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Crops:
    """Crops of one size, and where they come from.

    Attributes
    ----------
    x : (N, C, Y, X) ndarray
        Grey values of the images, in their dtype.
    source : (N,) int64 ndarray
        Which image each comes from.
    place : (N, 3) int64 ndarray
        Index of the plane (over all dimensions but C, Y and X, in C order), and row and column of the first pixel.
    held_out : (N,) bool ndarray
        Which are not trained on.
    label : (N,) int64 ndarray
        Value of the object in the labels, or number of the point; 0 where there are neither.
    pixel_size, units : (float, float), (str, str)
        Along Y and X, as napari names units.
    channel_names : tuple of str
        One per channel; empty strings where they are not known.
    low, high : tuple of float
        Per channel: the grey values that become -1 and +1, measured once over all training crops.
    options : dict
        How they were cut.
    notes : tuple of str
        What the user should know: what was left out and why.
    """

    x: NDArray[Any]
    source: NDArray[np.int64]
    place: NDArray[np.int64]
    held_out: NDArray[np.bool_]
    label: NDArray[np.int64]
    pixel_size: tuple[float, float] = (1.0, 1.0)
    units: tuple[str, str] = ("pixel", "pixel")
    channel_names: tuple[str, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    options: dict[str, Any]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.x)

    @property
    def size(self) -> int:
        """Side of a crop in pixels."""
        return int(self.x.shape[-1])

    @property
    def channels(self) -> int:
        """How many channels a crop has."""
        return int(self.x.shape[1])

    @property
    def dtype(self) -> str:
        """Of the images, such as ``"uint16"``."""
        return str(self.x.dtype)

    @property
    def training(self) -> NDArray[Any]:
        """(N, C, Y, X) the crops that are trained on."""
        return self.x[~self.held_out]

    @property
    def testing(self) -> NDArray[Any]:
        """(N, C, Y, X) the crops that are held out."""
        return self.x[self.held_out]

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of the pixels, the dtype and what is held out."""
        raise NotImplementedError

    def save(self, path: Path) -> None:
        """Write them as ``.npz``, whole or not at all.

        Raises
        ------
        OutputError
            If the disk is full or the folder cannot be written.
        """
        raise NotImplementedError

    @classmethod
    def load(cls, path: Path) -> Crops:
        """Read what `save` wrote; nothing in it is run.

        Raises
        ------
        ImageError
            If the file is missing, damaged or of another kind.
        """
        raise NotImplementedError


def cut_crops(
    images: Any,
    options: CropOptions | None = None,
    *,
    axes: str | Axes | Sequence[str | Axes | None] | None = None,
    labels: Any = None,
    points: Any = None,
    groups: Any = None,
    pixel_size: tuple[float, float] | None = None,
    units: tuple[str, str] | None = None,
    channel_names: Sequence[str] = (),
) -> Crops:
    """Cut crops from one image or several.

    Parameters
    ----------
    images : (..., Y, X) array_like or sequence of them
        Any real dtype; NumPy, memmap, dask or Zarr: what is large is read by region. A list is several images, which
        may differ in size but not in dtype or number of channels.
    options : CropOptions
        How to cut.
    axes : str, or one per image
        What the dimensions mean; see `napari_genrecon.axes`. Channels (C, or S but for alpha) become channels.
    labels : (..., Y, X) int array_like, or one per image
        Objects, numbered from 1, in an array of the image's dimensions but for the channels. An object that lies on
        several planes (Z) gives the crop of the plane on which it is largest.
    points : (N, D) array_like, or one per image
        Centres in pixels, one column per dimension of the image but for the channels.
    groups : (N,) int array_like
        For ready crops (mode ``"whole"``): which image each comes from, if that is known. Otherwise the last ones are
        held out together.
    pixel_size, units : (float, float), (str, str)
        Along Y and X.
    channel_names : sequence of str
        One per channel.

    Returns
    -------
    Crops

    Raises
    ------
    ImageError
        If there are too few crops, all of them are constant, or shapes, dtypes or channels do not fit.
    OptionError
        If an option cannot work.
    """
    raise NotImplementedError
