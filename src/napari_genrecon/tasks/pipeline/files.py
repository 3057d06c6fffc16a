"""Run tasks in a row from file to file."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_genrecon.axes import Axes
from napari_genrecon.engine.run import Progress
from napari_genrecon.io.formats import image_name, result_ending
from napari_genrecon.io.image_file import ImageFile
from napari_genrecon.io.saving import PLAIN, Saving
from napari_genrecon.tasks.files import Processing, Record, process_file_steps, record_from_file, write_steps
from napari_genrecon.tasks.pipeline.run import pipeline_steps
from napari_genrecon.tasks.pipeline.steps import Pipeline

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["file_pipeline_steps"]


def file_pipeline_steps(
    steps: Pipeline,
    source: Path,
    target: Path,
    *,
    axes: str | Axes | None = None,
    keep: bool = False,
    saving: Saving = PLAIN,
    resume: bool = False,
    client: Client | None = None,
    series: int | str | None = None,
) -> Generator[Progress, None, Record]:
    """Run tasks in a row on one file.

    Parameters
    ----------
    steps : Pipeline
        The tasks.
    axes : str or Axes, optional
        Axes of the image, if the file does not tell them.
    keep : bool
        Write the results of the steps before the last, too, as ``NAME_1_TASK`` beside the target.
    source, target, saving, resume, client, series
        See `tasks.files.file_steps`.

    Returns
    -------
    dict
        The record, with those of the steps before inside.
    """
    # Masks and PSFs, which no result may replace.
    files = [path for step in steps.steps for path in step.parsed(steps.folder)[1].values()]

    def process(image: ImageFile, lazy: bool | None, begun: Record | None) -> Processing:
        made = yield from pipeline_steps(steps, image.data, image.about, lazy=lazy, begun=begun, keep=keep)
        # Without `keep`, `made` holds the last result alone, and nothing is left to write here.
        for number, (step, (result, about)) in enumerate(zip(steps.steps, made[:-1], strict=False), start=1):
            # In the format of the result, whatever that of the image is.
            beside = target.with_name(f"{image_name(target)}_{number}_{step.task}{result_ending(target)}")
            # Each file names the image that it was made from, and can be checked without the others.
            about = replace(about, record=record_from_file(result.record, image, source))
            yield from write_steps(beside, result, about, saving=saving, sources=[source, *files])
        # The last one is written by `process_file_steps`, as that of a single task.
        return made[-1]

    def made_of(found: Axes, dtype: np.dtype[Any]) -> tuple[Axes, np.dtype[Any]]:
        for step in steps.steps:
            found, dtype = step.found.made_of(found, dtype, step.parsed(steps.folder)[0])
        return found, dtype

    more: dict[str, Any] = {"saving": saving, "resume": resume, "client": client, "series": series}
    return (yield from process_file_steps(process, source, target, axes=axes, files=files, made_of=made_of, **more))
