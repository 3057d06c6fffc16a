"""Keep a window from waiting for threads that load libraries and compute."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

__all__ = ["short_turns", "uncollected"]

_TURN = 0.0001  # seconds; a window asks for Python's lock 300 times to draw, and would wait for a second with 0.005


class _Shared:
    """State of the process that begins when the first thread wants it, and ends when the last one has left."""

    def __init__(self, begin: Callable[[], Any], end: Callable[[Any], object]) -> None:
        self._begin, self._end = begin, end
        self._lock, self._inside, self._before = threading.Lock(), 0, None

    @contextmanager
    def within(self) -> Iterator[None]:
        """Be inside."""
        # Threads overlap in any order: the first in and the last out change the state of the process.
        with self._lock:
            if not self._inside:
                self._before = self._begin()
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if not self._inside:
                    self._end(self._before)


def _stop_collecting() -> bool:
    # Whether to enable it in the end: a program may have switched it off for itself.
    collects = gc.isenabled()
    gc.disable()
    return collects


def _collect_again(collected: bool) -> None:
    # If others have frozen objects, these are to stay frozen, and `unfreeze` would free all.
    if not gc.get_freeze_count():
        gc.freeze()
        gc.unfreeze()  # all that was frozen is of the oldest generation then
    if collected:
        gc.enable()


def _shorten() -> float:
    turn = sys.getswitchinterval()
    # Never longer than before: another program may have chosen shorter turns.
    sys.setswitchinterval(min(turn, _TURN))
    return turn


_uncollected, _short_turns = _Shared(_stop_collecting, _collect_again), _Shared(_shorten, sys.setswitchinterval)


def uncollected() -> AbstractContextManager[None]:
    """Collect no garbage within, and count what was made there as old.

    Python looks at all objects whenever their number has grown by a quarter, which takes 0.2 to 0.3 s in napari.
    Importing a library and making a page grow it by objects that nearly all stay. Those count as old at once, which
    takes no time; later collections, which come as they would have, look at them, too.
    """
    return _uncollected.within()


def short_turns() -> AbstractContextManager[None]:
    """Let a thread that waits for Python's lock have it soon."""
    return _short_turns.within()
