"""Page of "Advise": look at an image and list what is worth doing, each with a button that opens the right dock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from functools import partial
from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox, Container, PushButton
from napari.layers import Image, Labels, Points

from napari_genrecon.engine.run import Progress
from napari_genrecon.errors import OptionError
from napari_genrecon.plural import duration
from napari_genrecon.tasks.advise import Advice, advise_steps
from napari_genrecon.tasks.advise.situation import GOALS, Situation
from napari_genrecon.widgets.advise.open_dock import dock_of, open_filled
from napari_genrecon.widgets.fit import heading, make_primary, text
from napari_genrecon.widgets.jobs.panel import JobPanel
from napari_genrecon.widgets.layers.choice import LayerChoice
from napari_genrecon.widgets.layers.snapshot import is_no_image, is_synthetic, layer_axes, layer_data

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Layer

__all__ = ["AdvisePage"]

GIVEN = "given class"  # column of the features in which the classes stand that a user gave


class AdvisePage(Container[Any]):  # type: ignore[misc]  # magicgui is not followed by mypy
    """Page that says what to do with an image layer.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer whose layers can be chosen.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self.advice: tuple[Advice, ...] = ()
        self.image = ComboBox(label="image", choices=self._images, tooltip="The image to look at")
        goals = [(words, goal) for goal, words in GOALS.items()]
        self.goal = ComboBox(label="I want to", choices=goals, value="any", tooltip="What the image is for")
        self.look = PushButton(text="Look at the image", tooltip="Measures its noise and defects; nothing is changed")
        make_primary(self.look)
        self.panel = JobPanel([self.look])
        self.cards = Container(widgets=[], labels=False)
        choice = Container(widgets=[self.image, self.goal], labels=True)
        super().__init__(
            widgets=[
                text("What is worth doing with this image, and what is not?"),
                choice,
                self.look,
                self.panel,
                self.cards,
            ],
            labels=False,
        )
        choice.margins = self.cards.margins = (0, 0, 0, 0)
        # The choice is a layer and not its name, so that renaming it changes nothing.
        self._kept = LayerChoice(self.image, viewer.layers)
        self._events = (viewer.layers.events.inserted, viewer.layers.events.removed, viewer.layers.events.renamed)
        for event in self._events:
            event.connect(self._refresh)
        viewer.layers.selection.events.active.connect(self._follow)
        self.image.changed.connect(self._forget)
        self.goal.changed.connect(self._forget)
        self.look.changed.connect(self._start)
        self._follow()

    def leave(self) -> None:
        """Stop listening to the viewer, and drop the job, as the window is gone."""
        for event in self._events:
            event.disconnect(self._refresh)
        self._viewer.layers.selection.events.active.disconnect(self._follow)
        self.panel.abandon()

    # --- what is looked at ---

    def _images(self, _widget: object = None) -> list[str]:
        return [layer.name for layer in self._of_kind(Image)]

    def _of_kind(self, kind: Any) -> list[Any]:
        return [layer for layer in self._viewer.layers if isinstance(layer, kind) and not is_no_image(layer)]

    def _refresh(self, _event: object = None) -> None:
        self._kept.reset()

    def _follow(self, _event: object = None) -> None:
        """Choose the image layer that was clicked on."""
        active = self._viewer.layers.selection.active
        if isinstance(active, Image) and active.name in self.image.choices:
            self.image.value = active.name

    def _facts(self, layer: Layer) -> dict[str, Any]:
        """Return what the layers of the viewer tell: how many images like this one, labels and points there are."""
        alike = [one for one in self._of_kind(Image) if one.ndim == layer.ndim and not is_synthetic(one)]
        labels = [one for one in self._of_kind(Labels) if not is_synthetic(one)]
        points = [one for one in self._of_kind(Points) if not is_synthetic(one)]
        # An RGB layer has no scale for its last axis, but the array has that axis.
        samples = 1 if layer.rgb else 0
        return {
            # The uppermost layer is the one that was added last, unless the user has moved it.
            "labels": layer_data(labels[-1]) if labels else None,
            # A copy, as the points can be moved in the window while a thread reads them.
            "points": points[-1].data.copy() if points else None,
            "images": max(1, len(alike)),
            "classes": _label_counts([*labels, *points]),
            "goal": self.goal.value,
            "scale": (*map(float, layer.scale), *(1.0,) * samples),
            "units": (*map(str, layer.units), *("pixel",) * samples),
        }

    # --- looking ---

    def _start(self, _event: object = None) -> None:
        if self.image.value is None:
            self.panel.complain(OptionError("open an image, or a sample from File > Open Sample, first"))
            return
        layer = self._viewer.layers[self.image.value]
        # Read here, as layers may only be touched in the thread of the window.
        data, axes, facts, name = layer_data(layer), layer_axes(layer), self._facts(layer), layer.name

        def steps() -> Generator[Progress, None, tuple[Situation, tuple[Advice, ...]]]:
            return (yield from advise_steps(data, axes, **facts))

        self.panel.begin(steps, lambda found: self._show(layer, found[1]), title=f"Look at '{name}'")

    def _show(self, layer: Layer, found: tuple[Advice, ...]) -> None:
        """List the advice, and say in one sentence what it comes to."""
        self._forget()
        self.advice = found
        to_do = [advice for advice in found if advice.do]
        for number, advice in enumerate(to_do, start=1):
            self._add_card(layer, advice, f"{number}. {advice.title}")
        against = [advice for advice in found if not advice.do]
        for advice in against:
            self._add_card(layer, advice, advice.title)
        words = "1 thing is" if len(to_do) == 1 else f"{len(to_do)} things are"
        said = f"{words} worth doing with '{layer.name}'." if to_do else f"Nothing to do: use '{layer.name}' as it is."
        self.panel.say(said, "good")

    def _add_card(self, layer: Layer, advice: Advice, title: str) -> None:
        took = f" ({duration(advice.seconds)})" if advice.seconds is not None else ""
        parts: list[Any] = [heading(title + took), text(advice.reason)]
        dock = dock_of(advice.task) if advice.do else ""
        if dock:
            button = PushButton(text=f"Open {dock}", tooltip=f"Evidence: {advice.source}")
            button.changed.connect(partial(self._open, advice, layer))
            parts.append(button)
        parts.append(text(f"Evidence: {advice.source}"))
        card = Container(widgets=parts, labels=False)
        card.margins = (0, 0, 0, 6)
        self.cards.append(card)

    def _open(self, advice: Advice, layer: Layer, _event: object = None) -> None:
        # It may have been renamed or removed since; the options are for no other.
        if layer in self._viewer.layers:
            open_filled(self._viewer, advice.task, layer.name, advice.options)
        else:
            self.panel.complain(OptionError(f"'{layer.name}' was removed: look at another image"))

    def _forget(self, _event: object = None) -> None:
        """Clear the list, which was about another choice."""
        self.advice = ()
        # magicgui only takes a widget out of its container; Qt would keep it until the page is gone.
        while len(self.cards):
            card = self.cards[-1]
            self.cards.remove(card)
            card.native.deleteLater()
        self.panel.forget()


def _label_counts(layers: list[Any]) -> tuple[int, ...]:
    """Return how often each class was given, from the features of the layers of objects."""
    given = [name for layer in layers for name in layer.features.get(GIVEN, [])]
    return tuple(Counter(name for name in given if isinstance(name, str) and name.strip()).values())
