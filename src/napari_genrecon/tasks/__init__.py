"""The tasks a user can ask for, one line each. Importing this loads no torch."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

from napari_genrecon.engine.run import Progress
from napari_genrecon.tasks.result import Result

__all__ = ["TASKS", "Result", "Task", "find_task"]


class Steps(Protocol):
    """The generator function of a task."""

    def __call__(self, image: Any, options: Any, *, lazy: bool | None = None) -> Generator[Progress, None, Result]:
        """See `Task`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One task: the same job for the window, the command line and Python.

    Attributes
    ----------
    name : str
        A verb; also the module, the function, the sub-command and the suffix of result layers.
    title : str
        On buttons and in menus.
    summary : str
        One sentence.
    """

    name: str
    title: str
    summary: str

    @property
    def options(self) -> type:
        """The frozen dataclass of its options."""
        found: type = self._get(f"{self.name.capitalize()}Options")
        return found

    @property
    def steps(self) -> Steps:
        """``steps(image, options, lazy=None)``: yields `Progress`, returns a `Result`."""
        found: Steps = self._get(f"{self.name}_steps")
        return found

    @property
    def expected_seconds(self) -> Callable[[Any, Any], float]:
        """``expected_seconds(image, options)``: how long it will take here."""
        found: Callable[[Any, Any], float] = self._get("expected_seconds")
        return found

    def _get(self, name: str) -> Any:
        return getattr(import_module(f"{__name__}.{self.name}"), name)


TASKS: tuple[Task, ...] = (
    Task(name="denoise", title="Denoise", summary="Remove the noise of an image, measured from the image itself"),
    Task(name="upscale", title="Upscale", summary="Enlarge an image 2, 3 or 4 times, sharper than interpolation does"),
    Task(name="deblur", title="Deblur", summary="Undo a known point spread function without raising the noise"),
    Task(name="inpaint", title="Inpaint", summary="Fill in masked or damaged pixels and leave all others as they are"),
)


def find_task(name: str) -> Task:
    """The task of this name."""
    return {task.name: task for task in TASKS}[name]
