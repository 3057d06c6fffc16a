"""Run a task from file to file: open, process and write with the record, large images region by region."""

from __future__ import annotations

import typing
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from napari_genrecon.arrays import ImageArray
from napari_genrecon.axes import Axes, resolve_axes
from napari_genrecon.engine.run import Progress
from napari_genrecon.errors import ImageError
from napari_genrecon.io.formats import written_format
from napari_genrecon.io.image_file import ImageFile, ImageMeta
from napari_genrecon.io.layer_display import further_affine
from napari_genrecon.io.layers import layers_of
from napari_genrecon.io.points import check_points_target, read_places, write_points
from napari_genrecon.io.publish import check_target, remove
from napari_genrecon.io.reader import check_source, open_image
from napari_genrecon.io.record.check import record_of
from napari_genrecon.io.record.companions import about_companion, companion_path, is_made
from napari_genrecon.io.record.history import ACQUISITION, made_from, made_from_layer
from napari_genrecon.io.record.sidecar import sidecar_of, write_sidecar
from napari_genrecon.io.saving import PLAIN, Saving
from napari_genrecon.io.zarr import journal
from napari_genrecon.options import hints_of
from napari_genrecon.tasks import Task
from napari_genrecon.tasks.measure import as_source
from napari_genrecon.tasks.pixel_size import calibrated, measured_psf
from napari_genrecon.tasks.plan import borrowed
from napari_genrecon.tasks.task import Result
from napari_genrecon.tasks.transforms import upscaled_transform

if TYPE_CHECKING:
    from distributed import Client

__all__ = [
    "about_result",
    "array_options",
    "file_steps",
    "finished",
    "process_file_steps",
    "processed_steps",
    "record_from_file",
    "tile_of",
    "turned",
    "write_result_steps",
    "write_steps",
]

Record: TypeAlias = dict[str, Any]
Processing: TypeAlias = Generator[Progress, None, tuple[Result, ImageMeta]]


def array_options(task: Task) -> dict[str, str]:
    """Return the options of a task that are arrays, with its kind: ``mask``, ``psf``, ``maps`` or ``points``."""
    # The hints are Annotated[type, dict]: the second argument is the dict that forms and flags read, too.
    metadata = {name: typing.get_args(hint)[1] for name, hint in hints_of(task.options).items()}
    return {name: found["array"] for name, found in metadata.items() if "array" in found}


def file_steps(
    task: Task,
    source: Path,
    target: Path,
    options: Any,
    *,
    saving: Saving = PLAIN,
    resume: bool = False,
    client: Client | None = None,
    arrays: dict[str, Path] | None = None,
    series: int | str | None = None,
) -> Generator[Progress, None, Record]:
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
    arrays = arrays or {}
    if task.makes == "points":
        return (yield from _points_steps(task, source, target, options, saving, arrays, series))

    def process(image: ImageFile, lazy: bool | None, begun: Record | None) -> Processing:
        # A result that is continued keeps its tiles: what is written already must fit to what follows.
        wanted = options if begun is None else replace(options, tile=tile_of(begun))
        return processed_steps(task, image.data, image.about, wanted, files=arrays, lazy=lazy)

    axes, files = options.axes, list(arrays.values())
    more: dict[str, Any] = {"axes": axes, "saving": saving, "resume": resume, "client": client, "series": series}
    more |= {"added": task.added(options), "made_of": partial(task.made_of, options=options)}
    return (yield from process_file_steps(process, source, target, files=files, **more))


def _points_steps(
    task: Task,
    source: Path,
    target: Path,
    options: Any,
    saving: Saving,
    arrays: Mapping[str, Path],
    series: int | str | None,
) -> Generator[Progress, None, Record]:
    """Write the points that a task finds in a file into a CSV file, and the record beside it."""
    check_source(source)
    sources = [source, *arrays.values()]
    # Before the work, as for images.
    check_points_target(target, overwrite=saving.overwrite, sources=sources)
    image = finished(open_image(source, axes=str(options.axes) if options.axes else None, series=series))
    result = yield from _task_steps(task, image.data, image.about, options, files=arrays, lazy=None)
    record = record_from_file(result.record, image, source)
    points = replace(result.data, meta=image.about)
    return write_points(target, points, record, overwrite=saving.overwrite, sources=sources)


def process_file_steps(
    process: Callable[[ImageFile, bool | None, Record | None], Processing],
    source: Path,
    target: Path,
    *,
    made_of: Callable[[Axes, np.dtype[Any]], tuple[Axes, np.dtype[Any]]],
    axes: str | Axes | None = None,
    files: Sequence[Path] = (),
    added: Sequence[str] = (),
    saving: Saving = PLAIN,
    resume: bool = False,
    client: Client | None = None,
    series: int | str | None = None,
) -> Generator[Progress, None, Record]:
    """Open a file, process the image, and write the result with its record.

    Parameters
    ----------
    process : callable
        ``process(image, lazy, begun)`` returns the steps that make a result and its metadata; `begun` is the record of
        an unfinished result that is to be continued.
    made_of : callable
        Returns the axes and dtype of the result from those of the image; see `Task.made_of`.
    axes : str or Axes, optional
        Axes of the image, if the file does not tell them.
    files : sequence of Path
        Other files that are read, which must not be replaced either.
    added : sequence of str
        Titles of the companions that are written into files of their own, see `companions.companion_path`.
    source, target, saving, resume, client, series
        See `file_steps`.
    """
    check_source(source)  # first, as the folder of a result that lies beside it would be missed, too
    written = written_format(target)
    written.check_regions(target, resume=resume, client=client)
    sources = [source, *files]
    targets = [target, *(companion_path(target, title) for title in added)]
    _check_all(targets, saving, sources, resume=resume)  # before the work, which may take hours
    image = finished(open_image(source, axes=str(axes) if axes else None, series=series))
    # What the target has no room for is refused now, and not after the work.
    written.check_room(*made_of(image.axes, as_source(image.data).dtype))
    # The result and its companions have the tiles of one run: any unfinished one of them tells which.
    parts = [part for part in map(journal.part_of, targets) if resume and part.exists()]
    begun = journal.read(parts[0])[0].record if parts else None
    # Written by region, nothing may be computed before; for other formats the task decides.
    result, about = yield from process(image, True if written.by_region else None, begun)
    about = replace(about, record=record_from_file(result.record, image, source))
    more: dict[str, Any] = {"saving": saving, "sources": sources, "resume": resume, "client": client}
    yield from _write_all_steps(added, target, result, about, **more)
    # Read back: the writer adds what is known only in the end, such as the number of clipped pixels.
    return record_of(open_image(target))


def _write_all_steps(
    added: Sequence[str], target: Path, result: Result, about: ImageMeta, *, resume: bool = False, **more: Any
) -> Generator[Progress, None, None]:
    """Write companions, and then their result: where that is whole, they are."""
    written: list[Path] = []
    try:
        for title in added:
            data, path = result.companions[title], companion_path(target, title)
            described = about_companion(about, title, data.dtype)
            # Only the companion of this very run is kept.
            if not (resume and is_made(path, described.record or {})):
                # The unrounded values are those of the result, and would be written instead of the companion.
                made = replace(result, data=data, unrounded=None, companions={})
                written.append((yield from write_steps(path, made, described, resume=resume, **more)))
        yield from write_steps(target, result, about, resume=resume, **more)
    # Also GeneratorExit and KeyboardInterrupt, by which a run is cancelled: no companion stays alone.
    except BaseException:
        if not written_format(target).by_region:  # those are kept, to be continued
            for path in [*written, *map(sidecar_of, written)]:
                remove(path)
        raise


def record_from_file(record: Record, image: ImageFile, source: Path) -> Record:
    """Return the record of a result with the path of the file that the first step was made from, and its record."""
    first = {**record["input"]}
    # Of several steps only the first read the file; the others had the result before them.
    if "record" in first:  # made by several steps
        return {**record, "input": {**first, "record": record_from_file(first["record"], image, source)}}
    first["path"] = str(source.resolve())
    if image.series:
        first["series"] = image.chosen
    # A result that is processed again hands on how its first image was acquired.
    acquisition = image.about.acquisition or ((image.record or {}).get("input") or {}).get("acquisition")
    if acquisition:
        first["acquisition"] = acquisition
    return made_from({**record, "input": first}, image.record)


def processed_steps(
    task: Task,
    data: ImageArray,
    about: ImageMeta,
    options: Any,
    *,
    files: Mapping[str, Path] = MappingProxyType({}),
    lazy: bool | None = None,
) -> Processing:
    """Run a task on an image whose axes and pixel sizes are known.

    Parameters
    ----------
    task, options
        The task and its options, whose axes are replaced by those of the image.
    data, about
        The image and its metadata.
    files : mapping of str to Path
        Options that are read from files: masks, point spread functions.
    lazy : bool, optional
        See `Task.steps`.

    Returns
    -------
    Result
        The result.
    ImageMeta
        Its metadata, with the record.
    """
    result = yield from _task_steps(task, data, about, options, files=files, lazy=lazy)
    return result, about_result(about, result, result.record)


def _task_steps(
    task: Task, data: ImageArray, about: ImageMeta, options: Any, *, files: Mapping[str, Path], lazy: bool | None
) -> Generator[Progress, None, Result]:
    """Run a task with the axes and pixel sizes of the image, and with options from files; the record names these."""
    read = {name: _read(array_options(task)[name], path) for name, path in files.items()}
    # The axes of the file count: those of the options were used when it was opened.
    options = calibrated(replace(options, axes=about.axes, **read), lambda: about)
    result = yield from task.steps(data, options, lazy=lazy)
    if not files:
        return result
    # The task sees arrays only; to make the result again, their paths are needed.
    named = {name: str(path.resolve()) for name, path in files.items()}
    return replace(result, record={**result.record, "arrays": named})


def _read(kind: str, path: Path) -> Any:
    if kind == "points":
        return read_places(path)
    image = open_image(path)
    # A point spread function brings its pixel size, so that it can be resampled to that of the image.
    return measured_psf(image.data, image.about) if kind == "psf" else image.data


def _check_all(targets: Sequence[Path], saving: Saving, sources: Iterable[Path], *, resume: bool) -> None:
    """Refuse a result, or companions of it, that exist and may not be replaced."""
    begun = resume and not targets[0].exists()  # companions that an unfinished run has written stay
    for target in targets[: 1 if begun else None]:
        _check(target, saving, sources)


def _check(target: Path, saving: Saving, sources: Iterable[Path]) -> None:
    """Refuse a target, or the sidecar beside it, that exists and may not be replaced."""
    # An OME-Zarr is a folder; a file must not take the place of one, nor the reverse.
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
    client: Client | None = None,
) -> Generator[Progress, None, Path]:
    """Write the result of a task in the format that the target's name asks for; see `file_steps`."""
    # A lazy result of an integer dtype is written from its unrounded values: the writer counts the clipped pixels.
    unrounded = result.unrounded is not None
    data, dtype = (result.unrounded, result.data.dtype) if unrounded else (result.data, None)
    options: dict[str, Any] = {"dtype": dtype, "overwrite": saving.overwrite, "sources": sources}
    options |= {"pyramid": saving.pyramid, "resume": resume, "client": client}
    with borrowed(result.record.get("device", "cpu")):  # a lazy result is computed now
        path = yield from written_format(target).write_steps(target, data, about, **options)
    if saving.sidecar:
        write_sidecar(path, overwrite=saving.overwrite)
    return path


def write_result_steps(
    task: Task, data: ImageArray, options: Any, about: ImageMeta, target: Path, *, saving: Saving = PLAIN
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
    added, written_as = task.added(options), written_format(target)
    paths = {title: companion_path(target, title) for title in added}
    _check_all([target, *paths.values()], saving, [], resume=False)
    written_as.check_room(*task.made_of(resolve_axes(options.axes, data.shape), as_source(data).dtype, options))
    result = yield from task.steps(data, options, lazy=True if written_as.by_region else None)
    record = made_from_layer(result.record, {"genrecon": about.record, ACQUISITION: about.acquisition})
    # With the record that names the layer's own record: the task has seen its pixels only.
    described = about_result(about, result, record)
    yield from _write_all_steps(added, target, result, described, saving=saving)
    # The layer shows the file, so that the computed pixels need not stay in memory.
    written = open_image(target)
    companions = result.companions | {title: layers_of(open_image(path))[0][0] for title, path in paths.items()}
    return replace(result, data=layers_of(written)[0][0], record=record_of(written), companions=companions)


def about_result(about: ImageMeta, result: Result, record: dict[str, Any]) -> ImageMeta:
    """Return the metadata of a result from that of its source: axes, scale, translate and units for the same place."""
    whole = about.filled()
    new = len(result.axes) - len(about.axes)  # 1 for several plausible fillings, which get a new first dimension
    # Only tasks that enlarge have a factor.
    factors = tuple(record.get("factor") or (1,) * len(about.axes))
    scale, translate = upscaled_transform(whole.scale, whole.translate, factors)
    made = (record.get("output") or {}).get("channel_names")
    if made is not None:  # other channels than those of the image
        # Names need a dimension of channels.
        several = "C" in result.axes.letters
        whole = replace(whole, channel_names=tuple(made) if several and any(made) else (), **_NO_COLOURS)
    elif result.region is not None:
        whole = _cut(whole, result.region)
    if result.region is not None:
        # A region starts at pixels of the source: the factor makes pixels of the result of them, and `scale` units.
        translate = translate + np.array([part.start for part in result.region]) * np.asarray(factors) * scale
    return replace(
        whole,
        axes=result.axes,
        scale=(*(1.0,) * new, *map(float, scale)),
        # Fillings are numbered: their dimension has no length.
        units=(*("pixel",) * new, *whole.units),
        translate=(*(0.0,) * new, *map(float, translate)),
        record=record,
        layer=turned(about, new),
    )


def turned(about: ImageMeta, new: int = 0) -> dict[str, Any] | None:
    """Return the rotation, shear and affine of the saved layer for its result, with `new` dimensions in front."""
    affine = further_affine(about)
    if affine is None:
        return None
    found = np.eye(len(affine) + new)
    found[new:, new:] = affine
    return {"affine": found.tolist()}


_NO_COLOURS: dict[str, Any] = {"channel_colors": (), "channel_luts": (), "channel_limits": ()}


def _cut(about: ImageMeta, region: tuple[slice, ...]) -> ImageMeta:
    """Return the metadata with the names, colours and display limits of the channels of a region."""
    if "C" not in about.axes.letters:
        return about
    part = region[about.axes.letters.index("C")]
    per_channel = ("channel_names", "channel_colors", "channel_luts", "channel_limits")
    return replace(about, **{name: getattr(about, name)[part] for name in per_channel})


def finished(image: ImageFile) -> ImageFile:
    """Return the image, and refuse it if it is an unfinished result."""
    if image.unfinished:
        raise ImageError(f"{image.path} is an unfinished result ({image.unfinished}): continue it first with --resume")
    return image


def tile_of(record: dict[str, Any]) -> tuple[int, int]:
    """Return the height and width of an earlier run's tiles; other tiles would change the last digits of the pixels."""
    size = record["tile"]["size"]
    # Fillings have a dimension in front that is not computed in tiles.
    axes = Axes(record["axes"]["letters"][-len(size) :])
    return int(size[axes.y]), int(size[axes.x])
