"""Page that compares two images, such as a result and its source."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox, Container, PushButton
from napari.layers import Image, Points, Shapes
from qtpy.QtCore import QTimer

from napari_genrecon.errors import GenReconError
from napari_genrecon.widgets.compare.differences import Noises, difference_steps, noises_of
from napari_genrecon.widgets.compare.latest import Latest
from napari_genrecon.widgets.compare.pairs import Pair, Planes, source_of
from napari_genrecon.widgets.compare.profile import Profile, ProfilePlot, channel_index, line_of, profile_along
from napari_genrecon.widgets.compare.side_by_side import SideBySide
from napari_genrecon.widgets.compare.split_layer import SplitLayer
from napari_genrecon.widgets.dock import Dock
from napari_genrecon.widgets.fit import heading, side_by_side, slim, text
from napari_genrecon.widgets.jobs.panel import JobPanel
from napari_genrecon.widgets.layers.choice import LayerChoice, keeping_active
from napari_genrecon.widgets.layers.snapshot import is_no_image, names_of, shows_planes
from napari_genrecon.widgets.plot import load_plots
from napari_genrecon.widgets.words import sentence

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Layer

__all__ = ["ComparePage"]

_KEY = "H"  # one that napari uses on no kind of layer
_PIXELS_AND_PLACE = ("data", "scale", "translate", "rotate", "shear", "affine")
_LINE = "profile line"
_REST = 300  # milliseconds without a move of the camera after which the part of a large plane is read again
_WAYS = {
    "split by a line": "split",
    "side by side": "side",
    "only after": "after",
    "only before": "before",
    "off": "off",
}
_WORDS = {
    "split": f"Left of the line '{{0}}', right of it '{{1}}'; drag the line. Hold {_KEY} to see only '{{0}}'.",
    "after": f"'{{1}}'. Hold {_KEY} to see '{{0}}' instead.",
    "before": f"'{{0}}'. Hold {_KEY} to see '{{1}}' instead.",
    "side": "Left '{0}', right '{1}': both move together.",
    "off": "Choose two images, and how to show them.",
}
_COLOURS = {
    "difference": "green is more than before, magenta is less",
    "residual": "green was taken away, magenta was added; without structure, it was noise",
}
_PLANES = (
    "Two images are compared in 2D, y by x, without the grid: go back to that view with the buttons below the list of "
    "layers."
)
_ELSEWHERE = "One of the two images has no pixels on this plane."


class ComparePage(Container[Any]):  # type: ignore[misc]  # magicgui is not followed by mypy
    """Compare two image layers.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer whose layers can be chosen.
    """

    def __init__(self, viewer: Viewer) -> None:
        # napari gives plugins a proxy of the viewer, and layers that are taken through it fail comparisons with `is`.
        self._viewer: Viewer = getattr(viewer, "__wrapped__", viewer)
        self._pair: Pair | None = None
        self._shown: tuple[Any, str] = (None, "off")  # pair and way that are shown
        self._place: tuple[Any, ...] | None = None  # of the pixels that are shown
        self._noises: Noises | None = None
        self._split, self._sides = SplitLayer(self._viewer, self._gone), SideBySide(self._viewer)
        self._planes = Latest(self._show_planes, self._refuse)
        self._profiles = Latest(self._show_profile, self._refuse_profile)
        self._make_controls()
        super().__init__(
            widgets=[
                self._images,
                self.hold,
                self.words,
                heading("As layers"),
                side_by_side(self.difference, self.residual),
                self.panel,
                heading("Along a line"),
                side_by_side(self.line, self.draw),
                self.said,
            ],
            labels=False,
        )
        self._resting = QTimer(self.native)  # goes with the page
        self._resting.setSingleShot(True)
        self._resting.setInterval(_REST)
        self._images.margins = (0, 0, 0, 0)
        # A plain widget of Qt cannot stand in the list above, which holds widgets of magicgui.
        self.native.layout().addWidget(self.plot)
        self.native.layout().addStretch(1)  # room that is not needed stays below
        slim(self.native)
        self._choices = [LayerChoice(each, self._viewer.layers) for each in (self.before, self.after, self.line)]
        self._dock = Dock(self, self.native, self._closed, self._opened)
        self._gone_for_good = False
        self._connect()
        self._bind_key()
        self._follow()

    def _make_controls(self) -> None:
        self.before = ComboBox(label="before", choices=self._image_names, tooltip="The image that is left of the line")
        self.after = ComboBox(label="after", choices=self._image_names, tooltip="The image that is right of the line")
        self.way = ComboBox(
            label="show",
            choices=list(_WAYS.items()),
            value="off",
            tooltip="Both at once, divided by a line or side by side, or one of them alone",
        )
        self._images = Container(widgets=[self.before, self.after, self.way])
        self.hold = PushButton(
            text=f"Hold to swap ({_KEY})", tooltip=f"While it is held, or the key {_KEY}, the other image is shown"
        )
        self.words = text(_WORDS["off"])
        self.difference = PushButton(
            text="Difference", tooltip="Adds a layer of after minus before, in grey values: green is more, magenta less"
        )
        self.residual = PushButton(
            text="Residual",
            tooltip="Adds a layer of what was removed, in noise s.d.: it should look like noise, without structure",
        )
        self.panel = JobPanel([self.difference, self.residual])
        self.line = ComboBox(
            label="line",
            choices=self._line_names,
            nullable=True,
            tooltip="Plots the grey values along this line: of a Shapes layer, or from one point to another",
        )
        self.draw = PushButton(text="Draw a line", tooltip="Drag on the image from where to where")
        self.said, self.plot = text(), ProfilePlot()

    def _connect(self) -> None:
        layers, dims = self._viewer.layers.events, self._viewer.dims.events
        for event in (layers.inserted, layers.removed, layers.renamed):
            event.connect(self.reset_choices)
        layers.inserted.connect(self._listen)
        for layer in self._viewer.layers:
            self._listen_to(layer)
        for event in (dims.current_step, dims.order, dims.ndisplay, self._viewer.canvas.grid.events.enabled):
            event.connect(self._refresh)
        camera = self._viewer.scene.camera.events
        for event in (camera.center, camera.zoom):
            event.connect(self._camera_moved)
        self._resting.timeout.connect(self._refresh)
        for each in (self.before, self.after):
            each.changed.connect(self._choose)
        self.way.changed.connect(self._choose)
        # magicgui tells of clicks only, and not that a button is held down.
        self.hold.native.pressed.connect(self._swap)
        self.hold.native.released.connect(self._swap_back)
        self.difference.changed.connect(lambda: self._start("difference"))
        self.residual.changed.connect(lambda: self._start("residual"))
        self.line.changed.connect(self._draw_profile)
        self.draw.changed.connect(self._start_line)
        self.native.destroyed.connect(self._leave)

    def _leave(self, _event: object = None) -> None:
        # Events of napari come even after Qt has deleted the widgets, and must not touch them.
        self._gone_for_good = True
        self._planes.drop()
        self._profiles.drop()
        self.panel.abandon()

    def _closed(self) -> None:
        """Show the layers as they were, while the dock is closed."""
        self.way.value = "off"  # `_choose` follows, and takes the comparison away
        self._viewer.bind_key(_KEY, None)

    def _opened(self) -> None:
        self._bind_key()
        self.reset_choices()
        self._follow()

    def _bind_key(self) -> None:
        self._viewer.bind_key(_KEY, self._held, overwrite=True)

    def _held(self, _viewer: Viewer) -> Any:
        # napari runs a binding up to its `yield` when the key goes down, and the rest when it comes up.
        self._swap()
        yield
        self._swap_back()

    # Layers ---------------------------------------------------------------------------------------------------------

    def _image_names(self, _widget: object = None) -> list[str]:
        return names_of(self._viewer, Image)

    def _line_names(self, _widget: object = None) -> list[str]:
        return [layer.name for layer in self._viewer.layers if isinstance(layer, Shapes | Points)]

    def reset_choices(self, *_: Any) -> None:
        """Update the choices of layers; napari calls this on docked widgets."""
        if self._gone_for_good:
            return
        for choice in self._choices:
            choice.reset()
        self._choose()
        if self._split.layer is not None or self.way.value == "side":
            self._say(self.way.value)  # a layer may have been renamed

    def _listen(self, event: Any) -> None:
        self._listen_to(event.value)

    def _listen_to(self, layer: Layer) -> None:
        """Follow the pixels of images, and lines while they are drawn; connecting twice does nothing."""
        if isinstance(layer, Image) and not is_no_image(layer):
            for name in _PIXELS_AND_PLACE:
                getattr(layer.events, name).connect(self._changed)
        elif isinstance(layer, Shapes | Points):
            layer.events.set_data.connect(self._draw_profile)

    def _changed(self, event: Any) -> None:
        """Compare again, as the pixels of a layer, or its place, have changed."""
        if event.source in self._chosen():
            # Else `_choose` would keep the pair, as the same two layers are chosen.
            self._pair = None
            self._choose()

    def _follow(self) -> None:
        """Choose the active image and what it was made from, or the two topmost images."""
        active = self._viewer.layers.selection.active
        names = self._image_names()
        if isinstance(active, Image) and active.name in names and self._take(active):
            return
        # The last ones of the list are on top.
        if len(names) > 1 and self.before.value == self.after.value:
            self.before.value, self.after.value = names[-2:]

    def _take(self, result: Layer) -> bool:
        source = source_of(result, list(self._viewer.layers))
        if source is None:
            return False
        self.before.value, self.after.value = source.name, result.name
        self.way.value = "split"
        return True

    def fill(self, layer: str, _options: dict[str, Any]) -> None:
        """Compare a result with its source."""
        self.reset_choices()
        if layer in self.after.choices and not self._take(self._viewer.layers[layer]):
            self.after.value = layer

    def _chosen(self) -> list[Any]:
        names = [each.value for each in (self.before, self.after)]
        return [self._viewer.layers[name] for name in names if name in self._viewer.layers]

    # Pictures -------------------------------------------------------------------------------------------------------

    def _choose(self, _event: object = None) -> None:
        """Show the chosen images in the chosen way."""
        if self._gone_for_good:
            return
        chosen = self._chosen()
        # Every change in the list of layers comes here: a pair that is still chosen is kept, with its measured noise.
        same = self._pair is not None and [self._pair.before, self._pair.after] == chosen
        if not same:
            self._pair = self._noises = self._place = None
            self.panel.forget()
            self._sides.end()
            self._split.remove()
            self._pair = self._pair_of(chosen)
        if self._shown != (self._pair, self.way.value):
            self._shown = (self._pair, self.way.value)
            self._show(*self._shown)
            self._draw_profile()

    def _pair_of(self, chosen: list[Any]) -> Pair | None:
        if len(chosen) < 2:
            return None
        try:
            return Pair(chosen[0], chosen[1], self._viewer.dims.point)
        except GenReconError as error:
            self._refuse(error)
            return None

    def _show(self, pair: Pair | None, way: str) -> None:
        if way != "side":
            self._sides.end()
        if pair is None or way in ("off", "side"):
            self._planes.drop()
            self._split.remove()
            self._place = None
        if pair is None:
            return
        self._say(way)
        if way == "side":
            self._sides.show(pair.before, pair.after)
        elif way != "off":
            self._split.set_view(way)
            self._refresh()

    def _say(self, way: str) -> None:
        pair = self._pair
        self.words.value = "" if pair is None else _WORDS[way].format(pair.before.name, pair.after.name)

    def _camera_moved(self, _event: object = None) -> None:
        # Planes that are not large are read whole, wherever the camera is.
        if self._pair is not None and self._pair.large:
            self._resting.start()

    def _refresh(self, _event: object = None) -> None:
        """Show the plane on screen of both images."""
        pair = self._pair
        if self._gone_for_good or pair is None:
            return
        self._draw_profile()
        if self.way.value in ("off", "side"):
            return
        region = pair.region(self._viewer) if shows_planes(self._viewer) else None
        if region is None:
            self._hide(_ELSEWHERE if shows_planes(self._viewer) else _PLANES)
            return
        if pair.lazy and self._split.layer is not None:
            self._split.layer.visible = False  # it is of another plane until the pixels are read
        self._planes.ask(lambda: (pair, region, pair.planes(region)), slow=pair.lazy)

    def _hide(self, why: str) -> None:
        self.words.value = why
        self._planes.drop()
        self._split.remove()
        self._place = None

    def _show_planes(self, found: tuple[Pair, tuple[slice, ...], Planes]) -> None:
        pair, region, planes = found
        # Pixels may have been read in a thread, and another pair or way may have been chosen meanwhile.
        if pair is not self._pair or self.way.value in ("off", "side"):
            return
        self._say(self.way.value)
        place = (pair, *region[-2:])
        # In the same place only the pixels are replaced, so the line stays where it was dragged to.
        if self._split.layer is not None and place == self._place:
            self._split.replace(planes.before, planes.after)
            self._split.layer.visible = True
            return
        self._place = place
        name = f"{pair.before.name} | {pair.after.name}"
        self._split.show(planes.before, planes.after, {**planes.keywords, "name": name}, pair.before)
        if self.line.value in self._viewer.layers:
            with keeping_active(self._viewer):
                self._viewer.layers.move(self._viewer.layers.index(self.line.value), -1)  # seen above the pictures

    def _swap(self) -> None:
        if self._split.layer is not None:
            self._split.set_view("after" if self.way.value == "before" else "before")

    def _swap_back(self) -> None:
        if self._split.layer is not None:
            self._split.set_view(self.way.value)

    def _gone(self) -> None:
        """Stop comparing, as the layer was removed by hand or by a preview."""
        if not self._gone_for_good:
            self._place = None
            self.way.value = "off"

    def _refuse(self, error: BaseException) -> None:
        self.words.value = sentence(error)

    # Layers of differences ------------------------------------------------------------------------------------------

    def _start(self, kind: str) -> None:
        pair = self._pair
        if pair is None:
            self.panel.say("Choose two images first.")
            return
        self.panel.begin(
            lambda: difference_steps(pair, kind), partial(self._add, kind), title=f"{kind} of '{pair.after.name}'"
        )

    def _add(self, kind: str, found: tuple[Any, dict[str, Any]]) -> None:
        pixels, keywords = found
        self.way.value = "off"
        with keeping_active(self._viewer):
            added = self._viewer.add_image(pixels, **keywords)
        self.panel.say(f"New layer '{added.name}': {_COLOURS[kind]}.")

    # Profile --------------------------------------------------------------------------------------------------------

    def _start_line(self) -> None:
        """Add a layer for lines and begin to draw."""
        layers = self._viewer.layers
        if _LINE not in layers:
            # Of two dimensions, so that one line holds for all planes.
            self._viewer.add_shapes(name=_LINE, ndim=2, edge_color="#ffd400", edge_width=self._width())
        self.line.value = _LINE
        layers.selection.active = layers[_LINE]
        layers[_LINE].mode = "add_line"
        self.said.value = "Drag on the image from where to where."

    def _width(self) -> float:
        """Return the width of a line that can be seen on the whole image."""
        pair = self._pair
        if pair is None:
            return 1.0
        # In world units, as the layer of the line has a scale of 1.
        low, high = pair.fine.extent.world
        return max(float((high - low)[-2:].max()) / 150, 1e-6)

    def _draw_profile(self, _event: object = None) -> None:
        pair, name = self._pair, self.line.value
        if self._gone_for_good or self._dock.closed or pair is None or name not in self._viewer.layers:
            self._profiles.drop()
            self.plot.draw(None)
            return
        # Read here: `make` may run in a thread, and another plane may be on screen by then.
        point, known = tuple(self._viewer.dims.point), self._noises
        try:
            line = line_of(self._viewer.layers[name])
        except GenReconError as error:
            self._refuse_profile(error)
            return

        def make() -> tuple[Pair, Noises, Profile]:
            load_plots()
            noises = noises_of(pair) if known is None else known
            # One model may stand for all channels.
            channel = min(channel_index(pair, point), len(noises) - 1)
            return pair, noises, profile_along(pair, line, point, noises[channel])

        self._profiles.ask(make, slow=pair.lazy or known is None)

    def _show_profile(self, found: tuple[Pair, Noises, Profile]) -> None:
        pair, noises, profile = found
        if pair is not self._pair:
            return
        # Stored for all further profiles of this pair: only the first one has to measure, and needs a thread for it.
        self._noises = noises
        self.plot.draw(profile)
        self.said.value = "The band is the noise of one pixel before, ± 1 s.d." if profile.sigma is not None else ""

    def _refuse_profile(self, error: BaseException) -> None:
        self.plot.draw(None)
        self.said.value = sentence(error)
