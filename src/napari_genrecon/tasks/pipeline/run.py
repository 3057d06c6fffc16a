"""Run tasks in a row on one image."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_genrecon.arrays import ImageArray, ImageLike
from napari_genrecon.axes import Axes
from napari_genrecon.engine.run import Progress, finish, map_progress
from napari_genrecon.io.image_file import ImageMeta
from napari_genrecon.io.record.history import made_from, steps_of_run
from napari_genrecon.tasks.files import processed_steps, tile_of
from napari_genrecon.tasks.given import given_image
from napari_genrecon.tasks.measure import as_source
from napari_genrecon.tasks.pipeline.steps import Pipeline, Step, as_step, read_pipeline
from napari_genrecon.tasks.task import Result

__all__ = ["pipeline", "pipeline_steps"]

_FINE = 1000  # progress is told in thousandths of a task: tasks count their own work in different units


def pipeline(
    steps: Pipeline | Sequence[Step | str | tuple[str, dict[str, Any]]] | str | Path,
    image: ImageLike | None = None,
    *,
    axes: str | Axes | None = None,
) -> ImageArray | Pipeline:
    """Run several tasks in a row, each on the result of the one before.

    Parameters
    ----------
    steps : list, Pipeline or path
        Names of tasks, or pairs of a name and its options, in the order in which they run; or the path of a JSON file
        of them.
    image : array_like or napari.layers.Image, optional
        Image to work on. Without it, the checked steps are returned, to be saved or run later.
    axes : str, optional
        One letter for each dimension, from ``TZCYXS``; inferred from the shape, or from the layer, if not given.

    Returns
    -------
    ndarray, dask array or Pipeline
        Pixels of the last step's result; the steps without an image.

    Raises
    ------
    OptionError
        If there is no such task or option, or it cannot work.
    ImageError
        See the tasks.

    Examples
    --------
    >>> import numpy as np
    >>> noisy = np.random.default_rng(1).poisson(20, (64, 64))
    >>> restore = pipeline(["denoise", ("upscale", {"factor": 2})])
    >>> print(restore)
    Denoise → Upscale (factor 2)
    >>> pipeline(restore, noisy).shape
    (128, 128)
    """
    # A text is the path of a file here, and never the name of a task: names come in a list.
    if isinstance(steps, str | Path):
        found = read_pipeline(steps)
    else:
        found = steps if isinstance(steps, Pipeline) else Pipeline(tuple(map(as_step, steps)))
    if image is None:
        return found
    given = given_image(image, axes)
    result, _ = finish(pipeline_steps(found, as_source(given.pixels), given.about()))[-1]
    result.warn()
    return result.data


def pipeline_steps(
    steps: Pipeline,
    data: ImageArray,
    about: ImageMeta,
    *,
    lazy: bool | None = None,
    begun: dict[str, Any] | None = None,
    keep: bool = False,
) -> Generator[Progress, None, list[tuple[Result, ImageMeta]]]:
    """Run tasks in a row, step by step.

    Parameters
    ----------
    steps : Pipeline
        The tasks.
    data, about
        The image and its metadata: axes, and pixel sizes where a step needs them.
    lazy : bool, optional
        See `Task.steps`.
    begun : dict, optional
        Record of an unfinished result whose tiles are to be used.
    keep : bool
        Return the results of all steps, not only of the last.

    Yields
    ------
    Progress
        Progress of all steps together.

    Returns
    -------
    list of (Result, ImageMeta)
        Result and metadata. A record holds that of the step before as the record of its input.
    """
    made: list[tuple[Result, ImageMeta]] = []
    # Results continue with the tiles that they were begun with: others would change the last digits of their pixels.
    tiles = [tile_of(record) for record in steps_of_run(begun)] if begun else [None] * len(steps.steps)
    record: dict[str, Any] | None = None
    for index, (step, tile) in enumerate(zip(steps.steps, tiles, strict=True)):
        options, files = step.parsed(steps.folder)
        if tile is not None:
            options = replace(options, tile=tile)
        # If `lazy`, nothing is computed here: the steps chain, and the last result is computed as it is written.
        running = processed_steps(step.found, data, about, options, files=files, lazy=lazy)
        result, about = yield from map_progress(running, _told(step, index, len(steps.steps)))
        # The record of each step holds the one before, so that the last tells the whole history.
        record = made_from(result.record, record)
        result, about = replace(result, record=record), replace(about, record=record)
        # The next step works on this, and on the metadata that came with it: pixel sizes may have changed.
        data = result.data
        # Without `keep` the pixels of earlier steps can be freed.
        made = [*made, (result, about)] if keep else [(result, about)]
    return made


def _told(step: Step, index: int, count: int) -> Any:
    """Return a function that turns the progress of one step into that of all."""

    def tell(progress: Progress) -> Progress:
        said = f"step {index + 1} of {count}, {step.found.title}"
        done = round(_FINE * (index + progress.fraction))
        return Progress(done, _FINE * count, f"{said}: {progress.note}" if progress.note else said)

    return tell
