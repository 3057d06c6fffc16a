"""Open the files that a model is trained on, and find which belong together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari_genrecon.errors import OptionError
from napari_genrecon.io.reader import open_image
from napari_genrecon.plural import number_of

__all__ = ["image_keywords", "paired"]

_NAMED = 3  # files that a sentence names


def image_keywords(
    paths: Sequence[Path],
    *,
    axes: str | None = None,
    labels: Sequence[Path] = (),
    targets: Sequence[Path] = (),
    series: int | str | None = None,
) -> tuple[list[Any], dict[str, Any], tuple[str, ...]]:
    """Open image files as arguments of `train_steps`.

    Parameters
    ----------
    paths : sequence of Path
        Image files.
    axes : str, optional
        What their dimensions mean, if the files do not state it or are wrong.
    labels : sequence of Path
        One labels image per image, or none.
    targets : sequence of Path
        One target per image, paired by name or by order; see `paired`. Or none.
    series : int or str, optional
        Which image of files that hold several.

    Returns
    -------
    images : list of array_like
    where : dict
        Keywords of `cut_crops`.
    notes : tuple of str
        Notes for the user.
    """
    if labels and len(labels) != len(paths):
        given = number_of(len(labels), "labels file was", "labels files were")
        images = number_of(len(paths), "image", "images")
        raise OptionError(f"{given} given for {images}: give one for each, in order")
    # Without targets an image stands for its own, so that one list holds both cases.
    pairs, pairing = paired(paths, targets) if targets else ([(path, path) for path in paths], ())
    paths = [path for path, _ in pairs]
    opened = [open_image(path, axes=axes, series=series) for path in paths]
    abouts = [image.about.filled() for image in opened]
    sizes = [(a.scale[a.axes.y], a.scale[a.axes.x]) for a in abouts]
    units = [(a.units[a.axes.y], a.units[a.axes.x]) for a in abouts]
    notes = list(pairing)
    # Only told: crops of other pixel sizes can be trained on, but the card has room for one.
    if len(set(zip(sizes, units, strict=True))) > 1:
        said = ", ".join(sorted({f"{size[1]:g} {unit[1]}" for size, unit in zip(sizes, units, strict=True)}))
        notes.append(f"the images have different pixel sizes ({said}): the model gets that of the first")
    names = opened[0].channel_names if abouts[0].axes.channel is not None else ()
    where = {
        "axes": [image.axes for image in opened],
        # None and not an empty list, which would be one list of labels for no image.
        "labels": [open_image(path).data for path in labels] or None,
        "pixel_size": sizes[0],
        "units": units[0],
        "channel_names": names,
    }
    if targets:
        # Their own axes: those given for the images need not hold for the targets.
        wanted = [open_image(target) for _, target in pairs]
        where["targets"] = [target.data for target in wanted]
        where["target_axes"] = [target.axes for target in wanted]
        where["target_names"] = wanted[0].channel_names if wanted[0].axes.channel is not None else ()
    return [image.data for image in opened], where, tuple(notes)


def paired(images: Sequence[Path], targets: Sequence[Path]) -> tuple[list[tuple[Path, Path]], tuple[str, ...]]:
    """Return which target belongs to which image, by their names if some are equal, else by their order.

    Parameters
    ----------
    images, targets : sequence of Path
        Files; their endings do not count.

    Returns
    -------
    pairs : list of (Path, Path)
    notes : tuple of str
        How they were paired, and what was left out.

    Raises
    ------
    OptionError
        If no names are equal and there are more of one than of the other.
    """
    named = {_stem(path): path for path in targets}
    by_name = [(path, named[_stem(path)]) for path in images if _stem(path) in named]
    # One of each belong together, whatever their names.
    if len(images) == len(targets) == 1:
        return [(images[0], targets[0])], ()
    # Some equal names are no accident: files without a partner are left out, and never paired by order.
    if by_name:
        used = {path for pair in by_name for path in pair}
        left = [path.name for path in (*images, *targets) if path not in used]
        words = ("file has no partner of the same name and is", "files have no partner of the same name and are")
        notes = (f"{number_of(len(left), *words)} left out: {_some(left)}",) if left else ()
        return by_name, (number_of(len(by_name), "pair by name", "pairs by name"), *notes)
    # By order, one file more or less would shift all pairs after it.
    if len(images) != len(targets):
        raise OptionError(
            f"there are {len(images)} images and {len(targets)} targets, and none have the same name, so they cannot "
            f"be paired: name a target as its image ({_some([path.name for path in images])})"
        )
    pairs = list(zip(images, targets, strict=True))
    shown = _some([f"{image.name} with {target.name}" for image, target in pairs])
    return pairs, (f"{number_of(len(pairs), 'pair', 'pairs')} by order, as no names are equal: {shown}",)


def _stem(path: Path) -> str:
    # Up to the first dot, since ``.ome.tif`` has two; without case, which some file systems ignore.
    return path.name.partition(".")[0].casefold()


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")
