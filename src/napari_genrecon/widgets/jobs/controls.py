"""Run the jobs of a page, one at a time, with progress, Cancel and messages."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from magicgui.widgets import ProgressBar, PushButton
from napari.utils.notifications import show_error, show_info, show_warning
from qtpy.QtCore import QTimer

from napari_genrecon.engine.run import Progress
from napari_genrecon.errors import MissingPackageError
from napari_genrecon.widgets.fit import Words, tint
from napari_genrecon.widgets.jobs.activity import Activity
from napari_genrecon.widgets.jobs.torch_import import as_sentence
from napari_genrecon.widgets.jobs.worker import Job, Steps
from napari_genrecon.widgets.words import TimeLeft, sentence

__all__ = ["JobControls"]

_LOG = logging.getLogger(__name__)
_CANCELLING = "Cancelling: it ends after the step that is being computed."
_EVERY = 1000  # milliseconds between two estimates of the time left where no step ends meanwhile
_notified: set[str] = set()  # sentences about missing packages, each of which is shown once


class JobControls:
    """Run one job at a time, and disable the buttons that would start another one.

    A job is shown in the page and in napari's activity panel, and can be cancelled in both. It goes on when the dock
    is closed, as pages outlive their docks, see `widgets.dock`.

    Parameters
    ----------
    buttons : sequence of PushButton
        Buttons that are disabled while a job runs.
    cancel : PushButton
        Button that is enabled while a job runs that is not quiet.
    bar : ProgressBar
        Bar that is shown while such a job runs.
    status : Words
        Text that shows the messages.
    on_progress : callable
        Called after every step of such a job.
    after : callable
        Called when a job has ended and the buttons are enabled again.
    show : callable
        Called with the progress of every step of such a job.
    """

    def __init__(
        self,
        buttons: Sequence[PushButton],
        cancel: PushButton,
        bar: ProgressBar,
        status: Words,
        on_progress: Callable[[], object] = lambda: None,
        after: Callable[[], object] = lambda: None,
        show: Callable[[Progress], object] = lambda _: None,
    ) -> None:
        self.job: Job | None = None
        self.cancelled = False  # whether the last job was asked to stop, perhaps too late
        self._quiet = False
        self._activity: Activity | None = None
        self._last: tuple[Progress, TimeLeft, str] | None = None  # what is shown of the job that runs
        self._told = ""
        self._clock = QTimer(bar.native)  # goes with the page
        self._clock.setInterval(_EVERY)
        self._clock.timeout.connect(self._tell_time_again)
        self._buttons, self._cancel, self._bar, self._status = buttons, cancel, bar, status
        self._on_progress, self._after, self._show_step = on_progress, after, show
        cancel.changed.connect(self._pressed)
        self._look = ""
        status.native.textChanged.connect(lambda: self._tint(""))  # the next message is plain again

    def disable_too(self, button: PushButton) -> None:
        """Disable one more button while a job runs."""
        self._buttons = [*self._buttons, button]

    @property
    def at_work(self) -> bool:
        """Whether a job runs that is not quiet."""
        return self.job is not None and not self._quiet

    def begin(
        self,
        steps: Callable[[], Steps],
        on_ok: Callable[[Any], object],
        on_fail: Callable[[str, Any], object] | None = None,
        *,
        quiet: bool = False,
        title: str = "",
    ) -> None:
        """Run steps, then call one of two functions in the main thread.

        Parameters
        ----------
        steps : callable
            Returns them; called in the thread of the job.
        on_ok : callable
            Called with the result.
        on_fail : callable, optional
            Called with ("error", exception) or ("cancelled", None). By default a message is shown.
        quiet : bool
            Show no messages and no Cancel button meanwhile.
        title : str
            Title: the task and its image.
        """
        left, self._quiet, self.cancelled = TimeLeft(), quiet, False

        def done(kind: str, value: object) -> None:
            # First, as `on_ok` may begin the next job, which disables the buttons again.
            self._finish()
            if kind == "ok":
                on_ok(value)
            else:
                (on_fail or self.tell)(kind, as_sentence(value))

        self.job = Job(steps, lambda progress: None if quiet else self._show(progress, left, title), done)
        for button in self._buttons:
            button.enabled = False
        self._cancel.enabled = self._bar.visible = not quiet
        # From 0 to 0 Qt's bar moves to and fro: the number of steps is not known yet.
        self._bar.max = 0
        self._activity = None if quiet else Activity(title, self.cancel)
        self._last = None
        self._clock.start()
        self.job.start()

    def cancel(self) -> None:
        """Stop the running job before its next step."""
        if self.job is None:
            return
        self.job.cancel()
        self.cancelled = True
        if not self._quiet:
            self._cancel.enabled = False
            self.say(_CANCELLING)

    def abandon(self) -> None:
        """Drop the job without reporting it, as the window is gone."""
        if self.job is not None:
            self.job.abandon()
        self._clock.stop()
        self._end_activity()

    def _finish(self) -> None:
        # First, as all that is called from here asks whether a job runs.
        self.job = None
        self._clock.stop()
        self._end_activity()
        self._bar.visible = self._cancel.enabled = False
        for button in self._buttons:
            button.enabled = True
        self._after()

    def _end_activity(self) -> None:
        if self._activity is not None:
            self._activity.close()
            self._activity = None

    def _show(self, progress: Progress, left: TimeLeft, title: str) -> None:
        if not self._cancel.enabled:  # cancelled: that message stays
            return
        self._bar.max = 100 if progress.total else 0
        self._bar.value = round(100 * progress.fraction)
        self._last = progress, left, title
        self._tell_time(progress, left, title)
        self._on_progress()
        self._show_step(progress)

    def _tell_time_again(self) -> None:
        """Say how long it takes while no step ends, unless another message has come meanwhile."""
        if self._last is not None and self._cancel.enabled and self._status.value == self._told:
            self._tell_time(*self._last)

    def _tell_time(self, progress: Progress, left: TimeLeft, title: str) -> None:
        words = left.of(progress, time.perf_counter())
        self._told = ", ".join(part for part in (title, progress.note, words) if part)
        self.say(self._told)
        if self._activity is not None:
            self._activity.update(progress, words)

    def _pressed(self, _event: object = None) -> None:
        self.cancel()

    # What is said -----------------------------------------------------------------------------------------------------

    def say(self, words: str, look: str = "") -> None:
        """Show a message in a tone: plain, ``"good"`` or ``"bad"``."""
        # Before the tone, which every change of the text takes away, see `__init__`.
        self._status.value = words
        self._tint(look)

    def _tint(self, look: str) -> None:
        if look != self._look:  # setting a style sheet is slow in Qt
            self._look = look
            tint(self._status, look)

    def tell(self, kind: str, value: Any, before: str = "") -> None:
        """Say that a job was cancelled, or why it failed; `before` names what earlier jobs of the run have added."""
        if kind == "cancelled":
            words = f"{before} Cancelled: no more was added." if before else "Cancelled: nothing was added."
            self.say(words)
            show_info(words)
            return
        # The window shows a sentence; where the error came from is in the log.
        _LOG.error("the job failed", exc_info=value)
        self.refuse(value)

    def refuse(self, error: BaseException) -> None:
        """Show an error as a notification, and in full in the dock, as napari cuts notifications off."""
        words = sentence(error)
        self.say(words, "bad")
        # Every job meets a missing package again, and one notification about it is enough.
        if not isinstance(error, MissingPackageError):
            show_error(words)
        elif words not in _notified:
            _notified.add(words)
            show_error(words)

    def ask_for(self, missing: str) -> None:
        """Say what the user has to do first."""
        self.say(missing)
        show_warning(missing)
