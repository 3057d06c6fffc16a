"""An OME-Zarr 0.5 store of ours: create it empty, make its smaller levels, and publish it when it is complete.

Until then the OME metadata lie under another name, so that nothing takes the store for a finished image.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from napari_genrecon.errors import OutputError
from napari_genrecon.io.image_file import ImageMeta
from napari_genrecon.io.json_file import read_json
from napari_genrecon.io.levels import CHUNK, halved, level_shapes
from napari_genrecon.io.publish import refused_sentence, remove, rename, sync_folder, write_file
from napari_genrecon.io.zarr.omero import WHITE
from napari_genrecon.io.zarr.places import ATTRIBUTE, HIDDEN_METADATA, METADATA

__all__ = ["create_store", "level_array", "make_levels", "publish_store"]


Regions = tuple[tuple[int, ...], ...]
Region = tuple[slice, ...]


def create_store(folder: Path, regions: Regions, dtype: np.dtype[Any], about: ImageMeta, name: str) -> None:
    """Create an empty store with all levels, not yet readable as OME-Zarr.

    Parameters
    ----------
    folder : Path
        Folder to create.
    regions : tuple of tuple of int
        Sizes of the regions that will be written, per dimension, as dask gives chunks. No chunk reaches over a region.
    dtype : dtype
        Type of the pixels.
    about : ImageMeta
        Axes in the order of OME-Zarr.
    name : str
        Name of the image.
    """
    from yaozarrs.write.v05 import prepare_image

    shapes = level_shapes(tuple(sum(sizes) for sizes in regions))
    # Workers write neighbouring regions at the same time: a chunk that belonged to two regions would lose one of them.
    chunks = tuple(_divided(sizes[0]) for sizes in regions)
    image = _metadata(about, shapes, name, dtype)
    prepare_image(folder, image, [(shape, dtype) for shape in shapes], chunks=chunks, writer="zarr")
    # Every reader of Zarr looks for "zarr.json": without it, the folder is no store to anybody else.
    rename(folder / METADATA, folder / HIDDEN_METADATA)


def level_array(store: Path, level: int, mode: str = "r") -> Any:
    """Return one level as a Zarr array."""
    import zarr

    return zarr.open_array(store / str(level), mode=mode)


def _divided(side: int) -> int:
    # Halved only while it divides evenly, so that chunks still end where regions end.
    while side > CHUNK and side % 2 == 0:
        side //= 2
    return side


def _metadata(about: ImageMeta, shapes: list[tuple[int, ...]], name: str, dtype: np.dtype[Any]) -> Any:
    from yaozarrs import v05

    multiscale = v05.Multiscale(
        name=name,
        axes=[_axis(v05, letter, unit) for letter, unit in zip(about.axes.letters, about.units, strict=True)],
        datasets=[
            v05.Dataset(path=str(level), coordinateTransformations=_transforms(v05, about, level))
            for level in range(len(shapes))
        ],
    )
    return v05.Image(multiscales=[multiscale], **_omero(v05, about, shapes[0], dtype))


def _axis(v05: Any, letter: str, unit: str) -> Any:
    kinds = {"T": v05.TimeAxis, "C": v05.ChannelAxis}
    kind = kinds.get(letter, v05.SpaceAxis)
    # Channels have no unit, and "pixel" is none that the specification knows.
    return kind(name=letter.lower()) if letter == "C" or unit == "pixel" else kind(name=letter.lower(), unit=unit)


def _transforms(v05: Any, about: ImageMeta, level: int) -> list[Any]:
    """Return scale and translation of a level: its first pixel has its centre between those that it averages."""
    factors = [2**level if letter in "YX" else 1 for letter in about.axes.letters]
    scale = [s * f for s, f in zip(about.scale, factors, strict=True)]
    moved = [t + s * (f - 1) / 2 for t, s, f in zip(about.translate, about.scale, factors, strict=True)]
    return [v05.ScaleTransformation(scale=scale), v05.TranslationTransformation(translation=moved)]


def _omero(v05: Any, about: ImageMeta, shape: tuple[int, ...], dtype: np.dtype[Any]) -> dict[str, Any]:
    """Return names, colours and display limits of the channels; of an image without channels where it has any."""
    n = about.axes.n_channels(shape)
    if "C" not in about.axes.letters and not (about.channel_names or about.channel_colors or about.channel_limits):
        return {}
    names = about.channel_names or (None,) * n
    # The format asks for a colour; where all are white, `channels_of` knows that there was none.
    colors = about.channel_colors or (WHITE,) * n
    # Names of another number of channels cannot be told apart from wrong ones: none are written.
    if len(names) != n or len(colors) != n:
        return {}
    pairs = zip(names, colors, strict=True)
    windows = [v05.OmeroWindow(min=a, max=b, start=a, end=b) for a, b in _windows(about, dtype, n)]
    channels = [
        v05.OmeroChannel(label=label, color=color.lstrip("#"), window=window)
        for (label, color), window in zip(pairs, windows, strict=True)
    ]
    return {"omero": v05.Omero(channels=channels)}


def _windows(about: ImageMeta, dtype: np.dtype[Any], n: int) -> list[tuple[float, float]]:
    """Return display limits, which the format asks for: of the layer or file, else the dtype's range."""
    limits = (about.layer or {}).get("contrast_limits")
    if limits:
        return [(float(limits[0]), float(limits[1]))] * n
    if len(about.channel_limits) == n:
        return list(about.channel_limits)
    return [(0.0, float(np.iinfo(dtype).max)) if dtype.kind in "iu" else (0.0, 1.0)] * n


# --- the smaller levels ---


def make_levels(store: Path) -> Iterator[int]:
    """Fill the smaller levels from the full one, in bounded memory; yields after each."""
    count = len(level_shapes(level_array(store, 0).shape))
    for level in range(1, count):
        # From the level before, which is four times smaller than the full one at every step.
        source, target = level_array(store, level - 1), level_array(store, level, mode="r+")
        # Chunk by chunk of the target: each is written once, and as a whole.
        for region in _chunk_regions(target.shape, target.chunks):
            target[region] = halved(source[_doubled(region, source.shape)], target.dtype)
        yield level


def _chunk_regions(shape: tuple[int, ...], chunks: tuple[int, ...]) -> Iterator[Region]:
    for index in np.ndindex(*(-(-n // c) for n, c in zip(shape, chunks, strict=True))):
        yield tuple(slice(i * c, min((i + 1) * c, n)) for i, c, n in zip(index, chunks, shape, strict=True))


def _doubled(region: Region, shape: tuple[int, ...]) -> Region:
    # At an odd edge there is no second pixel to read: `halved` repeats the last one.
    y, x = (slice(2 * s.start, min(2 * s.stop, n)) for s, n in zip(region[-2:], shape[-2:], strict=True))
    return (*region[:-2], y, x)


# --- the end ---


def publish_store(part: Path, target: Path, ours: dict[str, Any], *, overwrite: bool) -> None:
    """Add our own attributes, sync everything to disk, and give the store its name in one step.

    Raises
    ------
    OutputError
        If something has taken the name meanwhile, or the store may not take it; it is then kept as it is.
    """
    # An earlier attempt may have got past this and failed at the rename: its metadata have their name already.
    hidden = part / HIDDEN_METADATA
    metadata = read_json(hidden if hidden.exists() else part / METADATA)
    metadata.setdefault("attributes", {})[ATTRIBUTE] = ours
    # First the new file, then the old one goes: at every moment one of the two names the store.
    write_file(part / METADATA, json.dumps(metadata, indent=1).encode())
    remove(hidden)
    # Before the rename: after a power failure the name must not stand for chunks that were never written.
    _sync_tree(part)
    try:
        _rename(part, target, overwrite=overwrite)
    except PermissionError as error:
        raise OutputError(refused_sentence(part, target, error)) from error


def _sync_tree(folder: Path) -> None:
    """Write all files of a folder to disk, and remove what zarr left of chunks that were cut short."""
    for where, _, names in os.walk(folder):
        for name in names:
            file = Path(where, name)
            if file.suffix == ".partial":
                remove(file)
                continue
            with file.open("rb+") as stream:
                os.fsync(stream.fileno())
    sync_folder(folder)


def _rename(part: Path, target: Path, *, overwrite: bool) -> None:
    if not os.path.lexists(target):
        rename(part, target)  # fails if a folder that is not empty was created there meanwhile
        return
    if not overwrite:
        raise OutputError(f"{target} was created by something else meanwhile: choose another name")
    # A folder cannot be replaced in one step: the old store moves aside, and comes back if the new one may not move in.
    old = target.with_name(f"{target.name}.old.{os.getpid()}")
    rename(target, old)
    try:
        rename(part, target)
    except BaseException:
        rename(old, target)
        raise
    shutil.rmtree(old, ignore_errors=True)
