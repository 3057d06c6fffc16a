"""Describe tasks in a row, and keep them as a small JSON file that people can read and edit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from napari_genrecon.errors import OptionError
from napari_genrecon.io.publish import publishing
from napari_genrecon.io.record.history import history
from napari_genrecon.tasks import TASKS, Task, find_task
from napari_genrecon.tasks.files import array_options
from napari_genrecon.tasks.from_text import options_from_text

__all__ = ["Pipeline", "Step", "read_pipeline", "step_of", "steps_of"]

_VERSION = 1  # of the file of steps
_KEY = "genrecon pipeline"
_PER_IMAGE = ("axes", "tile", "device", "noise")  # of one image and machine: found anew for the next


@dataclass(frozen=True, slots=True)
class Step:
    """One task with its options.

    Attributes
    ----------
    task : str
        ``"denoise"``, ``"upscale"``, ``"upscale_z"``, ``"deblur"`` or ``"inpaint"``.
    options : mapping
        Options of the function of the same name, as JSON values; those that are left out have their defaults. Masks and
        measured point spread functions are paths of images.

    Raises
    ------
    OptionError
        If there is no such task or option.
    """

    task: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Points are no image that a next step could take.
        names = [task.name for task in TASKS if task.makes == "image"]
        if self.task not in names:
            raise OptionError(f"there is no task {self.task!r}: a step is one of {', '.join(names)}")
        known = [each.name for each in fields(self.found.options)]
        # Refused here: `parsed` would raise a TypeError without the list of what there is.
        for name in self.options:
            if name not in known:
                raise OptionError(f"{self.task} has no option {name!r}: it has {', '.join(known)}")

    @property
    def found(self) -> Task:
        """The task."""
        return find_task(self.task)

    def parsed(self, folder: Path | None = None) -> tuple[Any, dict[str, Path]]:
        """Return the options of the task, and the files of those that are arrays; see `options_from_text`."""
        try:
            return options_from_text(self.found, self.options, folder=folder)
        except OptionError as error:
            # Which of several steps it is about.
            raise OptionError(f"step {self.task}: {error}") from error

    def __str__(self) -> str:
        said = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in self.options.items())
        return self.found.title + (f" ({said})" if said else "")


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Tasks in a row, each working on the result of the one before.

    Attributes
    ----------
    steps : tuple of Step
        At least one.
    folder : Path or None
        Folder that relative paths of masks and point spread functions start from; None is the current one.

    Raises
    ------
    OptionError
        If there is no step, or the options of one cannot work.
    """

    steps: tuple[Step, ...]
    folder: Path | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not self.steps:
            raise OptionError("a pipeline has no steps: give at least one, such as 'denoise'")
        # All are checked at once, so that a mistake in the last does not show after hours.
        for step in self.steps:
            options, _ = step.parsed(self.folder)
            if step.found.added(options):
                adding = next(name for name, _ in step.found.adds if getattr(options, name))
                raise OptionError(
                    f"step {step.task}: {adding} makes a second image, and steps in a row pass on one: leave it out, "
                    f"and run {step.task} by itself for it"
                )

    @property
    def name(self) -> str:
        """Names of the tasks, as results are named after them: ``"inpaint-denoise"``."""
        return "-".join(step.task for step in self.steps)

    def __str__(self) -> str:
        return " → ".join(map(str, self.steps))

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the steps as JSON, which `pipeline` and ``genrecon run`` read."""
        path = Path(path)
        steps = [{"task": step.task, "options": self._with_paths(step, path.parent)} for step in self.steps]
        # A file that is replaced stays whole until the new one is.
        with publishing(path, overwrite=overwrite) as part:
            part.write_text(json.dumps({_KEY: _VERSION, "steps": steps}, indent=1) + "\n", encoding="utf-8")
        return path

    def _with_paths(self, step: Step, folder: Path) -> dict[str, Any]:
        """Return the options with the files of arrays as paths from a folder, if they lie below it, else whole."""
        found = dict(step.options)
        for name, file in step.parsed(self.folder)[1].items():
            # Relative paths keep working when the folder is moved or shared.
            whole, above = file.resolve(), folder.resolve()
            found[name] = str(whole.relative_to(above) if whole.is_relative_to(above) else whole)
        return found


def read_pipeline(path: str | Path) -> Pipeline:
    """Read the steps that `Pipeline.save` wrote.

    Raises
    ------
    OptionError
        If the file holds none.
    """
    path = Path(path)
    try:
        found = json.loads(path.read_bytes())  # bytes: editors and shells on Windows write UTF-16
    except FileNotFoundError:
        raise OptionError(f"there is no file of steps {path}") from None
    except (OSError, ValueError) as error:
        raise OptionError(f"{path} is no file of steps ({error})") from error
    if not isinstance(found, dict) or not isinstance(found.get("steps"), list):
        raise OptionError(
            f'{path} is no file of steps: {{"{_KEY}": {_VERSION}, "steps": [{{"task": …}}, …]}} is needed'
        )
    # A newer version may mean other things by the same words.
    if found.get(_KEY) != _VERSION:
        raise OptionError(
            f"{path} is a file of steps of version {found.get(_KEY)!r}, and this program reads {_VERSION}"
        )
    # Relative paths in a file start at its own folder, wherever the program runs.
    return Pipeline(tuple(_step(path, entry) for entry in found["steps"]), path.parent)


def _step(path: Path, entry: object) -> Step:
    if (
        not isinstance(entry, dict)
        or set(entry) - {"task", "options"}
        or not isinstance(entry.get("options", {}), dict)
    ):
        raise OptionError(f'{path}: {entry!r} is no step; {{"task": "denoise", "options": {{"strength": 0.8}}}} is one')
    # `Step` refuses a task that is missing, as "None".
    return Step(str(entry.get("task")), entry.get("options", {}))


def steps_of(record: Mapping[str, Any]) -> Pipeline:
    """Return the steps that made a result, to run them on another image.

    Noise that was measured is measured anew, and so is damage that was detected.

    Raises
    ------
    OptionError
        If a step needs an array that is in no file.
    """
    return Pipeline(tuple(_alone(step_of(each)) for each in history(record)))


def _alone(step: Step) -> Step:
    """Return a step without the options that add a second image."""
    # A pipeline refuses them, and the result can be made without.
    adding = {name for name, _ in step.found.adds}
    return Step(step.task, {name: value for name, value in step.options.items() if name not in adding})


def step_of(record: Mapping[str, Any]) -> Step:
    task = _task_of(record)
    defaults = task.options()
    given = {
        # Only what differs from the defaults: the rest would clutter what people read and edit.
        name: value
        for name, value in (record.get("options") or {}).items()
        if name not in _PER_IMAGE and hasattr(defaults, name) and value != getattr(defaults, name)
    }
    # Noise that was given as one number is an option; measured noise belongs to its image.
    sigmas = [model["sigma"] for model in record.get("noise") or () if model.get("method") == "given"]
    if any(sigmas) and len(sigmas) == 1:
        given["noise"] = sigmas[0]
    for name in array_options(task):
        value = _array(name, record)
        if value is not None:
            given[name] = value
    return Step(task.name, given)


def _task_of(record: Mapping[str, Any]) -> Task:
    try:
        return find_task(str(record.get("task")))
    except KeyError:
        raise OptionError(
            f"the result was made by {record.get('task')!r}, which is no step for another image: choose a result of "
            f"{', '.join(task.name for task in TASKS)}"
        ) from None


def _array(name: str, record: Mapping[str, Any]) -> float | str | None:
    """Return an array option as text: a number, optics, or the path of its file; None where it was not given."""
    made_from, path = record.get(name) or {}, (record.get("arrays") or {}).get(name)
    if path is not None:
        return str(path)
    if "gaussian_fwhm_px" in made_from:
        return float(made_from["gaussian_fwhm_px"])
    if "optics" in made_from:
        known = {key: value for key, value in made_from["optics"].items() if value is not None}
        return "optics:" + ",".join(f"{key}={value}" for key, value in known.items())
    # A mask that was detected is made anew by the option that detects; any other array is lost with its session.
    if "sha256" in made_from and not (record.get("options") or {}).get("detect"):
        raise OptionError(
            f"the {name} of {record.get('task')} was an array and is in no file: save it as one, and name it in a step"
        )
    return None


def as_step(given: Step | str | Sequence[Any]) -> Step:
    """Return a step from a name, or from a name and its options."""
    if isinstance(given, Step):
        return given
    if isinstance(given, str):
        return Step(given)
    if isinstance(given, Sequence) and len(given) == 2 and isinstance(given[1], Mapping):
        return Step(str(given[0]), dict(given[1]))
    raise OptionError(f"a step is a name, or a name and its options, as in ('upscale', {{'factor': 3}}); got {given!r}")
