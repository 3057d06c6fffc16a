"""What a task widget would do, as Python code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from napari_genrecon.optics import Optics
from napari_genrecon.tasks import Task
from napari_genrecon.tasks.files import array_options

__all__ = ["as_python"]

_IMPORTS = {
    Optics: "from napari_genrecon import Optics",
    Path: "from napari_genrecon.io.reader import open_image",
}


def as_python(
    viewer: Any, task: Task, layers: Sequence[Any], options_of: Callable[[Any], Any], arrays: dict[str, Any]
) -> str:
    """The calls that make the same layers, one per layer.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose layers the code names.
    task : Task
        What to do.
    layers : sequence of Image
        The chosen ones.
    options_of : callable
        Gives the options for a layer.
    arrays : dict
        By name, where the options that are arrays come from: a layer's name, a file, optics or a number.
    """
    lines = [f"from napari_genrecon import {task.name}"]
    lines += [line for kind, line in _IMPORTS.items() if any(isinstance(given, kind) for given in arrays.values())]
    kinds = array_options(task)
    masked = any(kinds[name] == "mask" and given is not None for name, given in arrays.items())
    lines += ["from napari_genrecon.widgets.masks import mask_of"] if masked else []
    return "\n".join(lines + [_call(viewer, task, layer, options_of(layer), arrays) for layer in layers])


def _call(viewer: Any, task: Task, layer: Any, options: Any, arrays: dict[str, Any]) -> str:
    defaults = task.options()
    names = [name for name in defaults.__dataclass_fields__ if name not in ("noise", "axes", *arrays)]
    changed = {n: getattr(options, n) for n in names if getattr(options, n) != getattr(defaults, n)}
    sources = {n: getattr(options, n) if isinstance(given, Optics) else given for n, given in arrays.items()}
    kinds = array_options(task)
    keywords = "".join(f", {n}={_source(viewer, given, kinds[n], layer)}" for n, given in sources.items())
    keywords += "".join(f", {n}={v!r}" for n, v in {**changed, "axes": str(options.axes)}.items())
    title = f"{layer.name} {task.name}"
    return f"viewer.add_image({task.name}({_pixels(layer)}{keywords}), name={title!r})"


def _source(viewer: Any, given: Any, kind: str, image: Any) -> str:
    """The Python of an option that is a layer, a file, optics or a number."""
    if isinstance(given, Path):
        return f"open_image({str(given)!r}).data"
    if not isinstance(given, str):
        return repr(given)
    if kind == "mask":
        return f"mask_of(viewer.layers[{given!r}], viewer.layers[{image.name!r}])"
    return _pixels(viewer.layers[given])


def _pixels(layer: Any) -> str:
    return f"viewer.layers[{layer.name!r}]{'.data[0]' if layer.multiscale else '.data'}"
