"""Compute the features of the objects of one or several images; they serve any classes that are then learnt."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.engine.run import Progress
from napari_genrecon.errors import ImageError, OptionError
from napari_genrecon.models import ModelCard, device_note, find_model, resolve_device
from napari_genrecon.plural import number_of
from napari_genrecon.recognition.features import Blocks, describe_steps, joined
from napari_genrecon.recognition.objects import AT_ONCE, Scene, crop_side, cut_pictures, find_objects, larger_than
from napari_genrecon.recognition.pictures import Planes, planes_of
from napari_genrecon.recognition.saved import ObjectClassifier, Setting
from napari_genrecon.tasks.plan import borrowed

__all__ = ["Described", "describe_images_steps"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Described:
    """Objects and their features.

    Attributes
    ----------
    setting : Setting
        What the features were made from.
    encoder : ModelCard
        Model whose feature maps were read.
    blocks : dict of str to (N, F) ndarray
        Features by block.
    image, label : (N,) ndarray of int
        Number of the image, counted from 0, and of the object in it.
    place : (N, 3) ndarray of int
        Plane, row and column.
    scenes : tuple of Scene
        The images, to cut pictures of the objects from.
    zoom : float
        See `recognition.objects.cut_pictures`.
    notes : tuple of str
        Sentences for the user.
    """

    setting: Setting
    encoder: ModelCard
    blocks: Blocks
    image: NDArray[np.int64]
    label: NDArray[np.int64]
    place: NDArray[np.int64]
    scenes: tuple[Scene, ...]
    zoom: float = 1.0
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.label)

    def pictures(self, chosen: NDArray[np.bool_] | None = None) -> Iterator[Planes]:
        """Yield pictures of the objects, or of those chosen, some at a time."""
        for index, scene in enumerate(self.scenes):
            # `cut_pictures` counts the objects of one image from 0, and `chosen` those of all images.
            (mine,) = np.nonzero(self.image == index)
            rows = np.arange(len(mine)) if chosen is None else np.flatnonzero(chosen[mine])
            # Ceiling division: no part holds more than AT_ONCE. Of
            # no rows there are no parts, and array_split wants one.
            for part in np.array_split(rows, -(-len(rows) // AT_ONCE)) if len(rows) else ():
                yield planes_of(cut_pictures(scene, self.setting.side, part, zoom=self.zoom))


def describe_images_steps(
    images: Sequence[Any],
    *,
    axes: Sequence[Any],
    labels: Sequence[Any] | None = None,
    points: Sequence[Any] | None = None,
    size: int | None = None,
    model: ObjectClassifier | None = None,
    channel_names: Sequence[str] = (),
    pixel_size: tuple[float, float] = (1.0, 1.0),
    units: tuple[str, str] = ("pixel", "pixel"),
    device: str = "auto",
) -> Generator[Progress, None, Described]:
    """Find the objects of images and compute their features.

    Parameters
    ----------
    images, axes, labels, points
        A list each, see `recognition.objects.find_objects`.
    size : int, optional
        Side of the crops in pixels.
    model : ObjectClassifier, optional
        Model that the features are for: it fixes the side of the crops.
    channel_names, pixel_size, units
        Facts about the images.
    device : str
        Where to compute.

    Yields
    ------
    Progress

    Returns
    -------
    Described
    """
    yield Progress(0, 0, "finding the objects")
    # All images are looked at first: one that does not fit is refused before features of others are computed.
    scenes = list(_scenes(images, axes, labels, points))
    here = _setting(scenes, channel_names, pixel_size, units)
    # A saved model reads the features of its own encoder only.
    encoder = find_model("auto", "denoise") if model is None else model.encoder
    side, zoom = _side(scenes, here, size, model), 1.0 if model is None else model.setting.zoom_to(here)
    counts, parts, done = [len(scene) for scene in scenes], [], 0
    # A run that is closed half-way gives the memory of the device back as well.
    with borrowed(resolve_device(device)):
        for scene in scenes:
            steps = describe_steps(scene, side, encoder, device=device, zoom=zoom)
            parts.append((yield from _shifted(steps, done, sum(counts))))
            done += len(scene)
    return Described(
        setting=replace(here, side=side), encoder=encoder, blocks=joined(parts),
        # One row for each object, image after image, as the blocks are joined.
        image=np.repeat(np.arange(len(scenes)), counts), label=np.concatenate([scene.label for scene in scenes]),
        place=np.concatenate([scene.place for scene in scenes]), scenes=tuple(scenes), zoom=zoom,
        notes=(*_notes(scenes, side), *device_note(device)),
    )  # fmt: skip


def _scenes(
    images: Sequence[Any], axes: Sequence[Any], labels: Sequence[Any] | None, points: Sequence[Any] | None
) -> Generator[Scene, None, None]:
    for name, given in (("labels", labels), ("points", points), ("axes", axes)):
        if given is not None and len(given) != len(images):
            raise OptionError(f"{len(given)} {name} were given for {len(images)} images: give one for each, in order")
    for index, (image, letters) in enumerate(zip(images, axes, strict=True)):
        own = labels[index] if labels is not None else None
        spots = points[index] if points is not None else None
        try:
            yield find_objects(image, letters, labels=own, points=spots)
        except ImageError as error:
            # Of one image its number would say nothing.
            raise (ImageError(f"image {index + 1}: {error}") if len(images) > 1 else error) from None


def _setting(
    scenes: Sequence[Scene], names: Sequence[str], pixel_size: tuple[float, float], units: tuple[str, str]
) -> Setting:
    if not scenes:
        raise ImageError("no image was given")
    # One classifier reads the features of all images, whose number depends on that of the channels.
    channels = sorted({scene.image.channels for scene in scenes})
    if len(channels) > 1:
        raise ImageError(f"the images have {' and '.join(map(str, channels))} channels: give images with the same ones")
    if names and len(names) != channels[0]:
        raise OptionError(f"{len(names)} channel names were given for {channels[0]} channels: give one for each")
    return Setting(
        # The kind is that of all: labels or points are given for every image. `_side` is chosen later.
        kind=scenes[0].kind, side=0, channels=channels[0], channel_names=tuple(map(str, names)),
        pixel_size=pixel_size, units=units,
    )  # fmt: skip


def _side(scenes: Sequence[Scene], here: Setting, size: int | None, model: ObjectClassifier | None) -> int:
    if model is None:
        return crop_side(scenes, size)
    name = model.card.name if model.card else "model"
    model.setting.require(here, name)
    if size is not None:
        raise OptionError(f"size {size} cannot be chosen with a model: {name!r} was trained on {model.setting.side}")
    # The same field of view on other pixels; `crop_side` refuses what would be too small or too large.
    return crop_side(scenes, round(model.setting.side / model.setting.zoom_to(here)))


def _shifted(steps: Generator[Progress, None, Blocks], done: int, total: int) -> Generator[Progress, None, Blocks]:
    from napari_genrecon.engine.run import map_progress

    return map_progress(steps, lambda p: Progress(done + p.done, total, p.note))


def _notes(scenes: Sequence[Scene], side: int) -> tuple[str, ...]:
    large = larger_than(scenes, side)
    if not large:
        return ()
    objects = number_of(large, "object is", "objects are")
    return (f"{objects} larger than the crop of {side} pixels and cut off in it: a larger size sees all of it",)
