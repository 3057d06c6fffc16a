"""One job at a time with its progress, a way to cancel it, and what came out, in words."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from magicgui.widgets import Container, Label, ProgressBar, PushButton

from napari_genrecon.engine.run import Progress
from napari_genrecon.widgets.fit import text, tint
from napari_genrecon.widgets.jobs.worker import Job, Steps
from napari_genrecon.widgets.words import sentence

__all__ = ["JobPanel", "picture_label", "show_picture"]

_LOG = logging.getLogger(__name__)


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
    """Runs steps in a thread; the buttons that would start another job wait meanwhile.

    Parameters
    ----------
    buttons : sequence of PushButton
        Disabled while a job runs.
    after : callable
        Called when it has ended and the buttons are enabled again, to disable those that say nothing now.
    """

    def __init__(self, buttons: Sequence[PushButton], after: Callable[[], object] = lambda: None) -> None:
        self._job: Job | None = None
        self._after = after
        self._buttons = list(buttons)
        self._bar = ProgressBar(value=0, min=0, max=100)
        self._cancel = PushButton(text="Cancel")
        self._row = Container(widgets=[self._bar, self._cancel], layout="horizontal", labels=False)
        self._status = text()
        super().__init__(widgets=[self._row, self._status], labels=False)
        self._row.visible = self._status.visible = False
        self.margins = (0, 0, 0, 0)
        self._cancel.changed.connect(self._ask)

    @property
    def busy(self) -> bool:
        """Whether a job runs."""
        return self._job is not None

    @property
    def words(self) -> str:
        """What is said now."""
        return str(self._status.value)

    def say(self, words: str, look: str = "") -> None:
        """Show words: plain, ``"good"`` or ``"bad"``."""
        self._status.value = words
        self._status.visible = bool(words)
        tint(self._status, look)

    def complain(self, error: BaseException) -> None:
        """Show an error as a sentence."""
        self.say(sentence(error), "bad")

    def begin(self, make_steps: Callable[[], Steps], on_ok: Callable[[Any], object]) -> None:
        """Run steps; with their result, `on_ok` is called in the main thread."""
        if self._job is not None:
            return

        def done(kind: str, value: Any) -> None:
            self._finish()
            if kind == "ok":
                on_ok(value)
            elif kind == "cancelled":
                self.say("Cancelled: nothing was added.")
            else:
                _LOG.error("the job failed", exc_info=value)
                self.complain(value)

        self._job = Job(make_steps, self._on_progress, done)
        self._bar.max = 0
        self._row.visible = True
        for button in self._buttons:
            button.enabled = False
        self._job.start()

    def abandon(self) -> None:
        """The window is gone: what still runs must not touch it."""
        if self._job is not None:
            self._job.abandon()

    def _on_progress(self, progress: Progress) -> None:
        self._bar.max = 100 if progress.total else 0
        self._bar.value = round(100 * progress.fraction) if progress.total else 0
        self.say(f"{progress.note}…" if progress.note else "")

    def _finish(self) -> None:
        self._job = None
        self._row.visible = False
        for button in self._buttons:
            button.enabled = True
        self._after()

    def _ask(self, _event: Any = None) -> None:
        if self._job is not None:
            self._job.cancel()
