"""Make the dataset of a recipe from images: crops of grey values, or pairs of planes as a denoiser sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.axes import Axes, resolve_axes
from napari_genrecon.errors import ImageError, OptionError
from napari_genrecon.io.layers import stacked
from napari_genrecon.noise import NoiseModel
from napari_genrecon.noise.model import FAINT, FAR
from napari_genrecon.tasks.denoise import DenoisePlanes, measured_planes
from napari_genrecon.tasks.measure import measure_crops
from napari_genrecon.tasks.train.images import pairs_of_images
from napari_genrecon.training import all_recipes
from napari_genrecon.training.data.blind import blind_reach, least_size
from napari_genrecon.training.data.cut import cut_crops, open_targets
from napari_genrecon.training.data.dataset import CropOptions, Dataset
from napari_genrecon.training.data.match import change, fit_levels, require_another, require_match, saturated
from napari_genrecon.training.data.source import CropSource, outer_letters
from napari_genrecon.training.recipe import Recipe

__all__ = ["training_data"]

Grey = NDArray[Any]

_MOST_FRAMES = 4  # repeats that a target is the mean of: their noise is then half as strong, and more bring little
_CHANGED, _MOVED = 2.5, 10.0  # see `change`: above what noise alone gives; where movement is most of the difference
_STRIP = 2048  # rows of a plane that are read at once: bounds the memory for planes of any size
_NOISIER = 0.5  # of the contrast-to-noise ratio of the image; two repeats, which may be a pair too, have 0.86 or more
_SATURATED = 0.25  # share of clipped pixels from which a target shows nothing of the brightest structures


def training_data(recipe: Recipe, images: Any, crops: CropOptions, where: dict[str, Any]) -> Dataset:
    """Cut the crops that a recipe trains on.

    Parameters
    ----------
    recipe : Recipe
        The recipe.
    images : (..., Y, X) array_like, or a list of them
        Images; for Noise2Noise, repeats of one field, or movies; for Noise2Void, single noisy images or movies.
    crops : CropOptions
        How crops are cut.
    where : dict
        Further keywords of `cut_crops`.

    Raises
    ------
    ImageError
        If there are too few crops, or images and targets, or frames, do not match.
    OptionError
        If what the recipe needs was not given.
    """
    if crops.depth is not None and not recipe.kept_3d:
        deep = " or ".join(each.label for each in all_recipes() if each.kept_3d)
        raise OptionError(f"{recipe.label} takes planes: leave out the depth of the crops. {deep} trains in 3D, too")
    # Grey values in, grey values out: such pairs need no noise model.
    if not recipe.stabilised and "targets" in recipe.needs:
        return pairs_of_images(images, crops, where)
    # Only pairs of images name the channels of their targets; `cut_crops` does not know this keyword.
    where = {key: value for key, value in where.items() if key != "target_names"}
    if not recipe.stabilised:
        return cut_crops(images, crops, **where)
    if where.get("groups") is not None:
        raise OptionError(f"{recipe.label} takes planes of whole images: leave out groups")
    if "targets" in recipe.needs:
        return _from_targets(images, crops, where)
    if where.get("targets") is not None:
        said = "repeats" if "frames" in recipe.needs else "noisy images"
        raise OptionError(f"{recipe.label} learns from {said} alone: leave out the targets, or train on pairs")
    return _from_frames(images, crops, where) if "frames" in recipe.needs else _from_single(images, crops, where)


# --- images and targets ---


def _from_targets(images: Any, crops: CropOptions, where: dict[str, Any]) -> Dataset:
    if where.get("targets") is None:
        raise OptionError("pairs of noisy and clean images are needed, and no clean ones (targets) were given")
    several = _listed(images)
    sources = _opened(several, where.get("axes"))
    # Before the crops are cut: the message tells of whole images, and the cutting takes longer.
    _check_pairs(sources, open_targets(sources, where["targets"], where.get("target_axes")))
    found = cut_crops(several, crops, **where)
    assert found.targets is not None
    kernels = [measured_planes(source.data, source.axes) for source in sources]
    # Image by image and channel by channel, since each has a noise model and a brightness of its own.
    targets = np.empty(found.x.shape, np.float32)
    for source, channel in np.ndindex(len(sources), found.channels):
        mine = np.flatnonzero(found.source == source)
        # All crops of an image may have been left out, as too many, constant or in the gap.
        if len(mine):
            noisy, clean = found.x[mine, channel], found.targets[mine, channel]
            targets[mine, channel] = _expected(kernels[source], channel, noisy, clean)
    return _planes(found, sources, kernels, targets, {})


def _check_pairs(sources: list[CropSource], targets: list[CropSource]) -> None:
    for number, (source, target) in enumerate(zip(sources, targets, strict=True), 1):
        names = f"image {number} and its target" if len(sources) > 1 else "the image and its target"
        shapes = [(*one.outer, one.height, one.width) for one in (source, target)]
        if shapes[0] != shapes[1] or source.channels != target.channels:
            shown = " and ".join(f"{tuple(one.data.shape)} ({one.axes})" for one in (source, target))
            raise ImageError(
                f"{names} have the shapes {shown}: they must match pixel by pixel, channel by channel. To learn other "
                "channels than those of the image, train image to image"
            )
        # One plane of each is compared, the middle one: to read whole stacks would take long.
        planes = [one.plane(one.n_planes // 2) for one in (source, target)]
        require_another(planes[0], planes[1], names)
        for noisy, clean in zip(*planes, strict=True):
            require_match(noisy, clean, names)
            _require_less_noise(noisy, clean, names)
            if saturated(clean) > _SATURATED:
                raise ImageError(
                    f"{names}: {100 * saturated(clean):.0f} % of the pixels of the target are at its largest value "
                    f"({float(clean.max()):g}), so it is saturated: expose it shorter, or leave this pair out"
                )


def _expected(kernel: DenoisePlanes, index: int, noisy: Grey, clean: Grey) -> NDArray[np.float32]:
    """Return what a denoiser should make of stabilised crops, so that its inverse gives the clean grey values."""
    channel = kernel.channels[index]
    if channel is None:
        return np.zeros(noisy.shape, np.float32)  # refused in `_planes`
    known = np.isfinite(clean).all(axis=(1, 2))  # the other crops are left out in `_planes`
    if not known.any():
        raise ImageError("all crops of a target hold NaN or infinite pixels: fill them first, with inpaint for example")
    # One line for all crops of the image: a clean image may be exposed longer, and has another offset then.
    slope, offset = fit_levels(noisy[known], clean[known])
    wanted = slope * clean.astype(np.float64) + offset
    # The range of the table: what the clean values become, and 2 noise s.d. more on either side.
    seen = channel.transform.forward(np.array([wanted[known].min(), wanted[known].max()]))
    # `inverse` does not undo `forward`: it makes the mean over the noise right. The target is therefore looked up: the
    # stabilised value of which the inverse is the clean grey value.
    table = np.arange(float(seen.min()) - 2, float(seen.max()) + 2, FAINT)
    # `interp` wants ascending values, which the rounded inverse does not promise.
    grey = np.maximum.accumulate(channel.transform.inverse(table, dtype=np.float64))
    return (np.interp(wanted, grey, table) - channel.centre).astype(np.float32)


# --- repeats and movies ---


def _from_frames(images: Any, crops: CropOptions, where: dict[str, Any]) -> Dataset:
    several, axes, repeats = _movies(images, where.get("axes"))
    sources = _opened(several, axes)
    along = [_frame_axis(source) for source in sources]
    for number, (source, axis) in enumerate(zip(sources, along, strict=True), 1):
        _check_frames(source, axis, f"of image {number} " if len(sources) > 1 else "")
    # The crops of all frames; their partners are cut below at the same rows and columns.
    found = cut_crops(several, crops, **{**where, "axes": axes})
    kernels = [measured_planes(source.data, source.axes) for source in sources]
    count = min(source.outer[axis] for source, axis in zip(sources, along, strict=True)) - 1
    # In a movie only the next frame is like enough.
    n_partners = min(count, _MOST_FRAMES) if repeats else 1
    total = np.zeros(found.x.shape, np.float32)
    for turn in range(1, n_partners + 1):
        place = found.place.copy()
        for number, (source, axis) in enumerate(zip(sources, along, strict=True)):
            mine = found.source == number
            place[mine, 0] = _partner(place[mine, 0], source.outer, axis, turn, repeats)
        # Summed turn by turn: the partners of all crops at once would take several times the memory.
        total += _stabilised(sources, kernels, found, place) / n_partners
    notes = () if repeats else (_about_frames(sources[0], along[0]),)
    made = _planes(found, sources, kernels, total, {"frames": n_partners})
    return replace(made, notes=(*found.notes, *notes, *_on_change(made)))


def _movies(images: Any, axes: Any) -> tuple[list[Any], list[Axes], bool]:
    """Return movies with their axes, and whether their frames are repeats of one field rather than a movie."""
    several = _listed(images)
    letters = _axes_of(several, axes)
    # One image, or images with a time axis, are movies, each with frames of its own.
    if len(several) == 1 or any("T" in each.letters for each in letters):
        return several, letters, False
    shapes = {tuple(image.shape) for image in several}
    if len(shapes) > 1:
        shown = ", ".join(sorted(map(str, shapes)))
        raise ImageError(f"the repeats have different shapes ({shown}): give images of one field and one size")
    # Several single images are the frames of one movie, whose order means nothing.
    return [stacked(several)], [Axes("T" + letters[0].letters)], True


def _frame_axis(source: CropSource) -> int:
    """Return which of the outer dimensions of an image holds its frames: T, else Z, else the first."""
    letters = outer_letters(source.axes)
    axis = next((letters.index(letter) for letter in "TZ" if letter in letters), 0)
    if not letters or source.outer[axis] < 2:
        raise ImageError(
            f"repeats of a field are needed, and this image has the shape {tuple(source.data.shape)} ({source.axes}): "
            "give a list of images of one field, or a movie (T)"
        )
    return axis


def _about_frames(source: CropSource, axis: int) -> str:
    letter = outer_letters(source.axes)[axis]
    what = "planes along Z" if letter == "Z" else f"frames along {letter}"
    return (
        f"each of the {source.outer[axis]} {what} is learnt from its neighbour: what differs between them besides the "
        "noise is learnt to be blurred"
    )


def _on_change(pairs: Dataset) -> tuple[str, ...]:
    """Return a note if structures change between frames, and refuse frames that differ by little else."""
    assert pairs.targets is not None
    times = change(pairs.x[:, 0], pairs.targets[:, 0])
    if times < _CHANGED:
        return ()
    said = f"the frames differ {times:.3g} times more strongly where there are structures than elsewhere: things move"
    if times > _MOVED:
        raise ImageError(f"{said}, and would be learnt to be blurred. Give repeats of a field in which nothing moves")
    return (f"{said} or fade. What moves is learnt to be blurred, which the held-out score cannot tell",)


def _check_frames(source: CropSource, axis: int, name: str) -> None:
    """Refuse frames that do not match their neighbours, in the middle of the movie."""
    # In the middle of all other dimensions as well.
    first = source.outer[axis] // 2 - 1
    index = [n // 2 for n in source.outer]
    planes = []
    for frame in (first, first + 1):
        index[axis] = frame
        planes.append(source.plane(int(np.ravel_multi_index(index, source.outer))))
    for one, other in zip(*planes, strict=True):
        require_match(one, other, f"frames {first} and {first + 1} {name}".rstrip())


def _partner(
    plane: NDArray[np.int64], outer: tuple[int, ...], axis: int, turn: int, repeats: bool
) -> NDArray[np.int64]:
    """Return the planes of the frames from which these are learnt: the next one, or for the last the one before."""
    # Only the frame changes: the partner lies at the same depth and position of the other dimensions.
    index = list(np.unravel_index(plane, outer))
    last = outer[axis] - 1
    if repeats:
        # Around in a circle: every frame has as many partners.
        index[axis] = (index[axis] + turn) % outer[axis]
    else:
        index[axis] = np.where(index[axis] < last, index[axis] + 1, last - 1)
    return np.ravel_multi_index(index, outer).astype(np.int64)


# --- single images ---


def _from_single(images: Any, crops: CropOptions, where: dict[str, Any]) -> Dataset:
    several = _listed(images)
    sources = _opened(several, where.get("axes"))
    found = cut_crops(several, crops, **where)
    kernels = [measured_planes(source.data, source.axes) for source in sources]
    noise = _noise(kernels)
    reach = blind_reach(noise) if noise else (0, 0)  # no noise in any channel is refused in `_planes`
    # The grid of hidden pixels may begin anywhere, and must leave one in every crop.
    if min(found.height, found.size) < least_size(reach):
        raise ImageError(
            f"the crops have {found.size} pixels a side, and pixels hidden as far as the noise is correlated need "
            f"{least_size(reach)}: cut larger crops"
        )
    made = _planes(found, sources, kernels, None, {"blind": list(reach)})
    return replace(made, notes=(*found.notes, *_on_reach(noise, reach)))


def _on_reach(noise: Sequence[NoiseModel], reach: tuple[int, int]) -> tuple[str, ...]:
    """Return sentences on how wide the hidden spots are, and what may be correlated beyond them."""
    shape = f"{2 * reach[1] + 1} x {2 * reach[0] + 1}"
    notes = [f"the noise is correlated between neighbours: spots of {shape} pixels are hidden"] if any(reach) else []
    if any(model.textured for model in noise):
        notes.append(
            "the correlation of the noise could not be measured, as no part of the image is even: single pixels are "
            "hidden, and noise that is correlated would be learnt as structure"
        )
    if max(reach) == FAR[-1]:
        notes.append(f"the noise is correlated over {FAR[-1]} pixels or more: its coarse part is learnt as structure")
    return tuple(notes)


# --- all ---


def _listed(images: Any) -> list[Any]:
    several = list(images) if isinstance(images, list | tuple) else [images]
    return [image if hasattr(image, "shape") else np.asarray(image) for image in several]


def _axes_of(images: list[Any], axes: Any) -> list[Axes]:
    given = axes if isinstance(axes, list | tuple) else [axes] * len(images)
    if len(given) != len(images):
        raise OptionError(f"{len(given)} axes were given for {len(images)} images: give one for each")
    return [resolve_axes(letters, image.shape) for letters, image in zip(given, images, strict=True)]


def _require_less_noise(image: Grey, target: Grey, names: str) -> None:
    """Refuse a pair that is the wrong way round: what is trained on it makes noise."""
    of_image, of_target = (measure_crops([plane]).snr for plane in (image, target))
    # 0 is unknown.
    if 0 < of_target < _NOISIER * of_image:
        raise ImageError(
            f"{names}: the target is noisier than the image (contrast-to-noise ratio {of_target:.3g}, and "
            f"{of_image:.3g} of the image): choose the noisy ones as images and the clean ones as targets"
        )


def _opened(images: list[Any], axes: Any) -> list[CropSource]:
    return [CropSource(image, letters) for image, letters in zip(images, _axes_of(images, axes), strict=True)]


def _stabilised(
    sources: Sequence[CropSource], kernels: Sequence[DenoisePlanes], found: Dataset, place: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return (N, C, Y, X) crops at these places with noise of s.d. 1, as the denoiser sees them in use."""
    out = np.zeros((len(place), found.channels, found.size, found.size), np.float32)
    # By image, plane and strip of rows: to stabilise whole strips is ten times faster than crop by crop.
    strips = np.stack([found.source, place[:, 0], place[:, 1] // _STRIP], axis=1)
    for strip in np.unique(strips, axis=0):
        mine = np.flatnonzero(np.all(strips == strip, axis=1))
        low, high = place[mine, 1:].min(0), place[mine, 1:].max(0) + found.size
        block = sources[strip[0]].read(int(strip[1]), slice(low[0], high[0]), slice(low[1], high[1]))
        planes = _seen(kernels[strip[0]], block, int(strip[0]) + 1)
        for item, (y, x) in zip(mine, place[mine, 1:] - low, strict=True):
            out[item] = planes[:, y : y + found.size, x : x + found.size]
    return out


def _seen(kernel: DenoisePlanes, block: Grey, number: int) -> NDArray[np.float32]:
    """Return the channels (C, Y, X) of a region of a plane as the denoiser sees them."""
    planes = []
    for index, plane in enumerate(block):
        channel = kernel.channels[index]
        if channel is None:
            raise ImageError(
                f"no noise was found in channel {index} of image {number}: there is nothing to remove, so leave it out"
            )
        # float32 holds all whole numbers of 16 bits; those of 32 bits need float64.
        plane = plane.astype(np.float32 if plane.dtype.itemsize <= 2 else np.float64, copy=False)
        # Hot and missing pixels are filled as in use: the network must not learn to draw them.
        planes.append(channel.stabilise(channel.even(plane)[0]))
    return np.stack(planes)


def _planes(
    found: Dataset,
    sources: Sequence[CropSource],
    kernels: Sequence[DenoisePlanes],
    targets: NDArray[np.float32] | None,
    facts: dict[str, Any],
) -> Dataset:
    """Return the dataset with stabilised planes of one channel each, and what the network is told of their noise."""
    x = _stabilised(sources, kernels, found, found.place)
    # The strength is 1, as the planes are stabilised; the correlations are those of image and channel.
    told = np.array(
        [[(1.0, *_correlations(kernels[s], c)) for c in range(found.channels)] for s in found.source], np.float32
    )
    # (N * C,): every channel of a crop becomes an item, and those with NaN in their target are left out.
    kept = np.isfinite(x if targets is None else targets).all(axis=(2, 3)).ravel()
    # For each item the crop that it comes from, so that place and split go with it.
    several = np.repeat(np.arange(len(found)), found.channels)[kept]
    side = (1, *x.shape[2:])
    return replace(
        found,
        x=x.reshape(-1, *side)[kept],
        targets=None if targets is None else targets.reshape(-1, *side)[kept],
        told=told.reshape(-1, told.shape[2])[kept],
        source=found.source[several],
        place=found.place[several],
        held_out=found.held_out[several],
        label=found.label[several],
        # No grey values any more: neither their range nor the names of channels mean anything for a stabilised plane.
        channel_names=(),
        low=(),
        high=(),
        measured={
            **facts,
            **_about_noise(_noise(kernels)),
            "channels": found.channels,
            "names": list(found.channel_names),
        },
    )


def _correlations(kernel: DenoisePlanes, index: int) -> tuple[float, ...]:
    channel = kernel.channels[index]
    assert channel is not None
    return channel.noise.correlations


def _noise(kernels: Sequence[DenoisePlanes]) -> list[NoiseModel]:
    return [channel.noise for kernel in kernels for channel in kernel.channels if channel is not None]


def _about_noise(noise: Sequence[NoiseModel]) -> dict[str, Any]:
    """Return the ranges of brightness in noise s.d. and of the correlation, by which unlike images are known."""
    snr = [model.snr for model in noise if np.isfinite(model.snr)]
    rho = [max(model.rho_x, model.rho_y) for model in noise]
    return {"snr": [min(snr), max(snr)] if snr else [], "rho": [min(rho), max(rho)]}
