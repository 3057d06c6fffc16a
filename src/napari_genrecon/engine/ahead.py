"""Compute some tiles ahead in threads, so that the CPU prepares the next ones while a GPU works on one."""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import CancelledError, ThreadPoolExecutor, wait
from contextlib import closing
from functools import partial
from threading import Event
from types import TracebackType
from typing import Any, Self, TypeVar

__all__ = ["Ahead"]

S = TypeVar("S")
T = TypeVar("T")

_LOOK = 0.1  # seconds between two looks at a thread: how long a cancelled run waits at most before it is asked to stop


class Ahead:
    """Threads that work on the steps of tiles; closing it stops all of them at their next step.

    Parameters
    ----------
    most : int
        Tiles that are worked on at once. One starts no thread: its steps are taken when they are asked for.
    """

    def __init__(self, most: int) -> None:
        self._pool = ThreadPoolExecutor(most) if most > 1 else None
        self._closed = Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Before the pool is shut down: shutting down waits for the tiles that have begun.
        self._closed.set()
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def start(self, steps: Generator[Any, None, T]) -> Callable[[Callable[[int], S]], Generator[S, None, T]]:
        """Begin with the steps of a tile.

        Returns
        -------
        callable
            ``follow(tell)``: yields ``tell(n)`` for the number of steps taken, and returns what the steps return.
        """
        if self._pool is None:
            return partial(_take, steps)
        # A list, so that the thread and the generator share one count.
        taken = [0]
        future = self._pool.submit(self._work, steps, taken)

        def follow(tell: Callable[[int], S]) -> Generator[S, None, T]:
            # The thread works on by itself; these steps only tell how far it is, so that the run can be cancelled.
            while wait([future], _LOOK).not_done:
                yield tell(taken[0])
            return future.result()

        return follow

    def _work(self, steps: Generator[Any, None, T], taken: list[int]) -> T:
        """Take all steps, and count them."""
        with closing(steps):
            while not self._closed.is_set():
                try:
                    next(steps)
                except StopIteration as stop:
                    # What the steps yield is dropped: only their number and their return value leave the thread.
                    result: T = stop.value
                    return result
                taken[0] += 1
        # Nobody waits for this result any more: the run was closed.
        raise CancelledError


def _take(steps: Generator[Any, None, T], tell: Callable[[int], S]) -> Generator[S, None, T]:
    taken = 0
    with closing(steps):
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                result: T = stop.value
                return result
            taken += 1
            yield tell(taken)
