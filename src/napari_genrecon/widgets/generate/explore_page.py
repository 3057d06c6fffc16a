"""Explore page: walk and blend with a model, and compare real cells with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox, Container, PushButton, SpinBox

from napari_genrecon.errors import GenReconError
from napari_genrecon.models import ModelCard
from napari_genrecon.widgets.fit import make_primary, text
from napari_genrecon.widgets.generate.explore_jobs import (
    Request,
    anomaly_steps,
    blend_steps,
    map_steps,
    outlier_steps,
    posterior_steps,
    walk_steps,
)
from napari_genrecon.widgets.generate.explore_results import Results
from napari_genrecon.widgets.generate.model_choice import ModelChoice, Models
from napari_genrecon.widgets.jobs.panel import JobPanel
from napari_genrecon.widgets.train.crop_source import CropChooser

if TYPE_CHECKING:
    from napari import Viewer

__all__ = ["TOOLS", "ExplorePage", "Tool"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """Tool of the Explore page.

    Attributes
    ----------
    title, words, button : str
        Title, explanation, and text of the button.
    steps : callable
        Computes the result from a `Request`.
    result : str
        Name of the method of `Results` that shows the result.
    controls : str
        Controls that are shown: ``s`` new pictures or real cells, ``1`` and ``2`` numbers, ``n`` how many.
    real : bool
        Whether it needs real cells, which only a VAE can encode.
    """

    title: str
    words: str
    button: str
    steps: Callable[[Request], Any]
    result: str
    controls: str = ""
    real: bool = True


TOOLS = {
    tool.title: tool
    for tool in (
        Tool(
            title="Walk: change one feature",
            words="One picture, changed by a slider: what does one of the numbers behind it stand for?",
            button="Start the walk", steps=walk_steps, result="walk", controls="s1", real=False,
        ),
        Tool(
            title="Blend two pictures",
            words="Pictures on the way from one to the other, as a new layer.",
            button="Blend", steps=blend_steps, result="blend", controls="s12n", real=False,
        ),
        Tool(
            title="What else could one cell be?",
            words="Several pictures that one real cell could stand for, as far as the model can tell: what differs "
            "between them was not seen.",
            button="Draw pictures", steps=posterior_steps, result="posterior", controls="1n",
        ),
        Tool(
            title="Anomaly map of an image",
            words="Where the image is not as the model would make it. 1 is rare in data like the training crops, "
            "several is odd.",
            button="Make the map", steps=anomaly_steps, result="anomaly",
        ),
        Tool(
            title="Rank cells, the odd ones first",
            words="A score for every cell (usual: about 0, odd: above 3), written into the features of its layer and "
            "listed here.",
            button="Rank", steps=outlier_steps, result="outliers",
        ),
        Tool(
            title="Map of all crops",
            words="Every crop as a point, like beside like, in a new Points layer. Select a point to see its crop.",
            button="Make the map", steps=map_steps, result="map",
        ),
    )
}  # fmt: skip
_STARTS = (("new pictures", False), ("real cells of a layer", True))

_SEED = "Each number stands for another picture; the same number for the same one"


class ExplorePage(Container[Any]):  # type: ignore[misc]  # magicgui is not followed by mypy
    """Page to explore a model.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer whose layers can be chosen, and that gets the results.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._models = Models()
        self.tool = ComboBox(label="what", choices=tuple(TOOLS), tooltip="What to do with the model")
        self._words = text()
        self.start = ComboBox(label="from", choices=_STARTS, tooltip="Only a VAE can start from real cells")
        self.chooser = CropChooser(viewer)
        self.first = SpinBox(value=0, min=0, max=2**31 - 1, tooltip=_SEED)
        self.second = SpinBox(value=1, min=0, max=2**31 - 1, tooltip=_SEED)
        self.n = SpinBox(label="how many", value=9, min=2, max=1000, tooltip="How many pictures: more, and finer steps")
        self.run = PushButton(text="Start", tooltip="Adds layers, and sliders below to go on with")
        make_primary(self.run)
        # The end of a job enables the button, which the chosen model may not allow.
        self.panel = JobPanel([self.run], after=self._show_what_counts)
        self.results = Results(viewer, self.panel)
        what = Container(widgets=[self.tool], labels=True)
        self._from = Container(widgets=[self.start], labels=True)
        self._numbers = Container(widgets=[self.first, self.second, self.n], labels=True)
        self.choice = ModelChoice(self._model_changed)
        super().__init__(
            widgets=[
                self.choice, what, self._words, self._from, self.chooser,
                self._numbers, self.run,
                self.panel, self.results.container,
            ],
            labels=False,
        )  # fmt: skip
        for box in (what, self._from, self._numbers):
            box.margins = (0, 0, 0, 0)
        for control in (self.tool, self.start, self.chooser.mode):
            control.changed.connect(self._show_what_counts)
        # The message is about the result of the tool before.
        self.tool.changed.connect(lambda _: self.panel.say(""))
        self.chooser.on_choice = self.panel.forget
        self.run.changed.connect(self._run)
        self.results.on_cell = self._take_cell
        # Last, as it calls `_model_changed`, which sets all controls.
        self.choice.refresh()

    def leave(self) -> None:
        """Drop all jobs, as the window is gone."""
        self.chooser.leave()
        self.panel.abandon()
        self.results.leave()

    @property
    def _tool(self) -> Tool:
        return TOOLS[self.tool.value]

    @property
    def _real(self) -> bool:
        return self._tool.real or ("s" in self._tool.controls and bool(self.start.value))

    # --- what counts ---

    def _model_changed(self, _card: ModelCard | None) -> None:
        self._show_what_counts()

    def _show_what_counts(self, _event: object = None) -> None:
        """Show only the controls of the tool, or a sentence where the model cannot do it."""
        tool, card, real = self._tool, self.choice.card, self._real
        fits = card is not None and (card.about.encodes or not real)
        # Without any model `choice` says what to do.
        self._words.value = tool.words if fits or card is None else (
            f"'{card.name}' is a GAN: it makes pictures but cannot encode real cells. Choose or train a VAE for this."
        )  # fmt: skip
        self._from.visible = "s" in tool.controls
        self._numbers.visible = bool(set("12n") & set(tool.controls)) and fits
        self.chooser.visible = real and fits
        self.first.visible, self.second.visible = "1" in tool.controls and fits, "2" in tool.controls and fits
        self.n.visible = "n" in tool.controls and fits
        number = "object" if self.chooser.mode.value == "objects" else "crop"
        for box, which in ((self.first, "first " if "2" in tool.controls else ""), (self.second, "second ")):
            box.label = f"{which}{number if real else 'picture'}"
            box.tooltip = "Its number: the value under the mouse in a Labels layer" if real else _SEED
        self.run.text = tool.button
        self.run.enabled = fits and not self.panel.busy
        self.results.show_controls_of(tool.result)

    def _take_cell(self, number: int) -> None:
        """Start from a cell that was picked in a list or a map."""
        self.first.value = number

    # --- doing it ---

    def _run(self, _event: object = None) -> None:
        tool = self._tool
        try:
            # All is read before the job begins, as the controls stay free while it runs.
            request = Request(
                models=self._models,
                card=self.choice.chosen(),
                source=self.chooser.source() if self._real else None,
                mode=self.chooser.mode.value,
                first=int(self.first.value),
                second=int(self.second.value),
                n=int(self.n.value),
            )
        except (GenReconError, ValueError) as error:
            self.panel.complain(error)
            return
        # That of this tool, as another one may be chosen when the job ends.
        show = getattr(self.results, tool.result)
        title = f"{tool.title}, '{request.card.name}'"
        self.panel.begin(lambda: tool.steps(request), lambda found: show(request, found), title=title)
