"""Read the image that new ones are made from, with its labels, points and noise."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.arrays import as_numpy
from napari_genrecon.axes import Axes, resolve_axes
from napari_genrecon.engine.run import Progress, map_progress
from napari_genrecon.errors import ImageError
from napari_genrecon.io.points import without_channels
from napari_genrecon.io.record.provenance import combined, digest_pixels
from napari_genrecon.noise import NoiseModel
from napari_genrecon.noise.model import LEVELS
from napari_genrecon.plural import number_of
from napari_genrecon.tasks.augment.grain import at_exposure
from napari_genrecon.tasks.augment.options import AugmentOptions
from napari_genrecon.tasks.denoise import DenoiseOptions, denoise_steps
from napari_genrecon.tasks.measure import as_source, noise_per_channel, sample_channels
from napari_genrecon.tasks.task import Result

__all__ = ["Levels", "Parent", "parent_steps", "pixels_digest"]


class Levels(NamedTuple):
    """Grey values of a channel: its background, the least and the largest."""

    dark: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, eq=False)
class Parent:
    """The image that new ones are made from.

    Attributes
    ----------
    pixels : ndarray
        The image as it was given.
    clean : ndarray
        What is deformed: the image, or the image without its noise if new noise is drawn.
    axes : Axes
        Meaning of the dimensions.
    labels : ndarray of integers, or None
        Labels in the image's dimensions but for channels.
    points : (N, D) ndarray of float64, or None
        One column per dimension of the image but for channels, in pixels.
    noise : tuple of NoiseModel
        Noise to draw, one per channel; empty if the noise of the image is kept.
    levels : tuple of Levels
        Levels of `clean`, per channel.
    model : dict or None
        The network that removed the noise, as in a record.
    digest : str
        sha256 of the pixels.
    fractions : bool
        Whether all grey values are floats from 0 to 1, in which range they stay.
    notes : tuple of str
        Sentences for the user.
    """

    pixels: NDArray[Any]
    clean: NDArray[Any]
    axes: Axes
    labels: NDArray[Any] | None
    points: NDArray[np.float64] | None
    noise: tuple[NoiseModel, ...]
    levels: tuple[Levels, ...]
    digest: str
    fractions: bool
    model: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()

    @property
    def space(self) -> tuple[int, ...]:
        """Dimensions of the image along which it is deformed: Y, X, and Z of a stack."""
        # A stack of one plane is deformed as a plane: along Z there is nothing to read between.
        letters = "YX" if "Z" not in self.axes.letters or self._length("Z") == 1 else "ZYX"
        return tuple(self.axes.letters.index(letter) for letter in letters)

    @property
    def label_letters(self) -> str:
        """Letters of the dimensions of labels, and of the columns of points."""
        return "".join(letter for letter in self.axes.letters if letter not in "CS")

    @property
    def label_space(self) -> tuple[int, ...]:
        """Dimensions of labels, and columns of points, that belong to those of `space`."""
        return tuple(self.label_letters.index(self.axes.letters[i]) for i in self.space)

    @property
    def label_shape(self) -> NDArray[np.int64]:
        """Shape of labels."""
        return np.array([self._length(letter) for letter in self.label_letters])

    def channel_of(self, index: int) -> int:
        """Return the channel of an entry of all dimensions but those of `space`, in C order."""
        if self.axes.channel is None:
            return 0
        outer = [i for i in range(len(self.axes)) if i not in self.space]
        # In the order in which `np.ndindex` runs over the outer dimensions.
        position = np.unravel_index(index, tuple(self.pixels.shape[i] for i in outer))
        return int(position[outer.index(self.axes.channel)])

    def within(self, plane: NDArray[np.float64], channel: int) -> NDArray[np.float64]:
        """Clip noise to what the image can hold: its saturation, and 0 to 1 for fractions. A dtype clips by itself."""
        # Where the sensor was saturated, brighter pixels cannot come out of it.
        top = self.noise[channel].saturation_level
        if self.fractions:
            return np.clip(plane, 0, 1)
        return plane if top is None else np.minimum(plane, top)

    def _length(self, letter: str) -> int:
        return int(self.pixels.shape[self.axes.letters.index(letter)])


def pixels_digest(pixels: NDArray[Any]) -> str:
    """Return the sha256 of the shape, the dtype and the pixels of an image."""
    return combined([str(pixels.shape), pixels.dtype.newbyteorder("<").str, digest_pixels(pixels)])


def parent_steps(image: Any, options: AugmentOptions, labels: Any, points: Any) -> Generator[Progress, None, Parent]:
    """Check and read an image, and remove its noise if new noise is to be drawn.

    Parameters
    ----------
    image : (..., Y, X) array_like
        The image.
    options : AugmentOptions
        Axes and exposure count.
    labels, points : array_like or None
        See `Parent`.

    Raises
    ------
    ImageError
        If the image is none, or labels or points do not fit it.
    """
    yield Progress(0, options.n, "reading the image")
    source = as_source(image)
    axes = resolve_axes(options.axes, source.shape)
    # All of it: deformed images read from anywhere in it.
    pixels = as_numpy(source)
    letters = [letter for letter in axes.letters if letter not in "CS"]
    shape = tuple(pixels.shape[axes.letters.index(letter)] for letter in letters)
    found_labels = None if labels is None else _checked_labels(labels, shape, letters)
    places = None if points is None else without_channels(np.asarray(points), axes)
    found_points, notes = _checked_points(places, shape, letters)
    clean, noise, model = pixels, tuple[NoiseModel, ...](), None
    if options.exposure > 0:
        # The image's own noise goes first, or the new one would come on top of it.
        result, measured = yield from _without_noise(pixels, axes, options)
        clean, model = np.asarray(result.data), result.record["model"]
        noise = tuple(at_exposure(one, options.exposure) for one in measured)
        # Of the denoiser's notes, this one concerns the new images: they get no noise either.
        notes += [note for note in result.record["warnings"] if "no noise" in note]
    # Of the image as given: a denoised one may leave the range a little.
    fractions = pixels.dtype.kind == "f" and all(one.low >= 0 and one.high <= 1 for one in _levels(pixels, axes))
    return Parent(
        pixels, clean, axes, found_labels, found_points, noise, _levels(clean, axes), pixels_digest(pixels), fractions,
        model, tuple(notes),
    )  # fmt: skip


def _without_noise(
    pixels: NDArray[Any], axes: Axes, options: AugmentOptions
) -> Generator[Progress, None, tuple[Result, tuple[NoiseModel, ...]]]:
    yield Progress(0, options.n, "measuring the noise")
    # Measured here, so that the noise removed and the noise drawn are of one model.
    measured = noise_per_channel(sample_channels(pixels, axes), None)
    steps = denoise_steps(pixels, DenoiseOptions(axes=axes, noise=measured), lazy=False)
    # A denoiser counts tiles, and this run counts images.
    removed = yield from map_progress(steps, lambda _: Progress(0, options.n, "removing the noise"))
    return removed, measured


def _levels(clean: NDArray[Any], axes: Axes) -> tuple[Levels, ...]:
    channels = [clean] if axes.channel is None else list(np.moveaxis(clean, axes.channel, 0))
    found = []
    for channel in channels:
        # Integers are always finite: no mask as large as the image is made for them.
        finite = channel[np.isfinite(channel)] if channel.dtype.kind == "f" else channel
        if not finite.size:
            raise ImageError("the image, or a channel of it, holds no finite pixel: every value is NaN or infinite")
        # The darkest pixel may be a dead one.
        found.append(Levels(float(np.quantile(finite, LEVELS[0])), float(finite.min()), float(finite.max())))
    return tuple(found)


def _checked_labels(labels: Any, shape: tuple[int, ...], letters: list[str]) -> NDArray[Any]:
    found = np.asarray(labels)
    if found.dtype.kind not in "iub":
        raise ImageError(f"labels have dtype {found.dtype}: integers are needed, one number per object or class")
    if found.shape != shape:
        raise ImageError(
            f"labels have the shape {found.shape} but the image has {shape} in its dimensions {''.join(letters)}: they "
            "must match"
        )
    return found


def _checked_points(
    points: Any, shape: tuple[int, ...], letters: list[str]
) -> tuple[NDArray[np.float64] | None, list[str]]:
    if points is None:
        return None, []
    found = np.asarray(points)
    # An empty list has one dimension, and is a table without rows.
    found = found.reshape(-1, len(shape)) if found.size == 0 else found
    real = found.dtype.kind in "iuf"
    if found.ndim != 2 or found.shape[1] != len(shape) or not real or not np.isfinite(found).all():
        raise ImageError(
            f"points have the shape {found.shape} and dtype {found.dtype}: {len(shape)} finite columns are needed, one "
            f"for each of the dimensions {''.join(letters)}, in pixels"
        )
    # A point may lie up to half a pixel beyond the centre of a border pixel and still be in it.
    beyond = int(np.count_nonzero(np.any((found < -0.5) | (found > np.array(shape) - 0.5), axis=1)))
    words = (
        f"of the {len(found)} points lies outside the image and is",
        f"of the {len(found)} points lie outside the image and are",
    )
    notes = [f"{number_of(beyond, *words)} left out"] if beyond else []
    return found.astype(np.float64), notes
