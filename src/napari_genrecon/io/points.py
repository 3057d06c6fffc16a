"""Points in an image, with features, and the CSV files that hold them.

A file has a line per point: ``index`` and ``axis-0``, ``axis-1`` and so on, in pixels, which napari opens as a Points
layer; then the place in the units of the image, as far as these are known; then the features. The record of how the
points were made stands beside it, in ``NAME.csv.genrecon.json``.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.axes import Axes
from napari_genrecon.errors import ImageError, OptionError
from napari_genrecon.io.image_file import ImageMeta
from napari_genrecon.io.layer_display import further_affine
from napari_genrecon.io.publish import check_target, publishing
from napari_genrecon.io.record.provenance import digest_json
from napari_genrecon.io.record.sidecar import sidecar_of
from napari_genrecon.normal import FWHM
from napari_genrecon.options import is_number

__all__ = [
    "ENDING",
    "Points",
    "check_points_target",
    "places_text",
    "read_columns",
    "read_places",
    "verify_points",
    "without_channels",
    "write_points",
]

ENDING = ".csv"
"""Ending of files of points."""
_MOST_BYTES = 1 << 30  # bytes of a file that is read: 1 GB, some ten million points
# Side of a box, the diameter of a disc, in the size that `detect` states of it. In white noise, the Laplacian of a
# Gaussian of s.d. s finds a disc of radius s best, and a Gaussian of s.d. s / sqrt(3), whose FWHM is the size.
_BOX = 2 * math.sqrt(3) / FWHM
_DIGITS = math.ceil(1 + 24 * math.log10(2))  # that tell any two numbers of 32 bits apart: 9 (Matula, CACM 11, 1968)
_MOST_DIGITS = 17  # that tell any two numbers of 64 bits apart
_PIXEL_DIGITS = 4  # behind those that count pixels: places are written to a thousandth of a pixel, or finer


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Points in an image, with a number per point for every feature.

    Attributes
    ----------
    pixels : (N, D) ndarray of float64
        Places in pixels of the image, a number for every dimension but colours; the centre of the first pixel is 0.
    features : dict of str to (N,) ndarray
        Features by name.
    meta : ImageMeta
        Axes, pixel size, units and place of the image.
    """

    pixels: NDArray[np.float64]
    features: dict[str, NDArray[Any]] = field(default_factory=dict)
    meta: ImageMeta = field(kw_only=True)

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.features[name]

    @property
    def letters(self) -> str:
        """One letter per dimension, that of colours left out."""
        return self.meta.axes.letters.removesuffix("S")

    @property
    def positions(self) -> NDArray[np.float64]:
        """(N, D) places in the units of the image, `units`; where a layer that is rotated or sheared shows them."""
        whole, n = self.meta.filled(), len(self.letters)
        # (N, D) * (D,): colour samples, the last axis, have no place.
        found = np.asarray(self.pixels * np.array(whole.scale[:n]) + np.array(whole.translate[:n]))
        further = further_affine(self.meta)
        return found if further is None else found @ further[:n, :n].T + further[:n, n]

    @property
    def units(self) -> tuple[str, ...]:
        """Unit of every dimension."""
        return self.meta.filled().units[: len(self.letters)]

    def with_boxes(self, shape: Sequence[int]) -> Points:
        """Return the points with a box around each in its plane, cut at the edges of an image of this shape.

        A disc of the object's ``size`` just fits into it. Its edges are further features, in pixels: ``y_min``,
        ``y_max``, ``x_min`` and ``x_max``.
        """
        half, edges = _BOX / 2 * self["size"], dict[str, NDArray[Any]]()
        for letter in "yx":
            axis = self.letters.index(letter.upper())
            # A pixel reaches half a pixel to each side of its centre, as napari draws it.
            ends = -0.5, shape[axis] - 0.5
            edges |= {f"{letter}_min": np.clip(self.pixels[:, axis] - half, *ends)}
            edges |= {f"{letter}_max": np.clip(self.pixels[:, axis] + half, *ends)}
        return replace(self, features={**self.features, **edges})

    @property
    def boxes(self) -> NDArray[np.float64] | None:
        """(N, 4, D) corners of the boxes in pixels, in whole planes, as Shapes layers of napari take them, or None."""
        if "y_min" not in self.features:
            return None
        # (N, 4, D). Rounded, so that the box lies in the plane that the viewer shows, and not between two.
        found = np.repeat(np.round(self.pixels)[:, None], 4, axis=1)
        # Corners in the order in which they are joined: round the box, not across it.
        for letter, corners in (("y", ("min", "min", "max", "max")), ("x", ("min", "max", "max", "min"))):
            found[..., self.letters.index(letter.upper())] = np.stack([self[f"{letter}_{end}"] for end in corners], 1)
        return found

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return all columns of a file by name, in order."""
        places = {f"axis-{axis}": self.pixels[:, axis] for axis in range(len(self.letters))}
        known = {name: self.positions[:, axis] for name, axis in self.unit_columns().items()}
        return {"index": np.arange(len(self)), **places, **known, **self.features}

    def unit_columns(self) -> dict[str, int]:
        """Return the columns of places in units, by name, with their dimension."""
        # Places in pixels stand in columns of their own.
        units = enumerate(zip(self.letters, self.units, strict=True))
        return {f"{letter.lower()}_{unit}": axis for axis, (letter, unit) in units if unit != "pixel"}

    def to_csv(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write the points without a record, whole or not at all.

        Raises
        ------
        OutputError
            If the file exists and may not be replaced, or cannot be written.
        """
        with publishing(Path(path), overwrite=overwrite) as part:
            part.write_bytes(_content(self))
        return Path(path)


def _content(points: Points) -> bytes:
    columns = points.columns()
    text = io.StringIO()
    # The same bytes on every system, as the seal is a checksum of them.
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    written = (_written(column, _digits(points, name, column)) for name, column in columns.items())
    writer.writerows(zip(*written, strict=True))
    return text.getvalue().encode()


def _written(column: NDArray[Any], digits: int) -> list[str]:
    return [f"{value:.{digits}g}" if isinstance(value, float | np.floating) else str(value) for value in column]


def _digits(points: Points, name: str, column: NDArray[Any]) -> int:
    """Return the digits of the numbers in a column: more for places that lie many pixels from the origin."""
    axis = points.unit_columns().get(name)
    if axis is None or not len(column):
        return _DIGITS
    # As of a stage in nanometres, of which 9 digits are coarser than a pixel.
    pixels = float(np.abs(column).max()) / abs(points.meta.filled().scale[axis])
    return min(max(math.ceil(math.log10(max(pixels, 1.0))) + _PIXEL_DIGITS, _DIGITS), _MOST_DIGITS)


def check_points_target(path: Path, *, overwrite: bool = False, sources: Iterable[Path] = ()) -> None:
    """Refuse a file of points, or the record beside it, that may not be written, before any work is done.

    Raises
    ------
    OptionError
        If the name has another ending.
    OutputError
        If one of the two exists and may not be replaced, or cannot be written.
    """
    if path.suffix.lower() != ENDING:
        raise OptionError(f"{path.name} names no format of points that is written: end it in {ENDING}")
    # A list, as an iterator would be used up by the first of the two checks.
    kept = list(sources)
    for each in (path, sidecar_of(path)):
        check_target(each, overwrite=overwrite, sources=kept)


def write_points(
    path: Path, points: Points, record: Mapping[str, Any], *, overwrite: bool = False, sources: Iterable[Path] = ()
) -> dict[str, Any]:
    """Write points and, beside them, their record, sealed by checksums; return the record as it is written."""
    kept = list(sources)
    check_points_target(path, overwrite=overwrite, sources=kept)
    content = _content(points)
    # An older seal, of another file, is not sealed in.
    plain = {k: v for k, v in record.items() if k != "seal"}
    seal = {"file": hashlib.sha256(content).hexdigest(), "record": digest_json(plain)}
    with publishing(path, overwrite=overwrite, sources=kept) as part:
        part.write_bytes(content)
    # A kill between the two leaves points without a record, or with an older one, which `verify_points` finds.
    with publishing(sidecar_of(path), overwrite=overwrite, sources=kept) as part:
        part.write_text(json.dumps({**plain, "seal": seal}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return {**plain, "seal": seal}


def verify_points(path: Path, record: Mapping[str, Any]) -> list[str]:
    """Return one sentence for everything that was changed in a file of points, or in its record, since it was made."""
    seal = record.get("seal")
    if not isinstance(seal, dict) or "file" not in seal:
        raise ImageError(f"the record of {path} carries no checksum of the file")
    changed = []
    if digest_json({k: v for k, v in record.items() if k != "seal"}) != seal.get("record"):
        changed.append("the record was changed")
    if hashlib.sha256(path.read_bytes()).hexdigest() != seal["file"]:
        changed.append("the points were changed")
    return changed


def read_places(path: Path) -> NDArray[np.float64]:
    """Read the places of points, in pixels.

    Parameters
    ----------
    path : Path
        A CSV file as napari or this program writes it (columns ``axis-0``, ``axis-1`` and so on), with columns named by
        letters of dimensions (``z, y, x``; others are left out), or of numbers alone, one line per point.

    Returns
    -------
    (N, D) ndarray of float64

    Raises
    ------
    ImageError
        If the file is missing, too large, has no such columns, or holds what is no finite number.
    """
    head, *lines = _lines(path)
    columns = list(range(len(head)))
    # A table without a line of names: its first line is a point.
    if is_number(head[0]):
        lines = [head, *lines]
    else:
        columns = _place_columns(path, head)
    try:
        found = np.array([[float(line[i]) for i in columns] for line in lines], np.float64).reshape(-1, len(columns))
    except (ValueError, IndexError) as error:
        raise ImageError(
            f"{path} holds a line without a number in each of its {len(columns)} columns: {error}"
        ) from error
    # `float` reads "nan" and "inf" without a complaint.
    if not np.isfinite(found).all():
        raise ImageError(f"{path} holds a place that is not finite")
    return found


def _lines(path: Path) -> list[list[str]]:
    """Return the lines of a table that hold anything."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ImageError(f"{path} has {path.stat().st_size} bytes, too many for points: at most {_MOST_BYTES}")
        # Excel puts a byte order mark in front, which would become part of the first name.
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = [line for line in csv.reader(file) if any(map(str.strip, line))]
    except OSError as error:
        raise ImageError(f"{path} cannot be read ({error.strerror or error})") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ImageError(f"{path} is no CSV file in UTF-8: {error}") from error
    if not lines:
        raise ImageError(f"{path} is empty: a line of numbers for each point is needed")
    return lines


def without_channels(places: NDArray[Any], axes: Axes) -> NDArray[Any]:
    """Return the places (N, D) of points without a column of channels, as all channels show the same places.

    Places that have no column for every dimension of the image (but colours), and so none of channels, stay as they
    are.
    """
    letters = axes.letters.removesuffix("S")
    if "C" not in letters or places.ndim != 2 or places.shape[1] != len(letters):
        return places
    return np.delete(places, letters.index("C"), axis=1)


def places_text(places: NDArray[np.float64]) -> str:
    """Return the places (N, D) of points, in pixels, as the CSV that napari reads as a Points layer."""
    head = ",".join(["index", *(f"axis-{i}" for i in range(places.shape[1]))])
    # `repr` of a float gives the fewest digits that read back as the same number.
    rows = (",".join([str(float(index)), *(repr(float(v)) for v in place)]) for index, place in enumerate(places))
    return "\n".join([head, *rows]) + "\n"


def read_columns(path: Path) -> dict[str, NDArray[np.float64]]:
    """Return all columns of a file of points that this program wrote, by name.

    Raises
    ------
    ImageError
        If it holds what is no number.
    """
    try:
        names, *rows = _lines(path)
        values = np.array([[float(value) for value in row] for row in rows], np.float64).reshape(-1, len(names))
    except ValueError as error:
        raise ImageError(f"{path} cannot be read as points: {error}") from error
    return dict(zip(names, values.T, strict=True))


def _place_columns(path: Path, names: list[str]) -> list[int]:
    plain = [name.strip().lower() for name in names]
    # By number, as another program may have put the columns into another order.
    axes = sorted((int(name[5:]), i) for i, name in enumerate(plain) if name[:5] == "axis-" and name[5:].isdigit())
    if len(axes) >= 2:
        return [i for _, i in axes]
    # In the usual order of dimensions, whatever the order of the columns.
    letters = [name for name in "ptczyx" if name in plain]
    if letters[-2:] == ["y", "x"]:
        return [plain.index(name) for name in letters]
    raise ImageError(
        f"{path} has the columns {', '.join(names) or '(none)'}, and places need axis-0, axis-1 and so on, as napari "
        "writes them, or y and x, in pixels"
    )
