"""Choose the layers that crops are cut from, and how; for training and for exploring real cells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui.widgets import CheckBox, ComboBox, Container, Select
from napari.layers import Image, Labels, Points

from napari_genrecon.errors import OptionError
from napari_genrecon.io.layers import stacked
from napari_genrecon.plural import number_of
from napari_genrecon.tasks.given import in_pixels
from napari_genrecon.training.data.dataset import SIZES, CropOptions
from napari_genrecon.widgets.layers.choice import LayerLists
from napari_genrecon.widgets.layers.snapshot import (
    display,
    is_synthetic,
    layer_axes,
    layer_data,
    names_of,
    place_keywords,
)

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Layer

__all__ = ["CropChooser", "Source", "crop_options"]

_MODES = (
    ("one around each object of a layer", "objects"),
    ("on a grid, overlapping if there are few", "grid"),
    ("at random positions", "random"),
    ("each plane is a crop already", "whole"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What a job needs of the layers, read when it begins: they may be renamed, changed or removed meanwhile.

    Attributes
    ----------
    images : list of array_like
        The pixels.
    where : dict
        Further keywords of `cut_crops`.
    name : str
        Name of the first image layer.
    layer : napari.layers.Image
        The first image layer.
    objects : napari.layers.Labels, Points or None
        The first layer of objects.
    points : (N, D) ndarray or None
        Places in that layer, if it is of points.
    placed : dict
        Place of the first image layer, as keywords of a layer.
    """

    images: list[Any]
    where: dict[str, Any]
    name: str
    layer: Any
    objects: Any
    points: Any
    placed: dict[str, Any]

    @property
    def renumbered(self) -> bool:
        """Whether points were added, removed or moved since: those of these numbers are others now."""
        return self.points is not None and not np.array_equal(self.points, self.objects.data)

    def number_now(self, number: int) -> int | None:
        """Return the number that an object has now, which only points change; None for one that is gone, or moved."""
        if self.points is None:
            return number
        (found,) = np.nonzero((self.objects.data == self.points[number - 1]).all(axis=1))
        return int(found[0]) + 1 if found.size else None


class CropChooser(Container[Any]):  # type: ignore[misc]  # magicgui is not followed by mypy
    """Choice of image layers, and of how crops are cut from them.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer whose layers can be chosen.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer, self._touched, self._alike = viewer, False, False  # touched: by the user
        self.following = True  # whether an image layer that is clicked on is chosen
        self.on_choice: Callable[[], object] = lambda: None  # called when other layers, or another way, are chosen
        self.images = Select(
            label="images",
            choices=self._names_of(Image),
            tooltip="Images to train on: more of them, and more varied ones, make a better model",
        )
        self.targets = Select(
            label="targets",
            choices=self._names_of(Image),
            visible=False,  # until a recipe needs them, see `use`
            tooltip="What the images should become: one layer for each, in the same order; to denoise, clean images",
        )
        self._needs: tuple[str, ...] = ("images",)
        self._channels = True
        self.together = CheckBox(
            text="they are channels of one image", tooltip="2 to 4 layers of one shape that belong together"
        )
        self.mode = ComboBox(label="crops", choices=_MODES, value="grid", tooltip="Where the small pictures are cut")
        self.objects = Select(
            label="objects",
            choices=self._names_of(Labels, Points),
            tooltip="Labels or points: one picture around each object; one layer for each image, in the same order",
        )
        super().__init__(widgets=[self.images, self.targets, self.together, self.mode, self.objects], labels=True)
        self.margins = (0, 0, 0, 0)
        self._choosers = (self.images, self.targets, self.objects)
        self._lists = LayerLists(viewer, self._choosers, self.refresh)
        self._chosen = self._lists.chosen
        self.images.changed.connect(self._images_changed)
        self.mode.changed.connect(self._mode_changed)
        self.refresh()
        self._follow(viewer.layers.selection.active)
        viewer.layers.selection.events.active.connect(self._follow_event)
        self._images_changed()
        self._reported = self._now()
        self.changed.connect(self._report_choice)

    def leave(self) -> None:
        """Stop listening to the viewer."""
        self._lists.leave()
        self._viewer.layers.selection.events.active.disconnect(self._follow_event)

    def source(self) -> Source:
        """Return what is chosen.

        Raises
        ------
        OptionError
            If nothing is chosen, or the layers do not fit together.
        """
        layers = self._chosen(self.images)
        if not layers:
            raise OptionError("choose an image layer first")
        if not self.any_crops:
            return self._pairs(layers)
        # A list that is hidden keeps what was chosen in it.
        objects = self._chosen(self.objects) if self.mode.value == "objects" else []
        if self.mode.value == "objects" and not objects:
            raise OptionError("choose a Labels or Points layer that says where the objects are, or another way to cut")
        together = self._alike and self.together.value
        images, axes = _as_channels(layers) if together else _separate(layers)
        where = {"axes": axes, **_objects(objects, layers, len(images)), **_scale(layers[0])}
        if together:
            where["channel_names"] = tuple(layer.name for layer in layers)
        first = objects[0] if objects else None
        points = first.data.copy() if isinstance(first, Points) else None
        return _source(images, where, layers[0], first, points)

    def use(self, needs: tuple[str, ...], *, channels: bool = True) -> None:
        """Show the choices that a recipe needs, see `Recipe.needs`, and whether layers can be channels of one image."""
        self._needs, self._channels = needs, channels
        self.mode.visible = self.any_crops
        self.targets.visible = "targets" in needs  # none is guessed: nothing tells which of two images is the target
        self._show_what_counts()

    @property
    def any_crops(self) -> bool:
        """Whether crops of any images do, and not pairs or repeats."""
        return not {"targets", "frames"} & set(self._needs)

    def _pairs(self, layers: list[Any]) -> Source:
        """Return noisy images with their targets, or repeats of one field."""
        together = self._alike and self.together.value
        images, axes = _as_channels(layers) if together else _separate(layers)
        where: dict[str, Any] = {"axes": axes, **_scale(layers[0])}
        if together:
            where["channel_names"] = tuple(layer.name for layer in layers)
        if "targets" in self._needs:
            targets = self._chosen(self.targets)
            same = [layer.name for layer in layers if layer in targets]
            if not targets:
                raise OptionError("choose the targets, too: one layer for each image")
            if same:
                raise OptionError(f"'{same[0]}' is chosen as an image and as its target: choose another layer")
            several = self._channels and len(images) == 1 and len(targets) > 1  # channels of the target of one image
            if not several and len(targets) != len(images):
                n, m = number_of(len(images), "image", "images"), number_of(len(targets), "target", "targets")
                tick = ", or tick that the images are channels of one" if self._alike else ""
                raise OptionError(f"{n} and {m} are chosen: choose a target for each image{tick}")
            where["targets"], where["target_axes"] = _as_channels(targets) if several else _separate(targets)
            if several:
                where["target_names"] = tuple(layer.name for layer in targets)
        return _source(images, where, layers[0])

    def pairs(self) -> list[tuple[Any, Any]]:
        """Return, for each image, its (first) layer and the layer of its objects."""
        images, objects = self._chosen(self.images), self._chosen(self.objects)
        images = images[:1] if self._alike and self.together.value else images
        # One layer of objects holds for all images.
        return list(zip(images, objects * len(images) if len(objects) == 1 else objects, strict=False))

    def only_objects(self) -> None:
        """Offer no other way than one crop around each object."""
        self.mode.value = "objects"
        self.mode.visible = False

    def refresh(self, event: Any = None) -> None:
        """Update the lists of layers, and guess how to cut until the user has chosen it."""
        self._lists.refresh()
        if not self._touched:
            self._guess()
        elif len(self.objects.choices) == 1 and not self.objects.value:
            self.objects.value = list(self.objects.choices)  # there is no other
        if event is not None and event.type == "renamed":
            self.images.changed.emit(self.images.value)  # the same layers, by other names

    # --- what is chosen ---

    def _now(self) -> tuple[Any, ...]:
        # The layers and not their names: to rename one is no other choice.
        chosen = tuple(tuple(self._chosen(chooser)) for chooser in self._choosers)
        return *chosen, self.together.value, self.mode.value

    def _report_choice(self, _event: object = None) -> None:
        if self._now() != self._reported:  # lists that are filled anew send the event, too
            self._reported = self._now()
            self.on_choice()

    def _names_of(self, *kinds: Any) -> Any:
        def names(_widget: object = None) -> list[str]:
            return names_of(self._viewer, kinds)

        return names

    def _guess(self) -> None:
        objects, images = list(self.objects.choices), self._chosen(self.images)
        if objects and not self.objects.value:
            self.objects.value = objects[:1]
        # Squares of a size that networks take have been cut already.
        planes = {layer_data(layer).shape[layer.ndim - 2 : layer.ndim] for layer in images}
        ready = bool(planes) and all(plane[0] == plane[1] and plane[0] in SIZES for plane in planes)
        # Blocked, as a guess is no choice of the user, see `_mode_changed`.
        with self.mode.changed.blocked():
            self.mode.value = "whole" if ready else "objects" if objects else "grid"
        self._show_what_counts()

    def _follow_event(self, event: Any) -> None:
        self._follow(event.value)

    def _follow(self, active: Layer | None) -> None:
        """Choose the layer that was clicked on, but synthetic images only if nothing else is there."""
        if not self.following:
            return
        if isinstance(active, Image) and active.name in self.images.choices and not is_synthetic(active):
            self.images.value = [active.name]
        elif not self.images.value:
            # The last one is on top.
            self.images.value = [n for n in self.images.choices if not is_synthetic(self._viewer.layers[n])][-1:]

    def _images_changed(self, _event: object = None) -> None:
        if not self._touched:
            self._guess()
        self._show_what_counts()

    def _mode_changed(self, _event: object = None) -> None:
        self._touched = True
        self._show_what_counts()

    def _show_what_counts(self) -> None:
        layers = self._chosen(self.images)
        shapes = {(tuple(layer_data(x).shape), str(layer_data(x).dtype)) for x in layers}
        plain = all(layer_axes(layer).channel is None for layer in layers)
        # Frames are repeats of one field.
        channels = self._channels and "frames" not in self._needs
        self._alike = 2 <= len(layers) <= 4 and len(shapes) == 1 and plain and channels
        self.together.visible = self._alike
        self.objects.visible = self.mode.value == "objects" and self.any_crops


def crop_options(chooser: CropChooser, values: dict[str, Any]) -> CropOptions:
    """Return the options of a form together with the chosen mode."""
    return CropOptions(**{**values, "mode": chooser.mode.value if chooser.any_crops else "grid"})


def _source(
    images: list[Any], where: dict[str, Any], layer: Layer, objects: Layer | None = None, points: Any = None
) -> Source:
    placed = place_keywords(display(layer))
    return Source(
        images=images, where=where, name=layer.name, layer=layer, objects=objects, points=points, placed=placed
    )


def _separate(layers: list[Any]) -> tuple[list[Any], list[Any]]:
    return [layer_data(layer) for layer in layers], [layer_axes(layer) for layer in layers]


def _as_channels(layers: list[Any]) -> tuple[list[Any], list[Any]]:
    """Stack layers of one shape as the channels of one image."""
    return [stacked([layer_data(layer) for layer in layers])], ["C" + str(layer_axes(layers[0]))]


def _objects(objects: list[Any], layers: list[Any], n: int) -> dict[str, Any]:
    """Return labels or points as keywords of `cut_crops`; points in pixels of their image."""
    if not objects:
        return {}
    kinds = {type(layer) for layer in objects}
    if len(kinds) > 1:
        raise OptionError("the objects are both labels and points: choose layers of one kind")
    if len(objects) == 1 and n > 1:
        objects = objects * n
    if len(objects) != n:
        chosen = number_of(len(objects), "layer of objects is", "layers of objects are")
        raise OptionError(f"{chosen} chosen for {number_of(n, 'image', 'images')}: choose one for each")
    if kinds == {Labels}:
        return {"labels": [layer_data(layer) for layer in objects]}
    # There are more layers than objects where the layers are channels of one image.
    pairs = zip(objects, layers, strict=False)
    return {"points": [in_pixels(points, image) for points, image in pairs]}


def _scale(layer: Layer) -> dict[str, Any]:
    # A negative scale flips an image; its pixels have a size all the same.
    size, units = np.abs(np.asarray(layer.scale, float))[-2:], [str(unit) for unit in layer.units][-2:]
    return {"pixel_size": (float(size[0]), float(size[1])), "units": (units[0], units[1])}
