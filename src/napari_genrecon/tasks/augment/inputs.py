"""Open image files with the labels and points that belong to them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from napari_genrecon.errors import OptionError
from napari_genrecon.io.folders import Found, find_images
from napari_genrecon.io.image_file import ImageFile
from napari_genrecon.io.points import read_places
from napari_genrecon.io.reader import open_image
from napari_genrecon.plural import number_of
from napari_genrecon.tasks.augment.folder import Source
from napari_genrecon.tasks.files import finished

__all__ = ["belonging", "open_sources"]


def open_sources(
    images: Sequence[Path],
    labels: Sequence[Path] = (),
    points: Sequence[Path] = (),
    *,
    axes: str | None = None,
    stack: bool = False,
    recursive: bool = False,
) -> tuple[list[Source], list[str]]:
    """Open images, and find the labels and points of each.

    Parameters
    ----------
    images : sequence of Path
        Image files, and folders of them.
    labels, points : sequence of Path
        One file for each image, in order; or folders, whose files belong to the images with whose names theirs begin.
    axes, stack, recursive
        See `io.reader.open_image` and `io.folders.find_images`.

    Returns
    -------
    sources : list of Source
    notes : list of str
        Sentences about files that were left out.

    Raises
    ------
    OptionError
        If an image has no labels or points, or several.
    """
    found, notes = find_images(images, stack=stack, recursive=recursive)
    label_list = _listed(labels)
    # Labels that were named one by one are no images by mistake; a folder may hold both.
    if any(path.is_dir() for path in labels):
        found, label_list = _apart(found, label_list)
    opened, made = list[ImageFile](), list[ImageFile]()
    for item in found:
        image = finished(open_image(item.path, axes=axes))
        # A copy of a copy would be deformed twice, and could lie in another part of the split than its origin.
        (made if (image.record or {}).get("task") == "augment" else opened).append(image)
    notes += [f"{image.path} is a new image already and is left out" for image in made]
    names = [image.name for image in opened]
    label_files = belonging(names, label_list, "labels", in_order=not any(path.is_dir() for path in labels))
    point_files = belonging(names, _listed_points(points), "points", in_order=not any(path.is_dir() for path in points))
    sources = [
        Source(
            name=image.name,
            pixels=image.data,
            about=image.about,
            # Pixels stay in the file until their image has its turn.
            labels=None if label is None else open_image(label).data,
            points=None if point is None else read_places(point),
            path=str(image.path.resolve()),
        )
        for image, label, point in zip(opened, label_files, point_files, strict=True)
    ]
    return sources, notes


def belonging(names: Sequence[str], files: Sequence[Path], what: str, *, in_order: bool) -> list[Path | None]:
    """Return the file that belongs to each image, or None for each if there are no files.

    Parameters
    ----------
    names : sequence of str
        Names of the images, without endings.
    files : sequence of Path
        Files of labels or points.
    what : str
        What they are, for the message.
    in_order : bool
        Whether they were named one by one, in the order of the images; else they are found by their names.
    """
    if not files:
        return [None] * len(names)
    if in_order:
        if len(files) != len(names):
            given = number_of(len(files), f"file of {what} was", f"files of {what} were")
            raise OptionError(
                f"{given} given for {number_of(len(names), 'image', 'images')}: give one for each, in order, or the "
                "folder that holds them"
            )
        # Whoever names files one by one may call them anything.
        return list(files)
    return [_of_name(name, files, what) for name in names]


def _of_name(name: str, files: Sequence[Path], what: str) -> Path:
    # In a folder of labels alone the names are often the same as those of the images: these come first.
    exact = [path for path in files if _stem(path) == name]
    begun = [path for path in files if _is_longer(_stem(path), name)]
    # None or several: asking is better than guessing which labels belong to it.
    found = exact or begun
    if len(found) != 1:
        listed = ", ".join(path.name for path in found) or "none"
        raise OptionError(
            f"the image {name} needs one file of {what} whose name begins with its own, such as {name}_{what}; found: "
            f"{listed}"
        )
    return found[0]


def _apart(images: list[Found], labels: list[Path]) -> tuple[list[Found], list[Path]]:
    """Tell labels from images where one folder holds both: labels have the name of an image and more."""
    # Resolved, as one file may be named in two ways.
    both = {item.path.resolve() for item in images} & {path.resolve() for path in labels}
    stems = {_stem(path) for path in both}
    # img1_mask.tif belongs to img1.tif, whose name it begins with.
    of_image = {path for path in both if any(_is_longer(_stem(path), stem) for stem in stems)}
    return (
        [item for item in images if item.path.resolve() not in of_image],
        [path for path in labels if path.resolve() not in both - of_image],
    )


def _is_longer(name: str, image: str) -> bool:
    """Return whether a name is that of an image and more, and not that of another image with a longer number."""
    # img10 begins with img1, and is another image: what follows must not be a letter or a digit.
    return len(name) > len(image) and name.startswith(image) and not name[len(image)].isalnum()


def _stem(path: Path) -> str:
    # Names such as img.ome.tif have two endings.
    return path.name.partition(".ome.")[0] if ".ome." in path.name else path.stem


def _listed(paths: Sequence[Path]) -> list[Path]:
    return [item.path for item in find_images(paths)[0]] if paths else []


def _listed_points(paths: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        found += sorted(path.glob("*.csv")) if path.is_dir() else [path]
    if paths and not found:
        raise OptionError(f"there is no CSV file of points in {', '.join(map(str, paths))}")
    return found
