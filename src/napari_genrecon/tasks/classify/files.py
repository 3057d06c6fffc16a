"""Read what the command line is given: tables of classes, points, and folders whose subfolders are classes."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.errors import ImageError, OptionError
from napari_genrecon.io.formats import is_image

__all__ = ["class_folders", "read_classes", "read_points"]

_LARGEST = 64 << 20  # bytes of a table: a million objects


def read_classes(path: Path, images: Sequence[Path], *, points: bool = False) -> list[dict[int, str]]:
    """Read the classes of some objects of images.

    Parameters
    ----------
    path : Path
        CSV with the columns ``label`` (or ``index``) and ``class``, and ``image`` where there are several images: the
        name of the file, with or without its ending. A column ``given``, as `classify` writes it, is read instead of
        ``class``, which then holds predictions. Rows without a class are skipped.
    images : sequence of Path
        The images.
    points : bool
        Whether the objects are points. A column ``index`` then counts them from 0, as files of points do.

    Returns
    -------
    list of dict of int to str
        Class by label, for each image. Points are numbered from 1.

    Raises
    ------
    OptionError
        If the table lacks a column, names an image that was not given, or a label is no whole number.
    """
    columns, rows = _read(path)
    # napari writes tables of labels and of points with an "index": the label itself, or the place in the list.
    number = next((name for name in ("label", "index") if name in columns), None)
    shift = 1 if points and number == "index" else 0
    name = next((name for name in ("given", "class") if name in columns), None)
    if number is None or name is None:
        raise OptionError(f"{path} has the columns {', '.join(columns)}: it needs 'label' and 'class'")
    if len(images) > 1 and "image" not in columns:
        raise OptionError(f"{path} needs a column 'image', as {len(images)} images were given")
    known = {key: index for index, image in enumerate(images) for key in (image.stem, image.name, str(image))}
    found: list[dict[int, str]] = [{} for _ in images]
    # Line 1 holds the names of the columns.
    for line, row in enumerate(rows, 2):
        text = (row[name] or "").strip()
        if text:
            index = 0 if len(images) == 1 else known.get((row["image"] or "").strip(), -1)
            if index < 0:
                raise OptionError(f"{path}, line {line}: the image {row['image']!r} is none of those given")
            found[index][_whole(row[number], path, line) + shift] = text
    return found


def read_points(path: Path) -> NDArray[np.float64]:
    """Read (N, D) points in pixels from the columns ``axis-0``, ``axis-1``… that napari writes, or ``z``, ``y``, ``x``.

    Raises
    ------
    OptionError
        If there are no such columns, or a value is no number.
    """
    columns, rows = _read(path)
    used = sorted(name for name in columns if name.startswith("axis-")) or [n for n in "tzyx" if n in columns]
    if len(used) < 2:
        raise OptionError(f"{path} has the columns {', '.join(columns)}: it needs axis-0 and axis-1, or y and x")
    try:
        # The shape also holds where the table has no rows.
        return np.array([[float(row[name] or "") for name in used] for row in rows]).reshape(-1, len(used))
    except (TypeError, ValueError) as error:
        raise OptionError(f"{path} holds a point that is no number: {error}") from None


def class_folders(folder: Path) -> list[tuple[Path, str]]:
    """Return the images of a folder with their class: the name of their subfolder, empty for those beside it.

    Raises
    ------
    ImageError
        If there are not at least two subfolders with images.
    """
    found = []
    for path in sorted(folder.iterdir()):
        # Such as the copies that macOS leaves beside images on other disks: they end like images and hold none.
        if path.name.startswith("."):
            continue
        if is_image(path):
            found.append((path, ""))
        elif path.is_dir():
            found += [(image, path.name) for image in sorted(path.iterdir()) if is_image(image)]
    classes = sorted({name for _, name in found if name})
    if len(classes) < 2:
        raise ImageError(
            f"{folder} has {len(classes)} subfolders with images: it needs one for each class, at least two; to "
            "classify objects give their labels (--labels) or centres (--points)"
        )
    return found


def _read(path: Path) -> tuple[list[str], list[dict[str, str | None]]]:
    try:
        # Before reading: an image that is given by mistake would fill the memory.
        if path.stat().st_size > _LARGEST:
            raise OptionError(f"{path} has more than {_LARGEST >> 20} MB: it is no table of classes")
        # Excel begins its files with a byte order mark, which would become a part of the first name.
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            # Cells beyond the last column come under the key None.
            rows = [{key: value for key, value in row.items() if isinstance(key, str)} for row in reader]
            columns = [name for name in reader.fieldnames or [] if name]
    except OSError as error:
        raise OptionError(f"the table {path} cannot be read: {error.strerror or error}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise OptionError(f"{path} is no CSV table: {error}") from None
    return columns, rows


def _whole(text: str | None, path: Path, line: int) -> int:
    try:
        # Spreadsheets also write whole numbers as 3.0.
        number = float(text or "")
        if not number.is_integer():
            raise ValueError
    except ValueError:
        raise OptionError(f"{path}, line {line}: the label must be a whole number, got {text!r}") from None
    return int(number)
