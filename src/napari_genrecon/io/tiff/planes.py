"""Read a folder of TIFF planes as one stack."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from napari_genrecon.axes import Axes, resolve_axes
from napari_genrecon.errors import ImageError
from napari_genrecon.io.formats import plainly
from napari_genrecon.io.image_file import ImageFile, ImageMeta
from napari_genrecon.io.tiff.read import open_tiff, samples_moved

__all__ = ["is_stack", "open_planes"]

_ENDINGS = (".tif", ".tiff")
_KIND = "TIFF"


def _planes_in(folder: Path) -> list[Path]:
    """Return the TIFF files of a folder, in the order of the numbers in their names."""
    found = (p for p in folder.iterdir() if p.is_file() and p.name.lower().endswith(_ENDINGS) and p.name[0] != ".")
    # `plane_10` comes after `plane_9`: numbers are compared as numbers.
    return sorted(found, key=lambda p: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", p.name)])


def is_stack(folder: Path) -> bool:
    """Return whether a folder holds at least two TIFF files."""
    return len(_planes_in(folder)) > 1


def open_planes(folder: Path, axes: str | None, series: int | str | None = None) -> ImageFile:
    """Open a folder of TIFF files of one shape and dtype as one stack, lazily.

    Parameters
    ----------
    folder : Path
        Holds at least two TIFF files; others are not looked at. The files are put in the order of the numbers in their
        names, along a new first dimension: Z for planes, T for stacks.
    axes : str, optional
        Meaning of the dimensions, the new one included.
    series : int or str, optional
        The image to read of every file, if they hold several.

    Raises
    ------
    ImageError
        If there are fewer, or if they differ.
    """
    paths = _planes_in(folder)
    if len(paths) < 2:
        raise ImageError(f"the folder {folder} holds {len(paths)} TIFF files: at least two make a stack")
    # `plainly` for each file: the sentence of an error then names the one that failed, not the folder.
    first = plainly(paths[0], _KIND, partial(open_tiff, paths[0], None, series))
    for path in paths[1:]:
        plainly(path, _KIND, partial(_require_alike, path, paths[0], first))
    # A letter that the files do not use already: planes along Z, stacks along T, and P beyond that.
    leading = next((letter for letter in "ZTP" if letter not in first.axes.letters), None)
    letters = axes or f"{leading}{first.axes.letters}"
    found = resolve_axes(Axes(letters, assumed=not axes), (len(paths), *first.data.shape))
    about = first.about
    more = ImageMeta(
        axes=found,
        # Files say nothing about the distance between them.
        scale=(1.0, *about.scale),
        units=("pixel", *about.units),
        channel_names=about.channel_names,
        channel_colors=about.channel_colors,
    )
    data = _stacked(paths, first)
    return ImageFile(data=data, about=more, name="", path=folder, series=first.series, chosen=first.chosen)


def _require_alike(path: Path, first_path: Path, first: ImageFile) -> None:
    """Look at the header of a file, before anything is computed."""
    wanted = (tuple(first.data.shape), first.data.dtype)
    found = _header(path, first.chosen)
    if found != wanted:
        raise ImageError(
            f"{path.name} has shape {found[0]} {found[1]}, but {first_path.name} has {wanted[0]} {wanted[1]}: "
            "the files of a stack must be alike; move the others to a folder of their own"
        )


def _header(path: Path, chosen: int) -> tuple[tuple[int, ...], np.dtype[Any]]:
    import tifffile

    with tifffile.TiffFile(path) as tif:
        series = tif.series[min(chosen, len(tif.series) - 1)]
        if series.keyframe.photometric.name == "PALETTE" or series.dtype == bool:  # converted to another shape or dtype
            opened = open_tiff(path, None, chosen)
            return tuple(opened.data.shape), opened.data.dtype
        shape = [int(n) for n in series.shape]
        # The same moves as in `open_tiff`, so that the header gives the shape that the pixels will have.
        source, target, _ = samples_moved(series.axes, tuple(shape), series.dtype)
        shape.insert(target, shape.pop(source))
        return tuple(shape), series.dtype


def _stacked(paths: list[Path], first: ImageFile) -> Any:
    import dask.array as da

    shape = tuple(first.data.shape)
    chunks = ((1,) * len(paths), *((n,) for n in shape))
    names = [str(path) for path in paths]
    return da.map_blocks(_read_plane, names, first.chosen, dtype=first.data.dtype, chunks=chunks)


def _read_plane(paths: list[str], chosen: int, block_info: dict[Any, Any]) -> Any:
    path = Path(paths[block_info[None]["chunk-location"][0]])
    # (Y, X) -> (1, Y, X): a block of the stack.
    return np.asarray(plainly(path, _KIND, partial(open_tiff, path, None, chosen)).data)[None]
