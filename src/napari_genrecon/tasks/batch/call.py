"""Process a folder of images from Python."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from napari_genrecon.engine.run import finish
from napari_genrecon.errors import GenReconWarning, OptionError
from napari_genrecon.io.saving import Saving
from napari_genrecon.tasks import find_task
from napari_genrecon.tasks.batch.plan import make_folders, plan_batch
from napari_genrecon.tasks.batch.run import Row, batch_steps
from napari_genrecon.tasks.batch.work import Work, pipeline_work, task_work
from napari_genrecon.tasks.from_text import options_from_text
from napari_genrecon.tasks.pipeline import Pipeline

__all__ = ["batch"]

AnyPath = str | PathLike[str]


def batch(
    task: str | Pipeline,
    images: AnyPath | Sequence[AnyPath],
    output: AnyPath | None = None,
    *,
    name: str = "",
    recursive: bool = False,
    overwrite: bool = False,
    resume: bool = True,
    scheduler: str | None = None,
    **options: Any,
) -> tuple[Row, ...]:
    """Run a task on image files, each into a file of its own; a bad file is reported, and the rest go on.

    Parameters
    ----------
    task : str or Pipeline
        Name of a task, such as ``"denoise"``, or steps in a row from `pipeline`.
    images : path, or sequence of path
        Images, and folders of images.
    output : path, optional
        Folder for the results; beside their images if not given.
    name : str
        Names of the results, with ``{name}`` where that of the image shall stand; an ending such as .ome.zarr chooses
        the format. By default ``{name}_{task}``.
    recursive : bool
        Also take the images in subfolders.
    overwrite : bool
        Replace results that exist. An image is never replaced.
    resume : bool
        Leave out images whose result exists and was made in the same way from the same image, and continue OME-Zarr
        results that were left unfinished.
    scheduler : str, optional
        Dask scheduler whose workers write OME-Zarr results, or ``"local"``.
    **options
        Options of the task; a mask, or a measured point spread function, is the path of an image.

    Returns
    -------
    tuple of Row
        For each image its path (`image`), that of its result (`result`), the `state` (``"done"``, ``"done before"`` or
        ``"failed"``) and a `sentence` about it.

    Raises
    ------
    OptionError
        If there is no such task or option, an option cannot work, or two results would have one name.
    ImageError
        If a folder cannot be read or holds no image.

    Warns
    -----
    GenReconWarning
        For each image that failed.
    """
    # Wrong options are refused before folders are searched.
    work = _work(task, options)
    # A text is a sequence, too: of letters.
    inputs: Sequence[AnyPath] = [images] if isinstance(images, str | PathLike) else images
    if not isinstance(inputs, Iterable) or not all(isinstance(path, str | PathLike) for path in inputs):
        raise OptionError(
            f"images must be the path of an image or a folder, or a list of paths; got {type(images).__name__}: for "
            "arrays, call the function of the task"
        )
    # The slash says that it is a folder, also if it does not exist yet; a Path drops its own.
    folder = None if output is None else f"{Path(output)}/"
    found = plan_batch(map(Path, inputs), work.name, folder, recursive=recursive, pattern=name)
    # Only now, when no name was refused: a failed plan leaves nothing behind.
    make_folders(found)
    saving = Saving(overwrite=overwrite)
    rows = finish(batch_steps(found, work, saving=saving, resume=resume, scheduler=scheduler))
    for row in rows:
        if row.error is not None:
            # Shown at the caller's line.
            warnings.warn(f"{row.image}: {row.sentence}", GenReconWarning, stacklevel=2)
    return rows


def _work(task: str | Pipeline, options: dict[str, Any]) -> Work:
    if isinstance(task, str):
        try:
            found = find_task(task)
            return task_work(found, *options_from_text(found, options))
        # KeyError: no such task; TypeError: an option that its dataclass does not have.
        except (KeyError, TypeError) as error:
            raise OptionError(f"there is no such task or option: {error}") from error
    if options:
        raise OptionError(f"steps hold their options themselves; got {', '.join(options)} besides")
    return pipeline_work(task)
