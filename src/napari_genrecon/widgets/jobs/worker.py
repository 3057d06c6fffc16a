"""Run the steps of a job in a thread and report one outcome.

The workers of Qt libraries are not used: they swallow RuntimeError, which nearly every error of torch is, and they
change how Python shows warnings for as long as they run. That is global: two that overlap leave the hook of the dead
one behind, and from then on no warning reaches napari's notifications.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from typing import Any, ClassVar

from qtpy.QtCore import QCoreApplication, QObject, Signal

from napari_genrecon.engine.responsive import short_turns
from napari_genrecon.engine.run import Progress

__all__ = ["Job"]

Steps = Generator[Progress, None, Any]


class Job(QObject):  # type: ignore[misc]
    """Job in a thread of its own.

    Parameters
    ----------
    make_steps : callable
        Returns the steps; called in the worker thread.
    on_progress : callable
        Called in the main thread with every `Progress`.
    on_done : callable
        Called once in the main thread with ("ok", result), ("error", exception) or ("cancelled", None).
    """

    _progressed = Signal(object)
    _ended = Signal(object)
    _running: ClassVar[set[Job]] = set()  # an object of Qt must not be freed by a thread that holds it last

    def __init__(
        self,
        make_steps: Callable[[], Steps],
        on_progress: Callable[[Progress], object],
        on_done: Callable[[str, Any], object],
    ) -> None:
        super().__init__()
        self._on_progress, self._on_done = on_progress, on_done
        self._cancelled = threading.Event()
        self._abandoned = False
        self._thread = threading.Thread(target=self._drive, args=(make_steps,), name="napari-genrecon job")
        # This object belongs to the main thread, so Qt calls its slots there, whichever thread emits.
        self._progressed.connect(self._tell_progress)
        self._ended.connect(self._tell_end)

    def start(self) -> None:
        """Start the thread."""
        application = QCoreApplication.instance()
        if application is not None:
            # The thread has to end before Qt does, as it emits signals of this object.
            application.aboutToQuit.connect(self._quit)
        self._running.add(self)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether the thread is alive."""
        return self._thread.is_alive()

    def cancel(self) -> None:
        """Stop before the next step."""
        self._cancelled.set()

    def abandon(self) -> None:
        """Stop before the next step and report nothing, as the listeners are gone."""
        self._abandoned = True
        self.cancel()

    def _quit(self) -> None:
        self.abandon()
        self._thread.join()

    def _tell_progress(self, progress: Progress) -> None:
        if not self._abandoned:
            self._on_progress(progress)

    def _tell_end(self, outcome: tuple[str, Any]) -> None:
        self._thread.join()  # this was its last act
        self._running.discard(self)
        # Not at once: this is called by a signal of the object itself.
        self.deleteLater()
        if not self._abandoned:
            self._on_done(*outcome)

    def _drive(self, make_steps: Callable[[], Steps]) -> None:
        # So that the window does not wait for Python's lock while this thread computes.
        with short_turns():
            outcome = self._outcome(make_steps)
        self._ended.emit(outcome)

    def _outcome(self, make_steps: Callable[[], Steps]) -> tuple[str, Any]:
        steps: Steps | None = None
        try:
            # Within `try`: options are often checked before the first step.
            steps = make_steps()
            while not self._cancelled.is_set():
                try:
                    # A `for` loop would lose the result, which is the value of StopIteration.
                    progress = next(steps)
                except StopIteration as stop:
                    return "ok", stop.value
                self._progressed.emit(progress)
            return "cancelled", None
        # Every error has to reach the window: in a thread nobody else would show it.
        except Exception as error:
            return "error", error
        finally:
            if steps is not None:
                # Steps that were cancelled free here, in their own thread, what they hold.
                steps.close()
