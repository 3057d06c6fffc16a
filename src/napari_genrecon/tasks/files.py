"""Run a task from file to file: open, process and write with the record, large images region by region."""

from __future__ import annotations

import typing
from collections.abc import Generator, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_genrecon.axes import Axes
from napari_genrecon.engine.run import Progress
from napari_genrecon.errors import ImageError, OptionError
from napari_genrecon.io.formats import written_format
from napari_genrecon.io.image_file import ImageFile, ImageMeta
from napari_genrecon.io.layers import layers_of
from napari_genrecon.io.points import check_points_target, read_places, write_points
from napari_genrecon.io.publish import check_target
from napari_genrecon.io.reader import open_image
from napari_genrecon.io.record.check import record_of
from napari_genrecon.io.record.sidecar import sidecar_of, write_sidecar
from napari_genrecon.io.saving import PLAIN, Saving
from napari_genrecon.io.zarr import journal
from napari_genrecon.tasks import Task
from napari_genrecon.tasks.pixel_size import calibrated, measured_psf
from napari_genrecon.tasks.task import Result
from napari_genrecon.tasks.transforms import upscaled_transform

__all__ = [
    "about_result",
    "array_options",
    "file_steps",
    "finished",
    "tile_of",
    "write_result_steps",
    "write_steps",
]


def array_options(task: Task) -> dict[str, str]:
    """Return the options of a task that are arrays, with the kind of array: ``mask``, ``psf`` or ``points``."""
    hints = typing.get_type_hints(task.options, include_extras=True)
    metadata = {name: typing.get_args(hint)[1] for name, hint in hints.items()}
    return {name: found["array"] for name, found in metadata.items() if "array" in found}


def file_steps(
    task: Task,
    source: Path,
    target: Path,
    options: Any,
    *,
    saving: Saving = PLAIN,
    resume: bool = False,
    client: Any = None,
    arrays: dict[str, Path] | None = None,
    series: int | str | None = None,
) -> Generator[Progress, None, dict[str, Any]]:
    """Process one file into another.

    Parameters
    ----------
    task : Task
        The task to run.
    source, target : Path
        The image and the result. If the result's name ends in ``.zarr``, it becomes an OME-Zarr, written region by
        region in bounded memory; else an OME-TIFF.
    options
        Options of the task.
    saving : Saving
        How the target is written. Files that are read are never replaced.
    resume : bool
        Continue an OME-Zarr that an earlier run left unfinished.
    client : distributed.Client, optional
        Cluster whose workers compute and write the regions of an OME-Zarr.
    arrays : dict of str to Path, optional
        Options that are read from files: masks, point spread functions.
    series : int or str, optional
        Which image of a source that holds several; see `io.reader.open_image`.

    Yields
    ------
    Progress

    Returns
    -------
    dict
        The record, as the file holds it.
    """
    if task.makes == "points":
        return (yield from _points_steps(task, source, target, options, saving, arrays or {}, series))
    written, arrays = written_format(target), arrays or {}
    if not written.by_region and (resume or client is not None):
        raise OptionError(f"{written.name} cannot be resumed or written by a cluster: end {target.name} in .ome.zarr")
    sources = [source, *arrays.values()]
    _check(target, saving, sources)  # before the work, which may take hours
    image, options = _opened(task, source, options, arrays, series)
    if resume and journal.part_of(target).exists():
        options = replace(options, tile=tile_of(journal.read(journal.part_of(target))[0].record))
    result = yield from task.steps(image.data, options, lazy=True if written.by_region else None)
    record = _with_paths(result.record, source, image, arrays)
    about = about_result(image.about, result, record)
    yield from write_steps(target, result, about, saving=saving, sources=sources, resume=resume, client=client)
    return record_of(open_image(target))


def _opened(
    task: Task, source: Path, options: Any, arrays: dict[str, Path], series: int | str | None
) -> tuple[ImageFile, Any]:
    """Open the image, and complete the options with what it and the other files say."""
    image = finished(open_image(source, axes=str(options.axes) if options.axes else None, series=series))
    read = {name: _read(array_options(task)[name], path) for name, path in arrays.items()}
    return image, calibrated(replace(options, axes=image.axes, **read), lambda: image.about)


def _with_paths(record: dict[str, Any], source: Path, image: ImageFile, arrays: dict[str, Path]) -> dict[str, Any]:
    """Add to a record the files that were read."""
    known = {**record, "input": {**record["input"], "path": str(source.resolve())}}
    if image.series:
        known["input"]["series"] = image.chosen
    if arrays:
        known["arrays"] = {name: str(path.resolve()) for name, path in arrays.items()}
    return known


def _points_steps(
    task: Task,
    source: Path,
    target: Path,
    options: Any,
    saving: Saving,
    arrays: dict[str, Path],
    series: int | str | None,
) -> Generator[Progress, None, dict[str, Any]]:
    """Write the points that a task finds in a file into a CSV file, and the record beside it."""
    sources = [source, *arrays.values()]
    check_points_target(target, overwrite=saving.overwrite, sources=sources)
    image, options = _opened(task, source, options, arrays, series)
    result = yield from task.steps(image.data, options)
    record = _with_paths(result.record, source, image, arrays)
    points = replace(result.data, meta=image.about)
    return write_points(target, points, record, overwrite=saving.overwrite, sources=sources)


def _read(kind: str, path: Path) -> Any:
    if kind == "points":
        return read_places(path)
    image = open_image(path)
    return measured_psf(image.data, image.about) if kind == "psf" else image.data


def _check(target: Path, saving: Saving, sources: Iterable[Path]) -> None:
    """Refuse a target, or the sidecar beside it, that exists and may not be replaced."""
    folder = written_format(target).by_region
    check_target(target, overwrite=saving.overwrite, sources=sources, folder=folder)
    if saving.sidecar:
        check_target(sidecar_of(target), overwrite=saving.overwrite, sources=sources)


def write_steps(
    target: Path,
    result: Result,
    about: ImageMeta,
    *,
    saving: Saving = PLAIN,
    sources: Iterable[Path] = (),
    resume: bool = False,
    client: Any = None,
) -> Generator[Progress, None, Path]:
    """Write the result of a task in the format that the target's name asks for; see `file_steps`."""
    # A lazy result of an integer dtype is written from its unrounded values: the writer counts the clipped pixels.
    unrounded = result.unrounded is not None
    data, dtype = (result.unrounded, result.data.dtype) if unrounded else (result.data, None)
    options: dict[str, Any] = {"dtype": dtype, "overwrite": saving.overwrite, "sources": sources}
    options |= {"pyramid": saving.pyramid, "resume": resume, "client": client}
    path = yield from written_format(target).write_steps(target, data, about, **options)
    if saving.sidecar:
        write_sidecar(path, overwrite=saving.overwrite)
    return path


def write_result_steps(
    task: Task, data: Any, options: Any, about: ImageMeta, target: Path, *, saving: Saving = PLAIN
) -> Generator[Progress, None, Result]:
    """Process an image and write the result, then return the result as it is in the file.

    Parameters
    ----------
    task, data, options
        The task, and what its steps take.
    about : ImageMeta
        What the pixels of `data` mean.
    target, saving
        File of the result, and how it is written; see `file_steps`.
    """
    if task.makes == "points":
        check_points_target(target, overwrite=saving.overwrite)
        result = yield from task.steps(data, options)
        points = replace(result.data, meta=about)
        return replace(result, record=write_points(target, points, result.record, overwrite=saving.overwrite))
    _check(target, saving, [])
    result = yield from task.steps(data, options, lazy=True if written_format(target).by_region else None)
    yield from write_steps(target, result, about_result(about, result, result.record), saving=saving)
    written = open_image(target)
    return replace(result, data=layers_of(written)[0][0], record=record_of(written))


def about_result(about: ImageMeta, result: Result, record: dict[str, Any]) -> ImageMeta:
    """Return the metadata of a result from that of its source: axes, scale, translate and units for the same place."""
    whole = about.filled()
    new = len(result.axes) - len(about.axes)  # 1 for several plausible fillings, which get a new first dimension
    factors = tuple(record.get("factor") or (1,) * len(about.axes))
    scale, translate = upscaled_transform(whole.scale, whole.translate, factors)
    return replace(
        whole,
        axes=result.axes,
        scale=(*(1.0,) * new, *map(float, scale)),
        units=(*("pixel",) * new, *whole.units),
        translate=(*(0.0,) * new, *map(float, translate)),
        record=record,
        layer=None,
    )


def finished(image: ImageFile) -> ImageFile:
    """Return the image, and refuse it if it is an unfinished result."""
    if image.unfinished:
        raise ImageError(f"{image.path} is an unfinished result ({image.unfinished}): continue it first with --resume")
    return image


def tile_of(record: dict[str, Any]) -> tuple[int, int]:
    """Return the height and width of an earlier run's tiles; other tiles would change the last digits of the pixels."""
    axes, size = Axes(record["axes"]["letters"]), record["tile"]["size"]
    return int(size[axes.y]), int(size[axes.x])
