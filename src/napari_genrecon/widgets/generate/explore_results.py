"""Show the results of the Explore page as layers, a slider and a list; for the main thread only."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui.widgets import ComboBox, Container, FloatSlider
from napari.layers import Labels
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QListWidget

from napari_genrecon.io.record.provenance import make_record
from napari_genrecon.models.card import ModelCard
from napari_genrecon.plural import number_of
from napari_genrecon.training.data.dataset import Dataset
from napari_genrecon.widgets.fit import text
from napari_genrecon.widgets.generate.cell_features import own_features, write_scores
from napari_genrecon.widgets.generate.explore_jobs import Map, Request, Walk
from napari_genrecon.widgets.jobs.panel import JobPanel, picture_label, show_picture
from napari_genrecon.widgets.layers.places import beside, in_colour, look_at, put_pictures
from napari_genrecon.widgets.layers.snapshot import NO_IMAGE, layer_axes, layer_data, placed_as
from napari_genrecon.widgets.pictures import pixmap

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Layer

__all__ = ["Results"]

_ODD = 3.0  # robust s.d. above which a cell is called odd: 1 of 700 normally distributed scores is
_LISTED = 100  # cells in the list; all scores are in the features of the layer
_LATER = 15  # milliseconds in which movements of the slider are drawn together: one frame of the screen
_CROP = "crop"  # feature of the points of a map, which tells their crops when other points are removed
_WIDTH = 260  # pixels: width of the picture of a crop


class Results:
    """Show results and let the user work with them: the slider of a walk, the list of odd cells, the points of a map.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer that gets the layers.
    panel : JobPanel
        Panel that shows the messages.
    """

    def __init__(self, viewer: Viewer, panel: JobPanel) -> None:
        self._viewer, self._panel = viewer, panel
        self.on_cell: Callable[[int], object] = lambda _: None
        self._walk: tuple[Walk, Any] | None = None
        self._ranked: tuple[Dataset, np.ndarray, Request] | None = None
        self._mapped: tuple[Dataset, Any, Any, Request] | None = None
        self.axis = ComboBox(label="axis", choices=(), tooltip="What the slider changes: the first axes change most")
        self.value = FloatSlider(
            label="value", value=0.0, min=-3.0, max=3.0, step=0.05, tooltip="0 is the picture itself; most are within 2"
        )
        self.colour = ComboBox(label="colour by", choices=(), tooltip="What the colours of the points show")
        self.odd = QListWidget()
        self._picture, self._picked = picture_label(), text()
        self.container = Container(widgets=[self.axis, self.value, self.colour], labels=True)
        self.container.margins = (0, 0, 0, 0)
        # Plain widgets of Qt cannot stand among those of magicgui.
        self.container.native.layout().addWidget(self.odd)
        self._pictured = Container(widgets=[self._picture, self._picked], labels=False)
        self.container.native.layout().addWidget(self._pictured.native)
        self._later = QTimer()
        self._later.setSingleShot(True)
        self._later.timeout.connect(self._draw)
        # A timer that runs is not started again: a slider that never rests would never be drawn.
        self.value.changed.connect(lambda _: self._later.isActive() or self._later.start(_LATER))
        self.axis.changed.connect(self._axis_changed)
        self.colour.changed.connect(self._colour_changed)
        self.odd.currentRowChanged.connect(self._go_to)
        self._for = ""
        self.show_controls_of("")

    def leave(self) -> None:
        """Stop the timer, as the window is gone."""
        with suppress(RuntimeError):  # at the end of the program Qt deletes what it finds, in any order
            self._later.stop()

    def show_controls_of(self, result: str) -> None:
        """Show only the controls of this kind of result."""
        self._for = result
        walking = result == "walk" and self._walk is not None
        self.axis.visible = self.value.visible = walking
        self.colour.visible = result == "map" and self._mapped is not None
        self.odd.setVisible(result == "outliers" and self._ranked is not None)
        self._pictured.visible = result in ("map", "outliers") and bool(self._picked.value)

    # --- walk ---

    def walk(self, request: Request, found: Walk) -> None:
        """Add a layer of one picture, and show the slider that changes it."""
        picture = found.model.decode(found.start[None])[0]
        layer = self._put(request.card, picture, f"{request.card.name} walk", "c")
        self._walk = (found, layer)
        self.axis.choices = [(f"{axis}  (strength {share:.2f})", axis) for axis, share in found.axes]
        self.axis.value = found.axes[0][0]
        self._axis_changed()
        self.show_controls_of(self._for)
        look_at(self._viewer, layer)
        self._panel.say(f"Move the slider: the layer '{layer.name}' follows. The strongest axes come first.", "good")

    def _axis_changed(self, _event: object = None) -> None:
        if self._walk is not None and self.axis.value is not None:
            # Within the range of the slider. Blocked, as the picture is drawn once, below.
            with self.value.changed.blocked():
                self.value.value = float(np.clip(self._walk[0].start[self.axis.value], -3, 3))
            self._draw()

    def _draw(self) -> None:
        if self._walk is None or self.axis.value is None:
            return
        walk, layer = self._walk
        if layer not in self._viewer.layers:
            self._panel.say("The layer of the walk was removed: press the button to start anew.")
            return
        picture = walk.model.traverse(walk.start, int(self.axis.value), [self.value.value])[0]
        layer.data = in_colour(walk.model.card, picture)

    # --- stacks of pictures ---

    def blend(self, request: Request, pictures: Any) -> None:
        """Add a layer of the pictures from one to the other."""
        name = f"{request.card.name} blend {request.first} to {request.second}"
        layer = self._put(request.card, pictures, name, "step")
        self._first_slice(layer)
        self._panel.say(f"New layer '{layer.name}': {len(pictures)} pictures, one per slice.", "good")

    def posterior(self, request: Request, pictures: Any) -> None:
        """Add a layer of a cell, its reconstruction, and the pictures that it could stand for."""
        name = f"{request.card.name} of {request.first}"
        layer = self._put(request.card, pictures, name, "sample")
        self._first_slice(layer)
        self._panel.say(
            f"New layer '{layer.name}'. Slice 0: the real cell; slice 1: the model's best guess; then "
            f"{len(pictures) - 2} pictures that it could stand for.",
            "good",
        )

    def _put(self, card: ModelCard, pictures: Any, name: str, first: str) -> Layer:
        metadata = {"genrecon": _record(card)}
        return put_pictures(self._viewer, card, pictures, name, first, metadata=metadata)

    def _first_slice(self, layer: Layer) -> None:
        look_at(self._viewer, layer)
        # The dimensions of a layer are the last ones of the viewer.
        self._viewer.dims.set_current_step(self._viewer.dims.ndim - layer.ndim, 0)

    # --- maps and ranks ---

    def anomaly(self, request: Request, found: tuple[Any, tuple[int, ...], str]) -> None:
        """Add an anomaly map as a layer over its image."""
        assert request.source is not None
        values, kept, beware = found
        placed = placed_as(request.source.placed, kept)
        layer = self._viewer.add_image(
            values, name=f"{request.source.name} anomaly ({request.card.name})", colormap="inferno",
            contrast_limits=(0.0, 3.0), blending="additive",
            metadata={NO_IMAGE: True, "genrecon": _record(request.card)}, **placed,
        )  # fmt: skip
        odd = 100 * float((values > 1).mean())
        self._panel.say(
            f"New layer '{layer.name}': {odd:.1f} % of the pixels are above 1 (of data like the training crops, 1 % or "
            f"less). Outside of the crops it is 0. {beware}",
            "bad" if beware else "good",
        )

    def outliers(self, request: Request, found: tuple[Dataset, Any, str]) -> None:
        """Write scores into the features of the objects, and list the cells."""
        assert request.source is not None
        crops, scores, beware = found
        order = np.argsort(-scores)
        # Stored before the list is filled, which calls `_go_to` when its current row changes.
        self._ranked = (crops, order, request)
        kind = "object" if crops.label.any() else "crop"
        numbers = crops.label if crops.label.any() else np.arange(len(crops))
        self.odd.clear()
        self.odd.addItems(
            [f"{kind} {numbers[i]}:  {scores[i]:.1f}{'  odd' if scores[i] > _ODD else ''}" for i in order[:_LISTED]]
        )
        where = write_scores(self._viewer, request.source, crops.label, scores)
        self.show_controls_of(self._for)
        self.odd.setCurrentRow(0)
        n_odd, of = int((scores > _ODD).sum()), f"of {number_of(len(crops), 'cell', 'cells')}"
        odd = number_of(n_odd, f"{of} is", f"{of} are")
        left_out = " ".join(f"{note[:1].upper()}{note[1:]}." for note in crops.notes)
        self._panel.say(
            f"{odd} odd (score above {_ODD:g}). {where} Click on a line to go to the cell. {left_out} {beware}",
            "bad" if beware else "good",
        )

    def _go_to(self, row: int) -> None:
        """Move to a ranked cell and select it."""
        if self._ranked is None or row < 0:
            return
        crops, order, request = self._ranked
        assert request.source is not None
        index = int(order[row])
        self._show_crop(request, crops, index, None)
        if request.source.layer in self._viewer.layers:
            self._centre(request.source.layer, crops, index)
        # Points have no selected label.
        if isinstance(request.source.objects, Labels) and request.source.objects in self._viewer.layers:
            request.source.objects.selected_label = int(crops.label[index])

    def _centre(self, layer: Layer, crops: Dataset, index: int) -> None:
        plane, y, x = crops.place[index].tolist()
        middle = layer.data_to_world((0,) * (layer.ndim - 2) + (y + crops.size / 2, x + crops.size / 2))
        axes, shape = layer_axes(layer), layer_data(layer).shape
        outer = [i for i, letter in enumerate(axes.letters) if letter not in "CSYX"]
        # Crops count the planes over all outer dimensions in one row.
        steps = np.unravel_index(plane, tuple(shape[i] for i in outer)) if outer else ()
        for axis, step in zip(outer, steps, strict=True):
            self._viewer.dims.set_current_step(self._viewer.dims.ndim - layer.ndim + axis, int(step))
        look_at(self._viewer, layer, middle, 6 * crops.size * float(np.abs(layer.scale[-1])))

    def map(self, request: Request, found: Map) -> None:
        """Add the points of a map as a layer beside the image."""
        assert request.source is not None
        crops, places = found.crops, found.places
        top, right, height = beside(self._viewer)
        # One scale for both directions, so that distances stay comparable. All crops may lie in one point.
        low, span = places.min(axis=0), max(float(np.ptp(places, axis=0).max()), 1e-9)
        scaled = ((places - low) / span * height)[:, ::-1]  # (y, x): the first component to the right
        own = own_features(self._viewer, request.source, crops)
        # Last, as features of the user may have the same name.
        features = {**found.features, **own, _CROP: np.arange(len(crops), dtype=float)}
        units = [str(unit) for unit in request.source.placed["units"]][-2:]
        layer = self._viewer.add_points(
            scaled, name=f"{request.card.name} map", translate=(top, right), units=units, axis_labels=("y", "x"),
            features=features, size=height / 60, border_width=0.0, face_color=next(iter(features)),
            face_colormap="viridis", metadata={NO_IMAGE: True},
        )  # fmt: skip
        self._mapped = (crops, found.made, layer, request)
        layer.selected_data.events.items_changed.connect(self._point_picked)
        layer.mode = "select"
        self.colour.choices = list(features)
        self.colour.value = next(iter(features))
        self.show_controls_of(self._for)
        self._viewer.layers.selection.active = layer
        look_at(self._viewer, layer)
        self._panel.say(
            f"New layer '{layer.name}': {len(crops)} crops. Its two directions show {100 * found.share:.0f} % of what "
            "differs between them. Click on a point to see its crop.",
            "good",
        )

    def _colour_changed(self, name: Any) -> None:
        if self._mapped is not None and name and self._mapped[2] in self._viewer.layers:
            layer = self._mapped[2]
            layer.face_color = name
            # Else napari would keep the range of values of the feature before.
            layer.refresh_colors(update_color_mapping=True)

    def _point_picked(self, *_event: object) -> None:
        assert self._mapped is not None
        crops, made, layer, request = self._mapped
        chosen = sorted(layer.selected_data)
        if chosen:
            self._show_crop(request, crops, int(layer.features[_CROP].iloc[chosen[0]]), made)

    def _show_crop(self, request: Request, crops: Dataset, index: int, made: Any) -> None:
        """Show a crop as a picture, beside its reconstruction where that is known."""
        assert request.source is not None
        picture = crops.x[index].astype(np.float32)
        words = f"Crop {index}"
        now: int | None = index
        if crops.label.any():
            number = int(crops.label[index])
            words, now = f"Object {number}", request.source.number_now(number)
            if now != number:
                words += ", which is gone or was moved since" if now is None else f", now {now}"
        if now is not None:
            self.on_cell(now)
        if made is not None:
            # (C, Y, 1): a dark line between the two pictures.
            gap = np.broadcast_to(picture.min(axis=(1, 2), keepdims=True), (*picture.shape[:2], 1))
            picture = np.concatenate([picture, gap, made[index].reshape(picture.shape)], axis=2)
            words += " (left) and what the model makes of it (right)"
        show_picture(self._picture, pixmap(picture, _WIDTH if made is not None else _WIDTH // 2))
        self._picked.value = f"{words}."
        self.show_controls_of(self._for)


def _record(card: ModelCard) -> dict[str, Any]:
    return make_record("explore", "synthetic", model={"name": card.name, "kind": card.network}, warnings=[])
