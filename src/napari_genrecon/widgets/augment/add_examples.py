"""Add new images of a layer as layers, for the window and for scripts."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_genrecon.axes import Axes, resolve_axes
from napari_genrecon.engine.run import Progress, finish
from napari_genrecon.tasks.augment import AugmentOptions, Example, augment_steps
from napari_genrecon.tasks.augment.folder import Source
from napari_genrecon.widgets.augment.layer_sources import source_of
from napari_genrecon.widgets.layers.snapshot import display, place_keywords, with_new_dimension

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Layer

__all__ = ["add_augmented", "add_examples", "example_steps", "with_axes"]


def add_augmented(viewer: Viewer, layer: Layer, labels: Any = None, points: Any = None, **options: Any) -> Any:
    """Make new images of a layer and add them as the widget does: in its place, with labels, points and the record.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer that gets the new layers.
    layer : napari.layers.Image
        Image to change.
    labels, points : napari.layers.Labels, Points, optional
        Layers that belong to it.
    **options
        Options of `napari_genrecon.augment`.

    Returns
    -------
    napari.layers.Image
        The new images one after the other.

    Raises
    ------
    GenReconError
        See `napari_genrecon.augment`.
    """
    chosen = AugmentOptions(**options)
    source = with_axes(source_of(layer, labels, points), chosen)
    return add_examples(viewer, source, place_keywords(display(layer)), finish(example_steps(source, chosen)))


def example_steps(source: Source, options: AugmentOptions) -> Generator[Progress, None, list[Example]]:
    """Make the new images of a source, which has axes of its own; those that were typed are in it already."""
    chosen = replace(options, axes=source.about.axes)
    return (yield from augment_steps(source.pixels, chosen, source.labels, source.points))


def with_axes(source: Source, options: AugmentOptions) -> Source:
    """Return a source with the axes that were typed, if any were: they count before those of the layer."""
    if not options.axes:
        return source
    axes = resolve_axes(options.axes, tuple(source.pixels.shape))
    return replace(source, about=replace(source.about, axes=axes))


def add_examples(viewer: Viewer, source: Source, where: dict[str, Any], examples: list[Example]) -> Any:
    """Add all new images of a source as one layer, with layers of their labels and points, and return it.

    They have the frame of the source, whose place is `where`: what is in it is turned and bent, and lies elsewhere.
    """
    axes = source.about.axes
    # Shared by all, but for the random numbers of each.
    record = {**examples[0].record, "parameters": [one.parameters for one in examples]}
    # One more axis in front: the new images one after the other.
    place = {**with_new_dimension(where), "metadata": {"genrecon": record}}
    name = f"{source.name} augmented"
    layer = viewer.add_image(np.stack([one.image for one in examples]), name=name, rgb=axes.rgb, **place)
    if examples[0].labels is not None:
        labels = np.stack([_as_image(one.labels, one.image.shape, axes) for one in examples])
        viewer.add_labels(labels, name=f"{name}: labels", opacity=0.35, **place)
    if examples[0].points is not None:
        points = np.concatenate([_in_stack(one.points, i, axes) for i, one in enumerate(examples)])
        marks = {"size": 5, "face_color": "transparent", "border_color": "yellow"}
        viewer.add_points(points, name=f"{name}: points", **marks, **place)
    viewer.layers.selection.active = layer
    # napari shows the middle of a new axis; the first image is what the message speaks of.
    viewer.dims.set_current_step(0, 0)
    return layer


def _as_image(labels: Any, shape: tuple[int, ...], axes: Axes) -> Any:
    """Return labels with the image's dimensions but for colours: those of all channels are the same."""
    if "C" not in axes.letters:
        return labels
    return np.broadcast_to(np.expand_dims(labels, axes.letters.index("C")), shape)


def _in_stack(points: Any, index: int, axes: Axes) -> Any:
    """Return points with the dimensions of the stack of all new images; of channels in the first one."""
    # Coordinates along the channels, then along the new images, are put where those axes are.
    columns = np.insert(points, axes.letters.index("C"), 0, axis=1) if "C" in axes.letters else points
    return np.insert(columns, 0, index, axis=1)
