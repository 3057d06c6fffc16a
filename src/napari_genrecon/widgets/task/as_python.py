"""Write the job of a task widget as Python code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_genrecon.optics import Optics
from napari_genrecon.tasks import Task

if TYPE_CHECKING:
    from napari.layers import Layer

__all__ = ["as_python"]

_IMPORTS = {
    Optics: "from napari_genrecon import Optics",
    Path: "from napari_genrecon.io.reader import open_image",
}


def as_python(
    task: Task, layers: Sequence[Any], options_of: Callable[[Any], Any], arrays: dict[str, Any], *, live: bool = False
) -> str:
    """Return the calls that make the same layers, one per layer.

    Parameters
    ----------
    task : Task
        The task.
    layers : sequence of Image
        The chosen layers.
    options_of : callable
        Returns the options for a layer.
    arrays : dict
        Sources of the noise and of options that are arrays, by name: a layer's name, a file, optics or a number.
    live : bool
        Whether planes of the result are computed when they come on screen.
    """
    noise, others = arrays.get("noise"), [given for name, given in arrays.items() if name != "noise"]
    lines = [line for kind, line in _IMPORTS.items() if any(isinstance(given, kind) for given in others)]
    lines += ["from napari_genrecon.noise import read_noise"] if isinstance(noise, Path) else []
    lines.append("from napari_genrecon.widgets import add_result")
    return "\n".join([*lines, "", *(_call(task, layer, options_of(layer), arrays, live) for layer in layers)])


def _call(task: Task, layer: Layer, options: Any, arrays: dict[str, Any], live: bool) -> str:
    defaults = task.options()
    # Arrays are written by their sources, as their pixels cannot be.
    names = [name for name in defaults.__dataclass_fields__ if name not in ("noise", "axes", *arrays)]
    given = {name: _source(name, source) for name, source in arrays.items() if source is not None}
    given |= {n: repr(getattr(options, n)) for n in names if getattr(options, n) != getattr(defaults, n)}
    if isinstance(options.axes, str):  # not typed, they are those of the layer
        given["axes"] = repr(options.axes)
    if live:
        given["lazy"] = "True"
    keywords = "".join(f", {name}={value}" for name, value in given.items())
    return f"add_result(viewer, {task.name!r}, viewer.layers[{layer.name!r}]{keywords})"


def _source(name: str, given: Any) -> str:
    """Return the Python of an option that is a layer, a file, optics or a number."""
    if isinstance(given, Path):
        # A file holds a report if it is for the noise, else an image.
        return f"{'read_noise' if name == 'noise' else 'open_image'}({str(given)!r})"
    return f"viewer.layers[{given!r}]" if isinstance(given, str) else repr(given)
