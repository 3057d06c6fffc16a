"""The jobs of a page: one at a time, its progress, a way to cancel it, its end, and what is said when it fails."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from magicgui.widgets import ProgressBar, PushButton
from napari.utils.notifications import show_error, show_info, show_warning

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
_notified: set[str] = set()  # what is missing here, and stays so until the program is started again


class JobControls:
    """Runs one job at a time; the buttons that would start another one wait meanwhile.

    A job shows up in the page and in napari's activity panel, and can be cancelled in both. It goes on when the dock
    is closed: pages outlive their docks, see `widgets.dock`.

    Parameters
    ----------
    buttons : sequence of PushButton
        Disabled while a job runs.
    cancel : PushButton
        Enabled while a job runs that somebody waits for.
    bar : ProgressBar
        Shown while such a job runs.
    status : Words
        Where it is said how the job goes.
    on_progress : callable
        Called after every step of such a job.
    after : callable
        Called when a job has ended and the buttons are enabled again.
    """

    def __init__(
        self,
        buttons: Sequence[PushButton],
        cancel: PushButton,
        bar: ProgressBar,
        status: Words,
        on_progress: Callable[[], object] = lambda: None,
        after: Callable[[], object] = lambda: None,
    ) -> None:
        self.job: Job | None = None
        self.cancelled = False  # whether somebody asked the last job to stop, which may have come too late
        self._quiet = False
        self._activity: Activity | None = None
        self._buttons, self._cancel, self._bar, self._status = buttons, cancel, bar, status
        self._on_progress, self._after = on_progress, after
        cancel.changed.connect(self._pressed)
        self._look = ""
        status.native.textChanged.connect(lambda: self._tint(""))  # what is said next is plain again

    @property
    def at_work(self) -> bool:
        """Whether a job runs that somebody waits for."""
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
            Makes them, in the thread of the job.
        on_ok : callable
            Gets the result.
        on_fail : callable, optional
            Gets ("error", exception) or ("cancelled", None). By default that is told.
        quiet : bool
            Nothing is said meanwhile, and there is no way to cancel.
        title : str
            What is done to what.
        """
        left, self._quiet, self.cancelled = TimeLeft(), quiet, False

        def done(kind: str, value: Any) -> None:
            self._finish()
            if kind == "ok":
                on_ok(value)
            else:
                (on_fail or self.tell)(kind, as_sentence(value))

        self.job = Job(steps, lambda progress: None if quiet else self._show(progress, left, title), done)
        for button in self._buttons:
            button.enabled = False
        self._cancel.enabled = self._bar.visible = not quiet
        self._bar.max = 0
        self._activity = None if quiet else Activity(title, self.cancel)
        self.job.start()

    def cancel(self) -> None:
        """Stop what runs before its next step."""
        if self.job is None:
            return
        self.job.cancel()
        self.cancelled = True
        if not self._quiet:
            self._cancel.enabled = False
            self.say(_CANCELLING)

    def abandon(self) -> None:
        """The window is gone: what still runs must not touch it."""
        if self.job is not None:
            self.job.abandon()
        self._end_activity()

    def _finish(self) -> None:
        self.job = None
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
        if not self._cancel.enabled:  # that it ends is what counts
            return
        self._bar.max = 100 if progress.total else 0
        self._bar.value = round(100 * progress.fraction)
        words = left.of(progress, time.perf_counter())
        self.say(", ".join(part for part in (title, progress.note, words) if part))
        if self._activity is not None:
            self._activity.update(progress, words)
        self._on_progress()

    def _pressed(self, _event: Any = None) -> None:
        self.cancel()

    # What is said -----------------------------------------------------------------------------------------------------

    def say(self, words: str, look: str = "") -> None:
        """Show words: plain, ``"good"`` or ``"bad"``."""
        self._status.value = words
        self._tint(look)

    def _tint(self, look: str) -> None:
        if look != self._look:  # Qt takes its time for a style sheet
            self._look = look
            tint(self._status, look)

    def tell(self, kind: str, value: Any) -> None:
        """Say how a job ended that has no result."""
        if kind == "cancelled":
            self.say("Cancelled: nothing was added.")
            show_info("Cancelled: nothing was added.")
            return
        _LOG.error("the job failed", exc_info=value)
        self.refuse(value)

    def refuse(self, error: BaseException) -> None:
        """Say why not: in full in the dock, where it can be read again, as napari's notifications cut it off."""
        words = sentence(error)
        self.say(words, "bad")
        if not isinstance(error, MissingPackageError):
            show_error(words)
        elif words not in _notified:
            _notified.add(words)
            show_error(words)

    def ask_for(self, missing: str) -> None:
        """Say what has to be done first."""
        self.say(missing)
        show_warning(missing)
