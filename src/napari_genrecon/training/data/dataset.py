"""A dataset to train on: items of one size, their targets and labels, and its file.

`training.data.cut.cut_crops` makes datasets. Importing this loads no torch.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.errors import ImageError, OutputError
from napari_genrecon.io.publish import sentence, write_file
from napari_genrecon.models.networks import NETWORKS
from napari_genrecon.options import check_number, check_options

__all__ = ["SIZES", "CropOptions", "Dataset"]

SIZES = tuple(sorted({int(size) for network in NETWORKS.values() for size in network.shape.get("size", ())}))
"""Sides of crops, in pixels, that the form offers: those that generative networks take."""

_MODES = ("auto", "grid", "random", "objects", "whole")
_FORMAT = "genrecon-crops/1"
_ARRAYS = ("x", "source", "place", "held_out", "label")
_MAYBE = ("targets", "labels", "told")
_FACTS = ("pixel_size", "units", "channel_names", "low", "high", "options", "notes")
_LATER = ("measured",)  # facts that files of older versions do not have


@dataclass(frozen=True, slots=True, kw_only=True)
class CropOptions:
    """Options of `cut_crops`.

    Attributes
    ----------
    size : int
        Side of a crop in pixels. The network limits it: generative ones take 32, 64 or 128.
    mode : str
        ``"grid"``, ``"random"``, ``"objects"`` (one per labelled object or point), ``"whole"`` (every plane is a crop
        already), or ``"auto"``: objects if there are labels or points, whole if the planes have the size of a crop,
        else a grid.
    stride : int or None
        Distance between the crops of a grid in pixels; None puts them side by side, or closer where that gives fewer
        than 500.
    n : int or None
        Largest number of crops, or number of random positions; None takes at most 20000 crops, and as many random
        positions as cover the images four times, but at least 500.
    seed : int
        Seed of random positions and of the choice of held-out crops.
    held_out : float
        Share of the crops that is not trained on, in [0, 0.5].
    depth : int or None
        Planes of a block of a stack, along Z, for a model that works in three dimensions; None cuts flat crops. Blocks
        are taken until they hold 64 million pixels.
    """

    size: Annotated[
        int,
        {
            "choices": SIZES,
            "tooltip": "Side of a crop in pixels: it should hold one object and some of what is around it; "
            "larger ones train slower",
        },
    ] = 32
    mode: Annotated[
        str,
        {
            "choices": _MODES,
            "tooltip": "Where crops are cut: around labelled objects or points, on a grid, or at random",
        },
    ] = "auto"
    stride: Annotated[
        int | None,
        {
            "min": 1,
            "tooltip": "Distance between the crops of a grid in pixels: less gives more crops, which overlap. "
            "Empty chooses",
        },
    ] = None
    n: Annotated[
        int | None,
        {
            "min": 1,
            "tooltip": "How many crops at most, or at how many random positions: more is better and slower. "
            "Empty chooses",
        },
    ] = None
    seed: Annotated[
        int,
        {
            "min": 0,
            "tooltip": "Another number cuts random crops elsewhere and holds other ones out; the same repeats them",
        },
    ] = 0
    held_out: Annotated[
        float,
        {
            "min": 0.0,
            "max": 0.5,
            "step": 0.05,
            "tooltip": "Share of the crops that is not trained on, but kept to check the model with: 0 leaves "
            "more to train on, and no check",
        },
    ] = 0.1
    depth: Annotated[
        int | None,
        {
            "min": 2,
            "label": "depth (planes)",
            "tooltip": "Train a 3D model, on blocks of so many planes of a stack, such as 8: planes learn from those "
            "above and below. Empty trains plane by plane",
        },
    ] = None

    def __post_init__(self) -> None:
        check_options(self)
        check_number("size", self.size, 1)


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Items of one size (crops of images, or blocks of stacks) and their places in the images.

    Attributes
    ----------
    x : (N, C, Y, X) or (N, C, Z, Y, X) ndarray
        Inputs of a network: grey values of the images, in their dtype.
    targets : ndarray, optional
        Outputs that the network should give, for recipes that need them: (N, C, ...) pixels, of any size.
    labels : (N,) or (N, Y, X) or (N, Z, Y, X) ndarray of integers, optional
        Class of each item, or of each of its pixels.
    told : (N, K) ndarray of float32, optional
        Numbers that the network is given beside each item, such as the strength of its noise.
    source : (N,) int64 ndarray
        Index of the image of each item.
    place : (N, 3) int64 ndarray
        Index of the first plane (over all dimensions but C, Y and X, in C order), row and column of the first pixel.
    held_out : (N,) bool ndarray
        Items that are not trained on.
    label : (N,) int64 ndarray
        Number of the object that each was cut around, or of the point; 0 where there are neither.
    pixel_size, units : (float, float), (str, str)
        Pixel size and its units along Y and X, as napari names units.
    channel_names : tuple of str
        Names of the channels; empty strings where they are not known.
    low, high : tuple of float
        Grey values that become -1 and +1, per channel, measured once over all training items; empty for items that are
        not grey values.
    options : dict
        Options of the crops.
    notes : tuple of str
        Sentences for the user, such as how many crops were left out and why.
    measured : dict
        Measurements of the images, as JSON values, for the model's card; ``"targets"``, where these have grey values of
        their own, holds their range (``"low"``, ``"high"``) and ``"names"``, one for each channel.
    """

    x: NDArray[Any]
    source: NDArray[np.int64]
    place: NDArray[np.int64]
    held_out: NDArray[np.bool_]
    label: NDArray[np.int64]
    targets: NDArray[Any] | None = None
    labels: NDArray[Any] | None = None
    told: NDArray[np.float32] | None = None
    pixel_size: tuple[float, float] = (1.0, 1.0)
    units: tuple[str, str] = ("pixel", "pixel")
    channel_names: tuple[str, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    options: dict[str, Any]
    notes: tuple[str, ...] = ()
    measured: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.x.ndim not in (4, 5):
            raise ImageError(f"items have the shape {self.x.shape}: (N, C, Y, X) or (N, C, Z, Y, X) is needed")
        for name in ("source", "place", "held_out", "label", *_MAYBE):
            values = getattr(self, name)
            # Every part is indexed by the same item numbers; a shorter one would fail, or pair wrongly, far from here.
            if values is not None and len(values) != len(self.x):
                raise ImageError(f"there are {len(self.x)} items and {len(values)} {name}: give one for each")
        if self.labels is not None and self.labels.dtype.kind not in "iub":
            raise ImageError(f"labels have dtype {self.labels.dtype}: integers are needed, one number per class")

    def __len__(self) -> int:
        return len(self.x)

    @property
    def size(self) -> int:
        """Width of an item in pixels."""
        return int(self.x.shape[-1])

    @property
    def height(self) -> int:
        """Rows of an item."""
        return int(self.x.shape[-2])

    @property
    def depth(self) -> int:
        """Planes of an item; 0 for one that is flat."""
        return int(self.x.shape[2]) if self.x.ndim == 5 else 0

    @property
    def channels(self) -> int:
        """Number of channels of an item."""
        return int(self.x.shape[1])

    @property
    def dtype(self) -> str:
        """Dtype of the images, such as ``"uint16"``."""
        return str(self.x.dtype)

    @property
    def training(self) -> NDArray[Any]:
        """The items that are trained on."""
        return self.x[~self.held_out]

    @property
    def testing(self) -> NDArray[Any]:
        """The items that are held out."""
        return self.x[self.held_out]

    @property
    def judging(self) -> NDArray[Any]:
        """The items by which a model is scored: those held out, or the training ones if there are none."""
        return self.testing if self.held_out.any() else self.training

    @cached_property
    def fingerprint(self) -> str:
        """Checksum (sha256) of pixels, dtype, held-out flags, targets, labels and told numbers."""
        # Little-endian on every machine, so that a dataset that is moved keeps its checksum.
        digest = hashlib.sha256(f"{self.x.shape} {self.x.dtype.newbyteorder('<').str}".encode())
        # A view of the bytes: the pixels can take gigabytes, which `tobytes` would copy.
        digest.update(np.ascontiguousarray(self.x, self.x.dtype.newbyteorder("<")).reshape(-1).view(np.uint8).data)
        digest.update(np.ascontiguousarray(self.held_out).tobytes())
        for name in _MAYBE:
            values = getattr(self, name)
            if values is not None:
                # Names and shapes count as well, so that the bytes of one part cannot pass for those of another.
                digest.update(f"{name} {values.shape} {values.dtype.newbyteorder('<').str}".encode())
                digest.update(np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes())
        return digest.hexdigest()

    def save(self, path: Path) -> None:
        """Write the dataset as ``.npz``, whole or not at all.

        Raises
        ------
        OutputError
            If the disk is full or the folder cannot be written.
        """
        facts = {name: getattr(self, name) for name in (*_FACTS, *_LATER)}
        facts |= {"format": _FORMAT, "fingerprint": self.fingerprint}
        buffer = io.BytesIO()
        arrays = {name: getattr(self, name) for name in (*_ARRAYS, *_MAYBE) if getattr(self, name) is not None}
        # The facts are JSON in an array of bytes: an array of objects would need pickle, which executes code.
        np.savez(buffer, facts=np.frombuffer(json.dumps(facts).encode(), np.uint8), **arrays)
        try:
            write_file(path, buffer.getvalue())
        except OSError as error:
            raise OutputError(sentence(path, error)) from error

    @classmethod
    def load(cls, path: Path) -> Dataset:
        """Read a file that `save` wrote; nothing in it is executed.

        Raises
        ------
        ImageError
            If the file is missing, damaged or of another kind.
        """
        try:
            with np.load(path, allow_pickle=False) as found:
                arrays = {name: found[name] for name in (*_ARRAYS, *(name for name in _MAYBE if name in found))}
                facts = json.loads(found["facts"].tobytes())
            # Facts that older files lack keep the defaults of their fields.
            later = {name: facts[name] for name in _LATER if name in facts}
            crops = cls(**arrays, **{name: _as_tuple(facts[name]) for name in _FACTS}, **later)
            # The checksum is taken anew from what was read: a file that was cut short or edited does not pass.
            whole = facts["format"] == _FORMAT and facts["fingerprint"] == crops.fingerprint
        # All that NumPy, JSON, a zip file and our own checks raise on files of other kinds, or damaged ones.
        except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
            raise ImageError(f"{path} does not hold crops that can be read: {error}") from error
        if not whole:
            raise ImageError(f"{path} was changed since the crops were cut, or is of another version: cut them again")
        return crops


def _as_tuple(value: object) -> Any:
    return tuple(value) if isinstance(value, list) else value
