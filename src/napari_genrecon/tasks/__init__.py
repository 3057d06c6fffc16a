"""List the tasks that turn an image into another, or into points. Importing this loads no torch."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from napari_genrecon.tasks.task import Result, Task

__all__ = ["TASKS", "Result", "Task", "defaults_of", "find_task"]

# In the order of menus and of the help. Options and steps of a task are found by its name when they are asked for, so
# that importing this stays cheap.
TASKS: tuple[Task, ...] = (
    Task(
        name="denoise",
        title="Denoise",
        summary="Remove the noise of an image, measured from the image itself",
        models="denoise",
        adds=(("uncertainty", "expected error"),),
    ),
    Task(
        name="upscale",
        title="Upscale",
        summary="Enlarge an image 2, 3 or 4 times, sharper than interpolation",
        models="upscale",
    ),
    Task(
        name="upscale_z",
        title="Upscale Z",
        summary="Give a z-stack more planes, so that its voxels are as tall as wide; trains on the stack, minutes",
        models="upscale",
    ),
    Task(
        name="deblur",
        title="Deblur",
        summary="Undo a known point spread function without raising the noise",
        models="denoise",
    ),
    Task(
        name="inpaint",
        title="Inpaint",
        summary="Fill in masked or damaged pixels and leave all others as they are",
        models="inpaint",
        several="n",
        exact=True,
    ),
    Task(
        name="predict",
        title="Predict",
        summary="Make other images of an image, such as another stain, with a model that was trained on pairs",
        models="predict",
        alike=False,
    ),
    Task(
        name="detect",
        title="Detect",
        summary="Find spots and cells, with a share of false ones that the measured noise vouches for",
        models="detect",
        makes="points",
    ),
)


def find_task(name: str) -> Task:
    """Return the task of this name."""
    return {task.name: task for task in TASKS}[name]


def defaults_of(name: str) -> dict[str, Any]:
    """Return the default values of the options of a task; none of a task that is not known."""
    # Records name more steps than these, such as `sample` and `augment`.
    known = {task.name for task in TASKS}
    return asdict(find_task(name).options()) if name in known else {}
