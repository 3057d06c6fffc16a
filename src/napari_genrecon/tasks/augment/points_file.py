"""Read and write points as CSV: the table that napari saves, or plain columns of numbers."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.errors import ImageError

__all__ = ["points_text", "read_points"]

_MOST = 64 << 20  # bytes: about two million points; more would be an image


def read_points(path: Path) -> NDArray[np.float64]:
    """Return the points of a CSV file, in pixels.

    Parameters
    ----------
    path : Path
        Points as napari saves them (columns ``index, axis-0, axis-1, ...``), columns named by letters of dimensions
        (``z, y, x``; others are left out), or numbers alone, one row per point.

    Returns
    -------
    (N, D) ndarray of float64

    Raises
    ------
    ImageError
        If the file is missing, too large, or holds anything else.
    """
    try:
        if path.stat().st_size > _MOST:
            raise ImageError(f"{path} has {path.stat().st_size} bytes, too many for points: at most {_MOST} are read")
        rows = [row for row in csv.reader(path.read_text("utf-8-sig").splitlines()) if any(map(str.strip, row))]
    except OSError as error:
        raise ImageError(f"{path} cannot be read ({error.strerror or error})") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ImageError(f"{path} is no CSV file in UTF-8: {error}") from error
    if not rows:
        raise ImageError(f"{path} is empty: a row of numbers for each point is needed")
    columns, rows = (list(range(len(rows[0]))), rows) if _is_number(rows[0][0]) else (_columns(path, rows[0]), rows[1:])
    try:
        return np.array([[float(row[i]) for i in columns] for row in rows], np.float64).reshape(-1, len(columns))
    except (ValueError, IndexError) as error:
        raise ImageError(
            f"{path} holds a row without a number in each of its {len(columns)} columns: {error}"
        ) from error


def points_text(points: NDArray[np.float64]) -> str:
    """Return points as the CSV that napari reads as a points layer."""
    head = ",".join(["index", *(f"axis-{i}" for i in range(points.shape[1]))])
    rows = (",".join([str(float(index)), *(repr(float(v)) for v in point)]) for index, point in enumerate(points))
    return "\n".join([head, *rows]) + "\n"


def _columns(path: Path, head: list[str]) -> list[int]:
    """Return the columns that hold coordinates, in the order of the dimensions."""
    names = [name.strip().lower() for name in head]
    axes = sorted(name for name in names if name.startswith("axis-"))
    found = axes or [letter for letter in "ptzyx" if letter in names]
    if len(found) < 2:
        raise ImageError(f"{path} has the columns {', '.join(head)}: y and x, or axis-0 and axis-1, are needed")
    return [names.index(name) for name in found]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
