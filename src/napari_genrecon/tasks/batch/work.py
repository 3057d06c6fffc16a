"""What is done to every image of a batch, and whether a result that exists was made that way."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from napari_genrecon.axes import Axes
from napari_genrecon.engine.run import Progress
from napari_genrecon.errors import OptionError
from napari_genrecon.io.reader import open_image
from napari_genrecon.io.record.check import find_record
from napari_genrecon.io.record.history import steps_of_run
from napari_genrecon.io.record.provenance import facts
from napari_genrecon.optics.objective import Optics
from napari_genrecon.tasks import Task
from napari_genrecon.tasks.deblur.task import ITERATIONS
from napari_genrecon.tasks.files import file_steps
from napari_genrecon.tasks.measure import as_source, input_facts, sample_channels
from napari_genrecon.tasks.pipeline import Pipeline
from napari_genrecon.tasks.pipeline.files import file_pipeline_steps
from napari_genrecon.tasks.pipeline.steps import step_of
from napari_genrecon.tasks.region import recorded, region_of

__all__ = ["Work", "pipeline_work", "task_work"]

FileSteps = Generator[Progress, None, dict[str, Any]]

_SAME_SIZE = 1e-6  # relative: sizes are rounded when they are divided and written
_PER_MACHINE = ("axes", "tile", "device", "precision")  # where and in what pieces; axes are compared by themselves


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is done to every image of a batch.

    Attributes
    ----------
    name : str
        Name of the task, or of the steps, by which results are named.
    process : callable
        ``process(image, result, **keywords)``, which are those of `tasks.files.file_steps`, returns steps that return
        the record of the result.
    steps : sequence of (Task, options, files)
        Tasks in their order, with their options, and the files of those that are arrays.
    """

    name: str
    process: Callable[..., FileSteps]
    steps: Sequence[tuple[Task, Any, Mapping[str, Path]]]

    def has_made(self, result: Path, image: Path, series: int | str | None = None) -> str:
        """Return why a file is not the result of this work on an image; empty if it is.

        Only headers and the crops that noise is measured on are read.
        """
        record = find_record(result)
        # Results of steps hold a record inside a record.
        made = [] if record is None else steps_of_run(record)
        # Other tasks, or the same in another order.
        if [step.get("task") for step in made] != [task.name for task, _, _ in self.steps]:
            return "it was not made by this task"
        for (task, options, files), step in zip(self.steps, made, strict=True):
            differing = _differing(options, files, step)
            if differing:
                return f"it was made with another {differing} of {task.title}"
            # The record names files and not what was in them: a mask that was drawn anew is younger than the result.
            later = [file.name for file in files.values() if file.stat().st_mtime > result.stat().st_mtime]
            if later:
                return f"{later[0]} was changed after it was made"
        return _differing_image(made, image, self.steps[0][1].axes, series)


def task_work(task: Task, options: Any, files: Mapping[str, Path]) -> Work:
    """Return one task as the work of a batch; see `tasks.files.file_steps`."""

    def process(image: Path, result: Path, **keywords: Any) -> FileSteps:
        return file_steps(task, image, result, options, arrays=dict(files), **keywords)

    return Work(name=task.name, process=process, steps=[(task, options, files)])


def pipeline_work(steps: Pipeline, name: str = "", *, axes: str | Axes | None = None, keep: bool = False) -> Work:
    """Return several tasks in a row as the work of a batch; see `tasks.pipeline.files.file_pipeline_steps`."""

    def process(image: Path, result: Path, **keywords: Any) -> FileSteps:
        return file_pipeline_steps(steps, image, result, axes=axes, keep=keep, **keywords)

    # Read once here, so that a wrong option is refused before the first image.
    parsed = [(step.found, *step.parsed(steps.folder)) for step in steps.steps]
    first, options, files = parsed[0]
    # Axes are those of the image, which only the first step reads.
    parsed[0] = (first, replace(options, axes=axes), files)
    return Work(name=name or steps.name, process=process, steps=parsed)


def _differing(options: Any, files: Mapping[str, Path], record: Mapping[str, Any]) -> str:
    """Return the name of the first option in which a record differs; empty if none does."""
    try:
        then, files_then = step_of(record).parsed()
    except OptionError:  # an array that is in no file
        return "input"
    # Different words may mean one region, as "Y=0:10" and all rows of ten.
    options = _with_region(options, record)
    # Files are compared by their paths, noise by its models, everything else by value.
    for name in (option.name for option in fields(options) if option.name not in _PER_MACHINE):
        if (name in files or name in files_then) and not _same_file(files.get(name), files_then.get(name)):
            return name
        if name == "noise" and not _same_noise(options.noise, record.get("noise") or []):
            return name
        if name not in {*files, "noise"} and not _same(_value(options, name), _value(then, name)):
            return name
    return ""


def _with_region(options: Any, record: Mapping[str, Any]) -> Any:
    """Return the options with their region in the words of a record, which does not keep those of the user."""
    given = getattr(options, "region", None)
    if not given:
        return options
    shape = record["input"]["shape"]
    # Letters of the image alone.
    axes = Axes(record["axes"]["letters"][-len(shape) :])  # several fillings have a new dimension in front
    try:
        region = region_of(given, axes, shape)
    except OptionError:  # it does not fit this image, so that no result was made of it
        return options
    names = [option.name for option in fields(options)]
    return options if region is None else replace(options, **recorded(region, axes, shape, names))


def _value(options: Any, name: str) -> Any:
    """Return the value of an option; the default of iterations depends on the method, and records state the number."""
    found = getattr(options, name)
    return ITERATIONS[options.method] if name == "iterations" and found is None else found


def _same(wanted: Any, then: Any) -> bool:
    if isinstance(wanted, Optics) and isinstance(then, Optics):  # sizes that were not given are those of the image
        # They were taken from the image, whose sizes are compared as well.
        sizes = {name: getattr(then, name) for name in ("pixel_size", "z_step") if getattr(wanted, name) is None}
        wanted = replace(wanted, **sizes)
    return bool(wanted == then)


def _same_noise(wanted: Any, models: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether the noise that is wanted is that of a record: measured (None), a number, or a report."""
    given = [model.get("sigma") for model in models if model.get("method") == "given"]
    if wanted is None:
        return not any(given)  # 0: no noise was needed
    if isinstance(wanted, int | float):
        return len(given) == len(models) and set(given) == {float(wanted)}
    # A report is for one channel or for several; each of the record must be among those given.
    reports = [report.to_dict() for report in (wanted if isinstance(wanted, Sequence) else [wanted])]
    return all(dict(model) in reports for model in models)


def _same_file(wanted: Path | None, then: Path | None) -> bool:
    # Resolved: records hold absolute paths, options often relative ones.
    return wanted is not None and then is not None and wanted.resolve() == then.resolve()


def _differing_image(made: Sequence[Mapping[str, Any]], path: Path, axes: str | None, series: int | str | None) -> str:
    """Return why the records of the steps that made a result are not of this image; empty if they are."""
    image = open_image(path, axes=str(axes) if axes else None, series=series)
    letters = (made[0].get("axes") or {}).get("letters", "")
    if axes and not letters.endswith(image.axes.letters):  # several fillings have a new dimension in front
        return f"it was made with the axes {letters}"
    source = as_source(image.data)
    known = input_facts(source, sample_channels(source, image.about.axes))
    # Shape, dtype and a fingerprint of the pixels.
    if not all((made[0].get("input") or {}).get(name) == value for name, value in known.items()):
        return f"it was made from another image than {path.name} is now"
    # The record of a written image ends with its sizes; files of points have places in pixels.
    then = _sizes(made[-1].get("image") or {})
    if "image" in made[-1] and not _same_sizes(_sizes(facts(image.about)), then, made):
        return f"it was made when the pixels of {path.name} had another size"
    return ""


def _sizes(image: Mapping[str, Any]) -> dict[str, tuple[float, str]]:
    """Return size and unit by letter, of the facts about an image."""
    return {name[0]: (float(value[0]), str(value[1])) for name, value in image.items() if "(size" in name}


def _same_sizes(
    now: Mapping[str, tuple[float, str]], then: Mapping[str, tuple[float, str]], made: Sequence[Mapping[str, Any]]
) -> bool:
    """Return whether the pixels of a result have the sizes that its steps make of those of the image."""
    wanted = {letter: size for letter, (size, _) in now.items()}
    for step in made:
        factors = step.get("factor") or ()
        # Several fillings have a new dimension in front.
        for letter, factor in zip(reversed(step["axes"]["letters"]), reversed(factors), strict=False):
            wanted |= {letter: wanted[letter] / factor} if letter in wanted else {}
    return now.keys() == then.keys() and all(
        math.isclose(size, then[letter][0], rel_tol=_SAME_SIZE) and now[letter][1] == then[letter][1]
        for letter, size in wanted.items()
    )
