"""The life of a job in a task widget: one at a time, its progress, its end, and what is said when it fails."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from magicgui.widgets import ProgressBar, PushButton, TextEdit
from napari.utils.notifications import show_error, show_info, show_warning

from napari_genrecon.engine.run import Progress
from napari_genrecon.widgets.jobs.worker import Job, Steps
from napari_genrecon.widgets.words import TimeLeft, sentence

__all__ = ["JobLife"]

_LOG = logging.getLogger(__name__)


class JobLife:
    """Runs one job at a time; the buttons that would start another one wait meanwhile.

    Parameters
    ----------
    buttons : sequence of PushButton
        Disabled while a job runs.
    cancel : PushButton
        Enabled while a job runs that somebody waits for.
    bar : ProgressBar
        Shown while such a job runs.
    status : TextEdit
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
        status: TextEdit,
        on_progress: Callable[[], object],
        after: Callable[[], object],
    ) -> None:
        self.job: Job | None = None
        self._quiet = False
        self._buttons, self._cancel, self._bar, self._status = buttons, cancel, bar, status
        self._on_progress, self._after = on_progress, after
        cancel.changed.connect(self._ask)

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
            What is worked on, where that is not clear.
        """
        left, self._quiet = TimeLeft(), quiet

        def done(kind: str, value: Any) -> None:
            self.finish()
            if kind == "ok":
                on_ok(value)
            else:
                (on_fail or self.tell)(kind, value)

        self.job = Job(steps, lambda progress: None if quiet else self._show(progress, left, title), done)
        for button in self._buttons:
            button.enabled = False
        self._cancel.enabled = self._bar.visible = not quiet
        self._bar.max = 0
        self.job.start()

    def finish(self) -> None:
        """The job has ended: everything is as before."""
        self.job = None
        self._bar.visible = self._cancel.enabled = False
        for button in self._buttons:
            button.enabled = True
        self._after()

    def abandon(self) -> None:
        """The window is gone: what still runs must not touch it."""
        if self.job is not None:
            self.job.abandon()

    def _show(self, progress: Progress, left: TimeLeft, title: str) -> None:
        if not self._cancel.enabled:  # that it ends is what counts
            return
        self._bar.max = 100 if progress.total else 0
        self._bar.value = round(100 * progress.fraction)
        said = (title, progress.note, left.of(progress, time.perf_counter()))
        self._status.value = ", ".join(part for part in said if part)
        self._on_progress()

    def _ask(self, _event: Any = None) -> None:
        if self.job is not None:
            self.job.cancel()
            self._cancel.enabled = False
            self._status.value = "Cancelling: it ends after the step that is being computed."

    # What is said -----------------------------------------------------------------------------------------------------

    def tell(self, kind: str, value: Any) -> None:
        """Say how a job ended that has no result."""
        if kind == "cancelled":
            self._status.value = "Cancelled: nothing was added."
            show_info("Cancelled: nothing was added.")
            return
        _LOG.error("the job failed", exc_info=value)
        self.refuse(value)

    def refuse(self, error: BaseException) -> None:
        """Say why not: in full in the dock, where it can be read again, as napari's notifications cut it off."""
        self._status.value = sentence(error)
        show_error(sentence(error))

    def ask_for(self, missing: str) -> None:
        """Say what has to be done first."""
        self._status.value = missing
        show_warning(missing)
