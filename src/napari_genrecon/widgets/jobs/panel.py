"""A job's progress, a button that cancels it, and words about it, as one widget for pages that need no other layout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from magicgui.widgets import Container, Label, ProgressBar, PushButton

from napari_genrecon.widgets.fit import text
from napari_genrecon.widgets.jobs.controls import JobControls
from napari_genrecon.widgets.jobs.worker import Steps

__all__ = ["JobPanel", "picture_label", "show_picture"]


def picture_label() -> Label:
    """A label for a picture."""
    label = Label()
    label.visible = False
    return label


def show_picture(label: Label, picture: Any) -> None:
    """Show a pixmap in full."""
    label.native.setPixmap(picture)
    label.native.setFixedSize(picture.size())
    label.visible = True


class JobPanel(Container[Any]):  # type: ignore[misc]  # magicgui is not followed by mypy
    """Runs steps in a thread; see `JobControls`.

    Parameters
    ----------
    buttons : sequence of PushButton
        Disabled while a job runs.
    after : callable
        Called when it has ended and the buttons are enabled again, to disable those that say nothing now.
    """

    def __init__(self, buttons: Sequence[PushButton], after: Callable[[], object] = lambda: None) -> None:
        self._status, cancel = text(), PushButton(text="Cancel", enabled=False)
        bar = ProgressBar(value=0, min=0, max=100)
        self._row = Container(widgets=[bar, cancel], layout="horizontal", labels=False)
        super().__init__(widgets=[self._row, self._status], labels=False)
        self._row.visible = self._status.visible = False
        self.margins = (0, 0, 0, 0)
        self._after = after
        self._controls = JobControls(buttons, cancel, bar, self._status, after=self._ended)
        self._status.native.textChanged.connect(self._fit)

    @property
    def busy(self) -> bool:
        """Whether a job runs."""
        return self._controls.job is not None

    @property
    def words(self) -> str:
        """What is said now."""
        return str(self._status.value)

    def say(self, words: str, look: str = "") -> None:
        """Show words: plain, ``"good"`` or ``"bad"``."""
        self._controls.say(words, look)

    def complain(self, error: BaseException) -> None:
        """Show an error as a sentence."""
        self._controls.refuse(error)

    def begin(self, make_steps: Callable[[], Steps], on_ok: Callable[[Any], object], *, title: str) -> None:
        """Run steps unless others run; with their result, `on_ok` is called in the main thread."""
        if not self.busy:
            self._controls.begin(make_steps, on_ok, title=title)
            self._row.visible = True

    def abandon(self) -> None:
        """The window is gone: what still runs must not touch it."""
        self._controls.abandon()

    def _ended(self) -> None:
        self._row.visible = False
        self._after()

    def _fit(self) -> None:
        self._status.visible = bool(self.words)
