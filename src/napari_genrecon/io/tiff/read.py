"""Read TIFF: OME-TIFF, ImageJ TIFF, any other, and folders of planes; large ones without loading them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from napari_genrecon.axes import Axes, resolve_axes
from napari_genrecon.engine.memory import available_memory
from napari_genrecon.errors import GenReconError, ImageError, MissingPackageError
from napari_genrecon.io.image_file import MICROMETRE, About, ImageFile, known_unit, unit_name
from napari_genrecon.io.provenance import LAYER_NAMESPACE, RECORD_NAMESPACE
from napari_genrecon.io.tiff.checks import check_codec, check_pages, check_sizes, smaller_copies
from napari_genrecon.io.tiff.ome import Sizes, channels_in, note_in, ome_of, positions_in, sizes_in
from napari_genrecon.io.tiff.pixels import TiffPixels

__all__ = ["TIFF_ENDINGS", "is_tiff", "open_planes", "open_tiff", "planes_in"]

TIFF_ENDINGS = (".tif", ".tiff")

_UNKNOWN = set("IQ")  # what tifffile calls dimensions that the file does not name
_COLOURS = (3, 4)  # samples of a pixel: RGB, RGBA
_LAZY_ABOVE = 256 << 20  # bytes; smaller files are read at once, and so are those below a share of the memory
_LAZY_SHARE = 16


def is_tiff(path: Path) -> bool:
    """Whether the name ends as that of a TIFF file."""
    return path.name.lower().endswith(TIFF_ENDINGS)


def open_tiff(path: Path, axes: str | None) -> ImageFile:
    """Open the first image of a TIFF file; see `reader.open_image`."""
    return _plainly(path, partial(_open, path, axes))


def planes_in(folder: Path) -> list[Path]:
    """The TIFF files of a folder, in the order of the numbers in their names."""
    found = (p for p in folder.iterdir() if p.is_file() and is_tiff(p) and not p.name.startswith("."))
    return sorted(found, key=lambda p: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", p.name)])


def open_planes(folder: Path, axes: str | None) -> ImageFile:
    """Open a folder of TIFF files of one shape and dtype as one stack, lazily.

    Parameters
    ----------
    folder : Path
        Holds at least two TIFF files; others are not looked at. The files are put in the order of the numbers in their
        names, along a new first dimension: Z for planes, T for stacks.
    axes : str, optional
        What the dimensions mean, the new one included.

    Raises
    ------
    ImageError
        If there are fewer, or if they differ.
    """
    paths = planes_in(folder)
    if len(paths) < 2:
        raise ImageError(f"the folder {folder} holds {len(paths)} TIFF files: at least two make a stack")
    first = open_tiff(paths[0], None)
    _require_alike(paths, first)
    leading = next((letter for letter in "ZTP" if letter not in first.axes.letters), None)
    letters = axes or f"{leading}{first.axes.letters}"
    found = resolve_axes(Axes(letters, assumed=not axes), (len(paths), *first.data.shape))
    about = first.about
    more = About(
        axes=found,
        scale=(1.0, *about.scale),
        units=("pixel", *about.units),
        channel_names=about.channel_names,
    )
    return ImageFile(data=_stacked(paths, first), about=more, name=folder.name, path=folder)


def _require_alike(paths: list[Path], first: ImageFile) -> None:
    """A look at the headers, before anything is computed."""
    wanted = (tuple(first.data.shape), first.data.dtype)
    for path in paths[1:]:
        found = _plainly(path, partial(_header, path))
        if found != wanted:
            raise ImageError(
                f"{path.name} has shape {found[0]} {found[1]}, but {paths[0].name} has {wanted[0]} {wanted[1]}: "
                "the files of a stack must be alike; move the others to a folder of their own"
            )


def _header(path: Path) -> tuple[tuple[int, ...], np.dtype[Any]]:
    import tifffile

    with tifffile.TiffFile(path) as tif:
        series = tif.series[0]
        shape = [int(n) for n in series.shape]
        source, target, _ = _samples(series)
        shape.insert(target, shape.pop(source))
        return tuple(shape), series.dtype


def _stacked(paths: list[Path], first: ImageFile) -> Any:
    import dask.array as da

    shape = tuple(first.data.shape)
    chunks = ((1,) * len(paths), *((n,) for n in shape))
    return da.map_blocks(_read_plane, [str(p) for p in paths], dtype=first.data.dtype, chunks=chunks)


def _read_plane(paths: list[str], block_info: dict[Any, Any]) -> Any:
    path = paths[block_info[None]["chunk-location"][0]]
    return np.asarray(open_tiff(Path(path), None).data)[None]


def _plainly(path: Path, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except GenReconError:
        raise
    except ImportError as error:
        raise MissingPackageError(f"{path.name} cannot be unpacked ({error}): pip install imagecodecs") from error
    except Exception as error:  # a damaged file makes tifffile raise nearly anything
        raise ImageError(f"{path.name} cannot be read as a TIFF file, it may be damaged: {error}") from error


def _open(path: Path, axes: str | None) -> ImageFile:
    import tifffile

    with tifffile.TiffFile(path) as tif:
        ome = ome_of(tif)  # first of all: tifffile parses it without asking what is in it
        if not tif.series:
            raise ImageError(f"{path.name} holds no image")
        check_pages(path, tif)
        series = tif.series[0]
        for level in series.levels:
            check_sizes(path, level)
            check_codec(path, level.keyframe)
        data, levels = _pixels(series, path)
        letters = series.axes
        if not axes:
            source, target, letters = _samples(series)
            data, *smaller = (_moved(level, source, target) for level in (data, *levels))
            levels = tuple(smaller)
        found = _resolve(axes, letters, tuple(data.shape))
        sizes = _imagej_sizes(tif) if ome is None else sizes_in(ome)
    name = re.sub(r"(\.ome)?\.tiff?$", "", path.name, flags=re.IGNORECASE)
    return ImageFile(data=data, about=_about(found, sizes, ome), name=name, path=path, levels=levels)


def _about(axes: Axes, sizes: Sizes, ome: Element | None) -> About:
    about = About(
        axes=axes,
        scale=tuple(sizes.get(letter, (1.0, ""))[0] for letter in axes.letters),
        units=tuple(sizes.get(letter, (1.0, "pixel"))[1] for letter in axes.letters),
    )
    if ome is None:
        return about
    names, colors = channels_in(ome)
    return About(
        axes=axes,
        scale=about.scale,
        units=about.units,
        translate=positions_in(ome, about),
        channel_names=names,
        channel_colors=colors,
        record=note_in(ome, RECORD_NAMESPACE),
        layer=note_in(ome, LAYER_NAMESPACE),
    )


# --- pixels ---


def _pixels(series: Any, path: Path) -> tuple[Any, tuple[Any, ...]]:
    """The pixels and those of the smaller levels; what is large, or has levels, is not read but can be by region."""
    smaller = smaller_copies(series)
    if not smaller and series.nbytes <= max(_LAZY_ABOVE, available_memory() // _LAZY_SHARE):
        data = series.asarray()
        if tuple(data.shape) != tuple(series.shape):
            raise ImageError(f"{path.name} declares {series.shape} but holds {data.shape}: its header is damaged")
    else:
        data = _by_region(series, 0, path)
    return data, tuple(_by_region(series, level, path) for level in smaller)


def _samples(series: Any) -> tuple[int, int, str]:
    """From where to where the samples of a pixel move, and the axes then: colours come last, others are channels.

    Three planes of 16 bits are channels, or a stack that was saved by a program that takes three planes for colours.
    """
    letters, source = series.axes, max(series.axes.find("S"), 0)
    rest = letters.replace("S", "")
    if "S" in letters and series.shape[source] in _COLOURS and (letters.endswith("S") or series.dtype == np.uint8):
        return source, len(rest), f"{rest}S"
    if "S" in letters and "Y" in rest and "C" not in rest:
        target = rest.index("Y")
        return source, target, f"{rest[:target]}C{rest[target:]}"
    return 0, 0, letters


def _moved(data: Any, source: int, target: int) -> Any:
    """The same pixels with one axis elsewhere; a view, or lazy."""
    if source == target:
        return data
    if isinstance(data, np.ndarray):
        return np.moveaxis(data, source, target)
    import dask.array as da

    return da.moveaxis(da.from_array(data, chunks=data.chunks), source, target)


def _by_region(series: Any, level: int, path: Path) -> TiffPixels:
    found = series.levels[level]
    page = found.keyframe
    height, width = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
    sides = {"Y": height, "X": width, "S": found.shape[-1]}
    chunks = tuple(min(sides.get(letter, 1), n) for letter, n in zip(found.axes, found.shape, strict=True))
    return TiffPixels(path, level, found.shape, found.dtype.newbyteorder("="), chunks)


def _resolve(axes: str | None, letters: str, shape: tuple[int, ...]) -> Axes:
    """The axes that were given, else those of the file if they mean something to us, else the rule."""
    if axes:
        return resolve_axes(axes, shape)
    try:
        return Axes(resolve_axes(letters, shape).letters) if not _UNKNOWN & set(letters) else resolve_axes(None, shape)
    except ImageError:  # an order of dimensions that we cannot use: the rule may still do
        return resolve_axes(None, shape)


# --- ImageJ and plain tags ---


def _imagej_sizes(tif: Any) -> Sizes:
    """As far as the tags and ImageJ's notes tell."""
    sizes = _resolution(tif)
    if tif.is_imagej:
        meta = tif.imagej_metadata or {}
        unit = sizes["X"][1] if "X" in sizes else unit_name(meta.get("unit", ""))
        if meta.get("spacing"):
            sizes["Z"] = (abs(float(meta["spacing"])), unit)
        if meta.get("finterval"):
            sizes["T"] = (float(meta["finterval"]), unit_name(meta.get("tunit", "s")))
    return {letter: (size, unit) for letter, (size, unit) in sizes.items() if 0 < size < math.inf}


def _resolution(tif: Any) -> Sizes:
    page = tif.pages[0]
    unit = known_unit(str((tif.imagej_metadata or {}).get("unit", ""))) if tif.is_imagej else None
    if unit is None:
        unit = {2: "inch", 3: "centimeter"}.get(int(page.tags.valueof("ResolutionUnit", 1)))
    sizes = {}
    for letter, name in (("X", "XResolution"), ("Y", "YResolution")):
        above, below = page.tags.valueof(name, (1, 1))
        # 72 and 96 per inch are what programs write when they know nothing.
        if unit and above and below and not (unit == "inch" and above / below in (1, 72, 96, 300)):
            sizes[letter] = _sensible(below / above, unit)
    return sizes


def _sensible(size: float, unit: str) -> tuple[float, str]:
    """Micrometres instead of inches or centimetres: nobody images with pixels of a centimetre."""
    if unit == "inch":
        return size * 25_400.0, MICROMETRE
    return (size * 10_000.0, MICROMETRE) if unit == "centimeter" else (size, unit)
