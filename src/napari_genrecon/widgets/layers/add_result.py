"""Add results as layers, for the window and for scripts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari.layers import Layer

from napari_genrecon.axes import resolve_axes
from napari_genrecon.engine.lazy import is_dask
from napari_genrecon.engine.run import finish
from napari_genrecon.errors import OptionError
from napari_genrecon.io.image_file import ImageFile, ImageMeta
from napari_genrecon.io.points import Points
from napari_genrecon.io.record.companions import companion_record
from napari_genrecon.io.record.history import made_from_layer
from napari_genrecon.tasks import TASKS, Result, Task, find_task
from napari_genrecon.tasks.files import array_options
from napari_genrecon.tasks.measure import measure_noise
from napari_genrecon.tasks.pixel_size import calibrated, measured_psf
from napari_genrecon.tasks.result_name import result_name
from napari_genrecon.tasks.transforms import plane_spacing
from napari_genrecon.widgets.layers.choice import keeping_active
from napari_genrecon.widgets.layers.composite import Place
from napari_genrecon.widgets.layers.masks import mask_of, places_of
from napari_genrecon.widgets.layers.snapshot import (
    NO_IMAGE,
    display,
    layer_axes,
    layer_data,
    place_keywords,
    result_layer,
    without_first,
)

if TYPE_CHECKING:
    from napari import Viewer

__all__ = ["add_layers", "add_result", "layer_options", "pixels_of"]


def add_result(viewer: Viewer, task: str, layer: Layer, *, lazy: bool | None = None, **options: Any) -> Any:
    """Run a task on an image layer and add the result as the widgets do: in its place, with its colours and the record.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer that gets the result.
    task : str
        ``"denoise"``, ``"upscale"``, ``"upscale_z"``, ``"deblur"``, ``"inpaint"`` or ``"detect"``.
    layer : napari.layers.Image
        Image to work on. Axes and pixel size are those of the layer.
    lazy : bool, optional
        Add the result at once and compute each plane when it is looked at. By default only where the pixels of the
        layer are not a NumPy array.
    **options
        Options of the function of the same name, such as ``strength=0.5``. A mask, the noise or a point spread function
        can also be a layer; a point spread function also an opened file. Their pixel size counts.

    Returns
    -------
    napari.layers.Image, Points or Shapes
        The new layer.

    Raises
    ------
    OptionError
        If there is no such task, or an option cannot work.
    GenReconError
        See the function of the same name.

    Examples
    --------
    >>> import numpy as np
    >>> from napari.components import ViewerModel
    >>> viewer = ViewerModel()
    >>> noisy = np.random.default_rng(0).poisson(20, (64, 64))
    >>> cells = viewer.add_image(noisy, name="cells", scale=(0.5, 0.5))
    >>> large = add_result(viewer, "upscale", cells, factor=2)
    >>> large.name, [float(v) for v in large.scale]
    ('cells upscale x2', [0.25, 0.25])
    """
    names = [known.name for known in TASKS]
    if task not in names:
        raise OptionError(f"no task named {task!r}; choose from: {', '.join(names)}")
    found, data = find_task(task), layer_data(layer)
    kinds = {"noise": "noise", **array_options(found)}
    given = {name: pixels_of(kinds.get(name, ""), value, layer) for name, value in options.items()}
    result = finish(found.steps(data, layer_options(found, layer, given), lazy=lazy))
    result = replace(result, record=made_from_layer(result.record, layer.metadata))
    result.warn()
    name = result_name(task, layer.name, result.record)
    return add_layers(viewer, result, layer, data.shape, name, display(layer))


def pixels_of(kind: str, given: Any, image: Layer) -> Any:
    """Return the value of an option that is given as a layer or an opened file.

    A mask layer gives the pixels that it marks, a points layer its places in pixels of the image, a PSF its pixels and
    their size, a layer for the noise its measured noise. Anything else is passed on.
    """
    if kind == "psf" and isinstance(given, ImageFile):
        return measured_psf(given.data, given.about)
    if not isinstance(given, Layer):
        return given
    if kind == "points":
        return places_of(given, image)
    if kind == "mask":
        return mask_of(given, image)
    data = layer_data(given)
    if kind == "noise":
        return measure_noise(data, axes=layer_axes(given))
    return measured_psf(data, _about(given)) if kind == "psf" else data


def layer_options(task: Task, layer: Layer, values: dict[str, Any]) -> Any:
    """Return the options of a task, with axes and pixel size from the layer where they are not given."""
    options = task.options(**{**values, "axes": values.get("axes") or layer_axes(layer)})

    def about() -> ImageMeta:
        # Typed axes count before those of the layer.
        return replace(_about(layer), axes=resolve_axes(options.axes, layer_data(layer).shape))

    options = calibrated(options, about)
    if layer.rgb and task.makes == "image":  # napari shows RGB in its own dtype only
        return replace(options, keep_dtype=True)
    return options


def told_options(layer: Layer) -> set[str]:
    """Return the names of options that the calibration of a layer gives."""
    about = _about(layer).filled()
    return set() if plane_spacing(str(about.axes), about.scale, about.units) is None else {"spacing"}


def _about(layer: Layer) -> ImageMeta:
    # To napari colours are no dimension, and have neither scale nor unit; here they are the axis S.
    samples = 1 if layer.rgb else 0
    return ImageMeta(
        axes=layer_axes(layer),
        scale=(*map(float, layer.scale), *(1.0,) * samples),
        units=(*map(str, layer.units), *("pixel",) * samples),
    )


def add_layers(
    viewer: Viewer,
    result: Result,
    source: Layer,
    shape: tuple[int, ...],
    name: str,
    shown: dict[str, Any],
    *,
    stored: bool = False,
) -> Any:
    """Add the layer of a result, which becomes the active one, and its companions, such as what was filled in.

    Where blending would mix the result with its source on screen, it takes the place of the source, see `Place`.
    Unless they are `stored` already, the pixels of a lazy result are computed when they are looked at; see `LiveArray`.

    Returns
    -------
    napari.layers.Image, Points or Shapes
        The layer of the result.
    """
    if isinstance(result.data, Points):
        return _add_points(viewer, result, name, shown)
    # Found before the layer is added, which changes the list, and taken afterwards.
    place = Place.of(viewer, source, shown["blending"], result.record)
    pixels, kwargs = result_layer(result, shape, name, {**shown, "blending": place.blending})
    added = viewer.add_image(pixels if stored else _live(viewer, pixels, name), **kwargs)
    place.take(viewer, added)
    with keeping_active(viewer):
        for title, companion in result.companions.items():
            _add_companion(viewer, result, f"{added.name}: {title}", title, companion, kwargs, stored=stored)
    return added


def _live(viewer: Viewer, pixels: Any, name: str) -> Any:
    if not is_dask(pixels):
        return pixels
    from napari_genrecon.widgets.layers.live import live  # loads dask, which takes half a second

    return live(viewer, pixels, name)


def _add_companion(
    viewer: Viewer, result: Result, name: str, title: str, pixels: Any, kwargs: dict[str, Any], *, stored: bool
) -> None:
    """Add a companion of a result in its place, hidden: what was marked as labels, anything else as an image."""
    # A list holds the levels of a pyramid, the largest first.
    levels = pixels if isinstance(pixels, list) else [pixels]
    if kwargs.get("rgb") and levels[0].ndim > len(kwargs["scale"]):  # one value per pixel: of the worst colour
        levels = [level.max(axis=-1) for level in levels]
    new = len(kwargs["scale"]) - levels[0].ndim  # plausible fillings have one more dimension than their spread
    placed = without_first(place_keywords(kwargs), new)
    record = companion_record(result.record, title, levels[0].dtype)
    common = {"name": name, "visible": False, **placed}
    # Masks are truth values or unsigned numbers; errors and spreads are floats.
    if levels[0].dtype.kind in "bu":
        viewer.add_labels(levels[0], metadata={"genrecon": record}, **common)
        return
    shown = levels if len(levels) > 1 else levels[0] if stored else _live(viewer, levels[0], name)
    viewer.add_image(shown, metadata={"genrecon": record, NO_IMAGE: True}, **common)


_RING = 2.0  # diameter of a ring, in sizes of its object, so that the object stays in sight ...
_LEAST_RING = 4.0  # pixels ... and the ring, too
_EDGE = 0.5  # pixels: width of the line of a box
_RING_COLOUR = "#ffd400"  # yellow stands out from grey, green and magenta images


def _add_points(viewer: Viewer, result: Result, name: str, shown: dict[str, Any]) -> Any:
    """Add the points of a result as rings around the objects, or as boxes if it has these, with their features."""
    points, boxes = result.data, result.data.boxes
    common = {
        "name": name,
        "features": dict(points.features),
        "face_color": "transparent",
        "metadata": {**shown["metadata"], "genrecon": result.record},
        **place_keywords(shown),
    }
    if boxes is not None:
        return viewer.add_shapes(boxes, shape_type="rectangle", edge_color=_RING_COLOUR, edge_width=_EDGE, **common)
    sizes = points.features.get("size")
    return viewer.add_points(
        points.pixels,
        size=_LEAST_RING if sizes is None or not len(points) else (_RING * sizes).clip(_LEAST_RING),
        border_color=_RING_COLOUR,
        # A share of the diameter.
        border_width=0.07,
        # The ring around an object of a volume is a cut through a sphere; thick slices show it in the planes around.
        projection_mode="rescale_spherical" if result.record["options"].get("volume") else "all",
        **common,
    )
