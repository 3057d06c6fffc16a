"""Make the dataset of pairs of any images: crops, or blocks of stacks, of both in their grey values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from napari_genrecon.errors import ImageError, OptionError
from napari_genrecon.plural import number_of
from napari_genrecon.training.data.checks import grey_range
from napari_genrecon.training.data.cut import cut_crops, open_targets
from napari_genrecon.training.data.dataset import CropOptions, Dataset
from napari_genrecon.training.data.match import Match, match, require_another
from napari_genrecon.training.data.source import CropSource

__all__ = ["pairs_of_images"]


def pairs_of_images(images: Any, crops: CropOptions, where: dict[str, Any]) -> Dataset:
    """Cut crops from images and from their targets, which may have channels of their own.

    Parameters
    ----------
    images, crops, where
        See `tasks.train.data.training_data`; ``where["target_names"]`` are the names of the channels of the targets.

    Raises
    ------
    ImageError
        If images and targets do not match, or a target is constant.
    OptionError
        If there is no target for each image.
    """
    where = dict(where)
    names = tuple(where.pop("target_names", ()))
    if where.get("targets") is None:
        raise OptionError("pairs of images are needed, and nothing was given that is to be made of them (targets)")
    several = list(images) if isinstance(images, list | tuple) else [images]
    axes = where.get("axes")
    letters = list(axes) if isinstance(axes, list | tuple) else [axes] * len(several)
    if len(letters) != len(several):
        raise OptionError(f"{len(letters)} axes were given for {len(several)} images: give one for each")
    sources = [CropSource(image, each) for image, each in zip(several, letters, strict=True)]
    pairs = open_targets(sources, where["targets"], where.get("target_axes"))
    notes = _checked(sources, pairs)
    found = cut_crops(several, crops, **where)
    assert found.targets is not None
    # Over all dimensions but N: (N, C, Y, X) or (N, C, Z, Y, X). NaN in an image is found by `cut_crops` itself.
    known = np.isfinite(found.targets).all(axis=tuple(range(1, found.targets.ndim)))
    if not known.any():
        raise ImageError("all crops of the targets hold NaN or infinite pixels: fill them first, with inpaint")
    found = found if known.all() else _only(found, known)
    assert found.targets is not None
    # After the crops with NaN are gone, and of training crops only.
    low, high = _target_range(found)
    count = found.targets.shape[1]
    if names and len(names) != count:
        raise OptionError(f"{len(names)} channel names were given for {count} channels of the targets: give one each")
    wanted = {"low": list(low), "high": list(high), "names": list(names or ("",) * count)}
    return replace(found, measured={"targets": wanted}, notes=(*found.notes, *notes))


def _checked(sources: Sequence[CropSource], pairs: Sequence[CropSource]) -> tuple[str, ...]:
    """Refuse pairs that differ in shape or are shifted; return notes where that is not sure, or nothing is alike."""
    unlike, notes = [], []
    for number, (source, target) in enumerate(zip(sources, pairs, strict=True), 1):
        name = f"image {number} and its target" if len(sources) > 1 else "the image and its target"
        shapes = [(*one.outer, one.height, one.width) for one in (source, target)]
        if shapes[0] != shapes[1]:
            shown = " and ".join(f"{tuple(one.data.shape)} ({one.axes})" for one in (source, target))
            raise ImageError(
                f"{name} have the shapes {shown}: they must match pixel by pixel; only channels may differ"
            )
        # The result has the axes of the image, and RGB has a dimension for exactly three colours.
        if source.axes.rgb and target.channels != source.channels:
            raise ImageError(
                f"{name}: the image is RGB and the target has {target.channels} channels, so that the result could not "
                "be RGB: give the image as channels (axes 'CYX')"
            )
        best = _nearest(source, target, name)
        # Refused: what is learnt from shifted pairs is a blur. A weak match only gets a note, as another stain may show
        # other structures, and those beside each other match when shifted (a Golgi and its nucleus with 0.5): the same
        # structures are those of which one image tells most of the variance of the other.
        if best.is_shifted:
            (y, x), how = best.shift, f"(correlation {best.correlation:.2f} as they are, {best.best:.2f} when shifted)"
            if best.best**2 > 1 / 2:
                raise ImageError(f"{name} are shifted by {y} px along y and {x} px along x: register them first {how}")
            notes.append(
                f"{name} match better shifted by {y} px along y and {x} px along x {how}: structures may lie beside "
                "each other, but if the images are not registered, the model learns a blur"
            )
        if abs(best.correlation) < best.needed:
            unlike.append(number)
    if unlike:
        which = f"image{'s' if len(unlike) > 1 else ''} {', '.join(map(str, unlike))} and the target"
        notes.append(
            f"no channel of {which} has structures in the same places (correlation below what chance gives): check "
            "that they belong together"
        )
    return tuple(notes)


def _nearest(source: CropSource, target: CropSource, name: str) -> Match:
    """Return how the channels match that match best; channels that are darker where others are brighter match too."""
    # The middle plane of each, every channel with every other: which one resembles which is not known.
    planes = [one.plane(one.n_planes // 2) for one in (source, target)]
    require_another(planes[0], planes[1], name)
    for plane in planes[1]:
        # So written that a plane of NaN alone is refused, too.
        if not float(np.nanmax(plane)) > float(np.nanmin(plane)):
            raise ImageError(f"{name}: a channel of the target is constant ({float(np.nanmin(plane)):g})")
    found = [match(one, other) for one in planes[0] for other in planes[1]]
    # The better of the two readings of each pair; a negative correlation counts only unshifted.
    return max(found, key=lambda each: max(abs(each.correlation), each.best))


def _only(found: Dataset, kept: Any) -> Dataset:
    assert found.targets is not None
    names = ("x", "targets", "source", "place", "held_out", "label")
    words = (
        "crop of the targets holds NaN or infinite pixels and was",
        "crops of the targets hold NaN or infinite pixels and were",
    )
    note = f"{number_of(int((~kept).sum()), *words)} left out"
    return replace(found, **{name: getattr(found, name)[kept] for name in names}, notes=(*found.notes, note))


def _target_range(found: Dataset) -> tuple[tuple[float, ...], tuple[float, ...]]:
    assert found.targets is not None
    try:
        return grey_range(found.targets[~found.held_out])
    except ImageError as error:
        raise ImageError(f"targets: {error}") from None
