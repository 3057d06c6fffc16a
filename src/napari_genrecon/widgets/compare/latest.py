"""Run what the view asks for, at once or in a thread, and drop what was asked before."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from napari_genrecon.engine.run import Progress
from napari_genrecon.errors import GenReconError
from napari_genrecon.widgets.jobs.worker import Job

__all__ = ["Latest"]

Make = Callable[[], Any]


class Latest:
    """One request at a time; while one runs, only the last of those that follow is kept.

    Parameters
    ----------
    take : callable
        Called in the main thread with what was made.
    refuse : callable
        Called with an error.
    """

    def __init__(self, take: Callable[[Any], object], refuse: Callable[[BaseException], object]) -> None:
        self._take, self._refuse = take, refuse
        self._job: Job | None = None
        self._next: Make | None = None

    @property
    def busy(self) -> bool:
        """Whether something is being made in a thread."""
        return self._job is not None

    def ask(self, make: Make, *, slow: bool) -> None:
        """Make something, in a thread if that is `slow`."""
        if self._job is not None:
            # The running job cannot be stopped half-way; `_done` drops what it made and makes this instead.
            self._next = make
        elif slow:
            self._job = Job(lambda: _steps(make), lambda _: None, self._done)
            self._job.start()
        else:
            self._at_once(make)

    def drop(self) -> None:
        """Forget all requests."""
        self._next = None
        if self._job is not None:
            self._job.abandon()
            self._job = None

    def _at_once(self, make: Make) -> None:
        try:
            made = make()
        # Other errors are bugs of ours: napari shows them with their traceback.
        except GenReconError as error:
            self._refuse(error)
        else:
            self._take(made)

    def _done(self, kind: str, value: Any) -> None:
        # Emptied first, as `ask` and the callbacks may start the next job.
        self._job, following, self._next = None, self._next, None
        # What was made is outdated, and so is an error of it: neither is shown.
        if following is not None:
            self.ask(following, slow=True)
        elif kind == "ok":
            self._take(value)
        elif kind == "error":
            self._refuse(value)


def _steps(make: Make) -> Generator[Progress, None, Any]:
    # A job drives a generator of steps; here there is a single one.
    yield Progress(0, 0)
    return make()
