"""Work on a part of an image only: read what was asked for, and put the result into a copy of the whole."""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from typing import Any

import numpy as np

from napari_genrecon.arrays import ImageArray, as_numpy
from napari_genrecon.axes import Axes
from napari_genrecon.engine.lazy import is_lazy, lazy_copy, lazy_full
from napari_genrecon.engine.memory import allocate
from napari_genrecon.engine.tiles import TileGrid
from napari_genrecon.errors import OptionError

__all__ = ["Region", "cut", "in_blank", "in_whole", "recorded", "region_of", "region_text"]

Region = tuple[slice, ...]

_PART = re.compile(r"\s*([A-Za-z])\s*=\s*(\d+)\s*(?:(:)\s*(\d+)\s*)?")
_EXAMPLE = "for example 'T=0:10, Y=100:300, X=50:250' (from the first pixel to before the last one) or 'C=1'"


def region_of(given: str | Sequence[Any] | None, axes: Axes, shape: Sequence[int]) -> Region | None:
    """Return the slices of a region, one for each dimension; None for the whole image.

    Parameters
    ----------
    given : str, sequence of slice and int, or None
        As text, such as ``"T=0:10, Y=100:300, X=50:250"`` (dimensions that are not named are taken whole), or one slice
        or index for each dimension.
    axes : Axes
        Axes of the image.
    shape : sequence of int
        Its shape.

    Raises
    ------
    OptionError
        If it cannot be read, holds no pixel, or lies outside the image.

    Examples
    --------
    >>> region_of("Y=2:8, Z=1", Axes("ZYX"), (3, 10, 12))
    (slice(1, 2, None), slice(2, 8, None), slice(0, 12, None))
    """
    # Empty text comes from an empty field, and means the whole image.
    if given is None or not len(given):
        return None
    ends = _read_text(given, axes) if isinstance(given, str) else _read_slices(given, axes, shape)
    for letter, (start, stop) in ends.items():
        length = int(shape[axes.letters.index(letter)])
        if start >= stop:
            raise OptionError(f"region {letter}={start}:{stop} holds no pixel: give {_EXAMPLE}")
        if start < 0 or stop > length:
            raise OptionError(
                f"region {letter}={start}:{stop} lies outside the image, whose {letter} goes from 0 to {length}"
            )
    found = [ends.get(letter, (0, int(n))) for letter, n in zip(axes.letters, shape, strict=True)]
    return tuple(slice(*each) for each in found)


def _read_text(text: str, axes: Axes) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for part in text.split(","):
        # Groups: letter, start, and for a range the colon and stop.
        match = _PART.fullmatch(part)
        if match is None:
            raise OptionError(f"region {text!r} cannot be read at {part.strip()!r}: give {_EXAMPLE}")
        letter, start, colon, stop = match.groups()
        letter = letter.upper()
        # Colours belong together: a part of them would be no colour image.
        if letter not in axes.letters or letter == "S":
            raise OptionError(f"region {text!r} names {letter}, and the image has the axes {axes}")
        if letter in found:
            raise OptionError(f"region {text!r} names {letter} twice: give each dimension once")
        # A single number keeps its dimension, with one entry.
        found[letter] = int(start), int(stop) if colon else int(start) + 1
    return found


def _read_slices(given: Sequence[Any], axes: Axes, shape: Sequence[int]) -> dict[str, tuple[int, int]]:
    if len(given) != len(axes):
        raise OptionError(
            f"region has {len(given)} entries, and the image has {len(axes)} dimensions ({axes}): give one for each, "
            f"or text, {_EXAMPLE}"
        )
    return {letter: _ends(part, int(n)) for letter, part, n in zip(axes.letters, given, shape, strict=True)}


def _ends(part: Any, length: int) -> tuple[int, int]:
    if isinstance(part, slice) and part.step in (None, 1):
        ends = (0 if part.start is None else part.start), (length if part.stop is None else part.stop)
        if all(isinstance(n, int | np.integer) for n in ends):
            # Counted from the end, as numpy does; beyond the image they are refused, where numpy would cut them off.
            return tuple(int(n) + length if n < 0 else int(n) for n in ends)  # type: ignore[return-value]
    # True is an int in Python, but no index.
    if isinstance(part, int | np.integer) and not isinstance(part, bool):
        start = int(part) + length if part < 0 else int(part)
        return start, start + 1
    raise OptionError(
        f"region takes slices of whole numbers without steps, and whole numbers, got {part!r}: give {_EXAMPLE}"
    )


def region_text(region: Region, axes: Axes, shape: Sequence[int]) -> str:
    """Return a region as text; dimensions that it takes whole are left out, so that all of an image is no text.

    Examples
    --------
    >>> region_text((slice(1, 2), slice(2, 8), slice(0, 12)), Axes("ZYX"), (3, 10, 12))
    'Z=1, Y=2:8'
    """
    parts = [
        f"{letter}={part.start}" + (f":{part.stop}" if part.stop - part.start > 1 else "")
        for letter, part, n in zip(axes.letters, region, shape, strict=True)
        if letter != "S" and (part.start, part.stop) != (0, int(n))
    ]
    return ", ".join(parts)


def recorded(region: Region, axes: Axes, shape: Sequence[int], names: Container[str]) -> dict[str, Any]:
    """Return the options about a region as a record holds them, of those that have these names.

    All of the image is no part of it.
    """
    # Written in one way only, as a run that is resumed compares the options of its record with its own.
    text = region_text(region, axes, shape) or None
    return {"region": text} | ({"whole": False} if text is None and "whole" in names else {})


def cut(grid: TileGrid, options: Any, axes: Axes) -> TileGrid:
    """Return the grid for the region of the options of a task."""
    region = region_of(options.region, axes, grid.shape)
    return grid if region is None else grid.within(region)


def in_whole(made: ImageArray, source: ImageArray, region: Region) -> Any:
    """Return a copy of an image with a result in one region of it.

    Parameters
    ----------
    made : array_like
        Result for the region; it may have one dimension more in front.
    source : array_like
        The image.
    region : tuple of slice
        The region.
    """
    # Fillings have one dimension in front, and the source is repeated along it.
    shape = (*made.shape[: made.ndim - len(region)], *source.shape)
    if is_lazy(made):
        out = lazy_copy(source, shape, made.dtype)
    else:
        # Filled in place: converting the source first would take another copy.
        out = allocate(shape, made.dtype)
        out[...] = as_numpy(source)
    out[(..., *region)] = made
    return out


def in_blank(made: ImageArray, shape: Sequence[int], region: Region, value: float) -> Any:
    """Return an array of one value with a result in one region of it; lazy if the result is."""
    if is_lazy(made):
        return in_whole(made, lazy_full(tuple(shape), value, made.dtype), region)
    return in_whole(made, np.broadcast_to(made.dtype.type(value), tuple(shape)), region)  # a view: one copy is enough
