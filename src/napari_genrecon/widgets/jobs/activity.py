"""Show running jobs in napari's activity panel, each with its progress and a Cancel button."""

from __future__ import annotations

import io
from collections.abc import Callable

from napari.utils import cancelable_progress
from qtpy.QtCore import QTimer

from napari_genrecon.engine.run import Progress

__all__ = ["Activity"]

_EVERY = 250  # milliseconds between two updates; jobs that end sooner do not flash up in the panel


class Activity:
    """Entry of one job in the panel.

    napari handles all events of the window whenever it draws an entry, also those of other jobs and further updates of
    this one. So a timer draws it, not the update itself.

    Parameters
    ----------
    title : str
        Title: the task and its image.
    cancel : callable
        Called when its Cancel button is pressed.
    """

    def __init__(self, title: str, cancel: Callable[[], object]) -> None:
        self._title, self._cancel = title, cancel
        self._entry: _Entry | None = None
        self._drawing = self._closed = False
        self._words, self._percent = "", 0
        self._timer = QTimer()
        self._timer.timeout.connect(self._draw)
        self._timer.start(_EVERY)

    def update(self, progress: Progress, left: str) -> None:
        """Store the progress that is drawn next.

        Parameters
        ----------
        progress : Progress
            Progress of the job.
        left : str
            Time that it still takes, in words.
        """
        self._percent, self._words = round(100 * progress.fraction), left

    def close(self) -> None:
        """Remove the entry."""
        self._closed = True
        self._timer.stop()
        # An entry that is being drawn must stay until that is done; `_draw` closes it then.
        if self._entry is not None and not self._drawing:
            self._entry.close()
            self._entry = None

    def _draw(self) -> None:
        # napari handles events while it draws an entry, and with them the next turns of this timer.
        if self._drawing:
            return
        self._drawing = True
        try:
            if self._entry is None:
                self._entry = _Entry(self._title, self._cancel)
            else:
                self._entry.show(self._title, self._words, self._percent)
        finally:
            self._drawing = False
        # The job has ended in an event that was handled while it was drawn.
        if self._closed:
            self.close()


class _Entry(cancelable_progress):  # type: ignore[misc]  # napari is not followed by mypy
    """Progress bar of napari whose Cancel button works although nothing iterates over it."""

    def __init__(self, title: str, cancel: Callable[[], object]) -> None:
        self._ask = cancel
        # tqdm, on which it is based, would also draw into a terminal, which programs with windows may lack.
        # napari shows what stands behind its last "|" as the time that is left: nothing, as the description says it.
        super().__init__(total=0, desc=title, file=io.StringIO(), bar_format="|")

    def cancel(self) -> None:
        """Ask the job to stop."""
        super().cancel()
        self._ask()

    def show(self, title: str, words: str, percent: int) -> None:
        """Draw the progress; at 0 % the bar moves to and fro."""
        self.total = 100 if percent else 0
        # tqdm counts by differences.
        self.update(percent - self.n)
        self.set_description(f"{title}, {words}" if words else title)
