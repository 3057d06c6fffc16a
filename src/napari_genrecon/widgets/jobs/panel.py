"""Progress, Cancel button and messages of a job in one widget, for pages that need no other layout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from magicgui.widgets import Container, Label, ProgressBar, PushButton

from napari_genrecon.widgets.fit import text
from napari_genrecon.widgets.jobs.controls import JobControls
from napari_genrecon.widgets.jobs.worker import Steps

__all__ = ["JobPanel", "picture_label", "show_picture"]


def picture_label() -> Label:
    """Return a hidden label for a picture."""
    label = Label()
    label.visible = False
    return label


def show_picture(label: Label, picture: Any) -> None:
    """Show a pixmap in its full size."""
    label.native.setPixmap(picture)
    # A layout would give the label more or less room than the picture has.
    label.native.setFixedSize(picture.size())
    label.visible = True


class JobPanel(Container[Any]):  # type: ignore[misc]  # magicgui is not followed by mypy
    """Run steps in a thread, see `JobControls`.

    Parameters
    ----------
    buttons : sequence of PushButton
        Buttons that are disabled while a job runs.
    after : callable
        Called when it has ended and the buttons are enabled again, to disable those without effect.
    """

    def __init__(self, buttons: Sequence[PushButton], after: Callable[[], object] = lambda: None) -> None:
        self._status, cancel = (
            text(),
            PushButton(text="Cancel", enabled=False, tooltip="Ends after the step that is computed now"),
        )
        bar = ProgressBar(value=0, min=0, max=100)
        self._row = Container(widgets=[bar, cancel], layout="horizontal", labels=False)
        super().__init__(widgets=[self._row, self._status], labels=False)
        self._row.visible = self._status.visible = False
        self.margins = (0, 0, 0, 0)
        self._after = after
        self._controls = JobControls(buttons, cancel, bar, self._status, after=self._ended)
        # An empty text would still take the room of a line.
        self._status.native.textChanged.connect(self._fit)

    @property
    def busy(self) -> bool:
        """Whether a job runs."""
        return self._controls.job is not None

    @property
    def words(self) -> str:
        """The message that is shown."""
        return str(self._status.value)

    def say(self, words: str, look: str = "") -> None:
        """Show a message in a tone: plain, ``"good"`` or ``"bad"``."""
        self._controls.say(words, look)

    def forget(self, _event: object = None) -> None:
        """Clear the message, which was about another choice; that of a job that runs stays."""
        if not self.busy:
            self.say("")

    def complain(self, error: BaseException) -> None:
        """Show an error as a sentence."""
        self._controls.refuse(error)

    def begin(self, make_steps: Callable[[], Steps], on_ok: Callable[[Any], object], *, title: str) -> None:
        """Run steps unless a job runs; `on_ok` is called with their result in the main thread."""
        if not self.busy:
            self._controls.begin(make_steps, on_ok, title=title)
            # Bar and button take room only while a job runs.
            self._row.visible = True

    def abandon(self) -> None:
        """Drop the job without reporting it, as the window is gone."""
        self._controls.abandon()

    def _ended(self) -> None:
        self._row.visible = False
        self._after()

    def _fit(self) -> None:
        self._status.visible = bool(self.words)
