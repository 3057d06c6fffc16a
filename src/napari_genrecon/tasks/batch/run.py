"""Process the images of a batch one after the other; one that fails is reported, and the rest go on."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from napari_genrecon.engine.cluster import connected
from napari_genrecon.engine.run import Progress, map_progress
from napari_genrecon.errors import ExistsError
from napari_genrecon.io.formats import is_written_by_region
from napari_genrecon.io.reader import file_sentence
from napari_genrecon.io.record.check import choice_text
from napari_genrecon.io.record.companions import companion_path
from napari_genrecon.io.record.frames import frames_text
from napari_genrecon.io.record.history import steps_of_run
from napari_genrecon.io.saving import PLAIN, Saving
from napari_genrecon.tasks.batch.plan import Batch
from napari_genrecon.tasks.batch.work import Work

__all__ = ["BatchProgress", "Row", "State", "batch_steps", "rows_of"]

_NOT_BEGUN = Progress(0, 0)

State = Literal["waiting", "running", "done", "done before", "failed", "stopped"]


@dataclass(frozen=True, slots=True)
class Row:
    """An image of a batch, and how far it is.

    Attributes
    ----------
    image, result : Path
        The image and the file of its result.
    state : str
        ``"done before"`` if an earlier run has made the result.
    progress : Progress
        Progress of this image, while it is running.
    notes : tuple of str
        What is to be known of the result.
    error : Exception or None
        Why it failed.
    """

    image: Path
    result: Path
    state: State = "waiting"
    progress: Progress = _NOT_BEGUN
    notes: tuple[str, ...] = ()
    error: Exception | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more is done for this image."""
        return self.state not in ("waiting", "running")

    @property
    def sentence(self) -> str:
        """Why it failed, or what is to be known of the result; empty if there is nothing to say."""
        return ". ".join(self.notes) if self.error is None else file_sentence(self.error, self.image)


@dataclass(frozen=True, slots=True)
class BatchProgress(Progress):
    """Progress of a batch, with all its rows.

    Attributes
    ----------
    rows : tuple of Row
        All images, in their order.
    index : int
        Which of them has just changed.
    """

    rows: tuple[Row, ...] = ()
    index: int = 0

    @property
    def row(self) -> Row:
        """The row that has just changed."""
        return self.rows[self.index]


def rows_of(batch: Batch) -> tuple[Row, ...]:
    """Return the rows of a batch before it begins."""
    return tuple(Row(image, result) for image, result in batch.jobs)


def batch_steps(
    batch: Batch,
    work: Work,
    *,
    saving: Saving = PLAIN,
    resume: bool = False,
    scheduler: str | None = None,
    workers: int = 2,
    series: int | str | None = None,
    strict: bool = False,
) -> Generator[BatchProgress, None, tuple[Row, ...]]:
    """Process the images of a batch.

    Parameters
    ----------
    batch : Batch
        From `plan_batch`; its folders must exist.
    work : Work
        What is done to every image.
    saving : Saving
        How results are written.
    resume : bool
        Leave out images whose result exists and was made by the same work from the same image, and continue OME-Zarr
        results that were left unfinished.
    scheduler, workers
        See `engine.cluster.connected`.
    series : int or str, optional
        Which image of files that hold several.
    strict : bool
        Raise the first error instead of going on with the next image.

    Yields
    ------
    BatchProgress
        After every step, and when an image has ended.

    Returns
    -------
    tuple of Row
        All rows; none is waiting or running.
    """
    # A list that `_of_all` changes, so that every progress carries the rows as they are.
    rows = list(rows_of(batch))
    with connected(scheduler, workers) as client:
        more: dict[str, Any] = {"saving": saving, "client": client, "series": series}
        for index, row in enumerate(rows):
            running = _file_steps(row, work, resume, more)
            try:
                rows[index] = yield from map_progress(running, _of_all(rows, index))
            except Exception as error:  # one bad file must not end a batch
                if strict:
                    raise
                rows[index] = replace(row, state="failed", error=error)
            yield BatchProgress(index + 1, len(rows), rows=tuple(rows), index=index)
    return tuple(rows)


def _file_steps(row: Row, work: Work, resume: bool, more: dict[str, Any]) -> Generator[Progress, None, Row]:
    """Process one image, unless its result exists already."""
    # Before looking at the result, which may take a while: the window shows which image it is at.
    yield _NOT_BEGUN
    if resume and row.result.exists():
        differs = work.has_made(row.result, row.image, more["series"])
        if not differs:
            return replace(row, state="done before")
        # Writing would refuse it, too, but could not tell what differs.
        if not more["saving"].overwrite:
            raise ExistsError(
                f"{row.result.name} exists already, and {differs}: choose another folder or other names for the results"
            )
    # Other formats cannot be continued, and `process_file_steps` refuses to.
    again = resume and is_written_by_region(row.result)
    record = yield from work.process(row.image, row.result, resume=again, **more)
    return replace(row, state="done", notes=(*_notes(record), *_added(row.result, work)))


def _of_all(rows: list[Row], index: int) -> Callable[[Progress], BatchProgress]:
    """Return a function that turns the progress of one image into that of the batch, which never falls."""
    # Kept between calls: `nonlocal` in `tell`.
    count, most = len(rows), 0.0

    def tell(progress: Progress) -> BatchProgress:
        nonlocal most
        most = max(most, progress.fraction)  # computing and writing have a progress of their own each
        rows[index] = replace(rows[index], state="running", progress=progress)
        # One image: its own steps, tiles and planes say more than "0 of 1".
        if count == 1:
            return BatchProgress(progress.done, progress.total, progress.note, progress.work, rows=tuple(rows))
        said = ": ".join(filter(None, [rows[index].image.name, progress.note]))
        return BatchProgress(index, count, said, (index + most) / count, rows=tuple(rows), index=index)

    return tell


def _added(result: Path, work: Work) -> list[str]:
    """Say which files came with a result."""
    # Only a single task adds files: steps in a row refuse options that do.
    task, options, _ = work.steps[-1]
    return [f"{title} written to {companion_path(result, title).name}" for title in task.added(options)]


def _notes(record: dict[str, Any]) -> Generator[str, None, None]:
    """Yield what is to be known of a result, from its record."""
    for step in steps_of_run(record):
        if choice_text(step):
            yield f"model {choice_text(step)}"
        if frames_text(step):
            yield frames_text(step)
        yield from (f"note: {sentence}" for sentence in step["warnings"])
