"""One job at a time in a thread: steps in, one outcome out.

The generator is driven and closed in the worker thread, and errors come back as values: the worker classes of Qt
libraries swallow RuntimeError, which nearly every error of torch is, and would leave the buttons dead.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from typing import Any

from napari.qt.threading import create_worker

from napari_genrecon.engine.run import Progress

__all__ = ["Job"]

Steps = Generator[Progress, None, Any]


class Job:
    """A running job.

    Parameters
    ----------
    make_steps : callable
        Returns the steps; called in the worker thread.
    on_progress : callable
        Called in the main thread with every `Progress`.
    on_done : callable
        Called once in the main thread with ("ok", result), ("error", exception) or ("cancelled", None).
    """

    def __init__(
        self,
        make_steps: Callable[[], Steps],
        on_progress: Callable[[Progress], object],
        on_done: Callable[[str, Any], object],
    ) -> None:
        self._cancelled = threading.Event()
        self._worker = create_worker(self._drive, make_steps, _start_thread=False, _progress=False, _ignore_errors=True)
        self._abandoned = False
        self._worker.yielded.connect(lambda progress: self._abandoned or on_progress(progress))
        self._worker.returned.connect(lambda outcome: self._abandoned or on_done(*outcome))

    def start(self) -> None:
        """Begin."""
        self._worker.start()

    @property
    def running(self) -> bool:
        """Whether the worker thread is still at it."""
        return bool(self._worker.is_running)

    def cancel(self) -> None:
        """Stop before the next step."""
        self._cancelled.set()

    def abandon(self) -> None:
        """Stop before the next step and tell nobody: those who listened are gone."""
        self._abandoned = True
        self.cancel()

    def _drive(self, make_steps: Callable[[], Steps]) -> Generator[Progress, None, tuple[str, Any]]:
        steps: Steps | None = None
        try:
            steps = make_steps()
            while not self._cancelled.is_set():
                try:
                    progress = next(steps)
                except StopIteration as stop:
                    return "ok", stop.value
                yield progress
            return "cancelled", None
        except Exception as error:
            return "error", error
        finally:
            if steps is not None:
                steps.close()
