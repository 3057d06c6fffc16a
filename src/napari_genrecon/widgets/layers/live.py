"""Compute live results plane by plane without making the window wait.

napari asks a layer for the plane on screen in the thread of the window. A plane that takes seconds would stop the
window for as long. Here it is empty at first, and is filled in as its tiles are computed in another thread.
"""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
from napari.utils.notifications import show_error
from numpy.typing import NDArray
from qtpy.QtCore import QTimer

from napari_genrecon.arrays import ImageArray
from napari_genrecon.engine.lazy import computed
from napari_genrecon.engine.run import Progress
from napari_genrecon.widgets.jobs.activity import Activity
from napari_genrecon.widgets.jobs.torch_import import as_sentence
from napari_genrecon.widgets.jobs.worker import Job
from napari_genrecon.widgets.words import sentence

if TYPE_CHECKING:
    from napari import Viewer

__all__ = ["LiveArray", "live"]

_KEPT = 512 << 20  # bytes of planes kept for scrolling back: 30 of 2048 x 2048 pixels, without filling a small memory
_EVERY = 300  # milliseconds after which the message in the status bar is repeated: napari writes into it, too


class LiveArray(da.Array):  # type: ignore[misc]  # dask is not followed by mypy
    """Lazy result that gives napari's display the pixels computed so far, and everybody else the dask array.

    Writers, tasks, ``np.asarray`` and scripts get true pixels and wait for them. Arrays derived from it are plain dask
    arrays.
    """

    planes: Planes | None = None

    def __getitem__(self, index: Any) -> Any:
        """Return a part: pixels if the display asks for it, else a dask array."""
        part = super().__getitem__(index)
        return part if self.planes is None or not _for_display(sys._getframe(1)) else self.planes.of(part)


def _for_display(caller: Any) -> bool:
    """Return whether napari's display reads an array, in the thread of the window.

    napari has no public hook between the pixels of a layer and its display. If its modules get other names, this is
    never true, and the window waits for true pixels.
    """
    module = str(caller.f_globals.get("__name__", ""))
    drawing = module.startswith("napari.layers.") and module.endswith("._slice")
    return drawing and threading.current_thread() is threading.main_thread()


def live(viewer: Viewer, data: ImageArray, name: str) -> Any:
    """Return the pixels for a layer of this name: a lazy result as a `LiveArray`, others as they are."""
    if not isinstance(data, da.Array) or getattr(viewer, "window", None) is None:
        return data
    found = LiveArray(data.dask, data.name, data.chunks, dtype=data.dtype)
    found.planes = Planes(viewer, found, name)
    return found


class Planes:
    """Compute the plane of an array that is on screen, and keep the latest ones.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer that shows them.
    array : LiveArray
        Array of the planes.
    name : str
        Name of the layer that the array will be given to.
    """

    def __init__(self, viewer: Viewer, array: LiveArray, name: str) -> None:
        self._viewer, self._array, self._given_name = viewer, array, name
        self._kept: OrderedDict[str, _Plane] = OrderedDict()
        self._wanted: _Plane | None = None  # the one on screen
        self._job: Job | None = None
        self._activity: Activity | None = None
        self._refreshing = False
        self._saying = QTimer()
        self._saying.timeout.connect(lambda: self._say("is being computed"))
        viewer.layers.events.inserted.connect(self._inserted)
        viewer.layers.events.removed.connect(self._removed)

    def of(self, part: Any) -> NDArray[Any]:
        """Return the pixels of a part as far as they are computed, and start computing the rest."""
        # dask gives equal parts equal names. What was asked for last goes to the end, and the first ones are dropped.
        plane = self._kept.pop(part.name, None) or _Plane(part)
        self._kept[part.name] = plane
        # The plane on screen stays, however large it is.
        while len(self._kept) > 1 and sum(kept.pixels.nbytes for kept in self._kept.values()) > _KEPT:
            self._kept.popitem(last=False)
        if not self._refreshing:  # a refresh asks for what was just computed, or for a plane that was left meanwhile
            self._want(plane)
        # A copy, as the thread goes on writing into a plane that is not complete.
        return plane.pixels.copy() if plane.missing else plane.pixels

    def _want(self, plane: _Plane) -> None:
        self._wanted = plane
        if plane.missing and not self._saying.isActive():
            self._saying.start(_EVERY)
        # A job that runs turns to the new plane by itself, see `_steps`.
        if plane.missing and self._job is None:
            self._start()

    def _start(self) -> None:
        self._activity = Activity(f"Plane of '{self._name}'", self._leave)
        self._job = Job(self._steps, self._progressed, self._ended)
        self._job.start()

    def _steps(self) -> Generator[Progress, None, None]:
        """Compute the plane on screen tile by tile. A plane that has left the screen is not computed further."""
        while (plane := self._wanted) is not None and plane.missing:
            plane.compute_next()
            yield Progress(0, 0)

    def _progressed(self, _progress: Progress) -> None:
        self._refreshing = True
        for layer in self._layers():
            layer.refresh(extent=False, highlight=False)
        self._refreshing = False

    def _ended(self, kind: str, value: object) -> None:
        self._job, plane = None, self._wanted
        if self._activity is not None:
            self._activity.close()
        if kind == "error":
            self._leave()
            words = sentence(as_sentence(value))
            self._say(f"cannot be computed: {words}")
            show_error(words)
        elif plane is not None and plane.missing:  # another one has come on screen at the last moment
            self._start()
        elif plane is not None:
            self._saying.stop()
            self._say("is complete")

    def _inserted(self, event: Any) -> None:
        if event.value.data is self._array:
            event.value.events.visible.connect(self._hidden)

    def _hidden(self, _event: object) -> None:
        if not any(layer.visible for layer in self._layers()):
            self._leave()

    def _removed(self, _event: object) -> None:
        if not self._layers():
            self._leave()

    def _leave(self) -> None:
        """Compute nothing more until napari asks for a plane again."""
        self._wanted = None
        self._saying.stop()

    @property
    def _name(self) -> str:
        return next((layer.name for layer in self._layers()), self._given_name)

    def _layers(self) -> list[Any]:
        return [layer for layer in self._viewer.layers if layer.data is self._array]

    def _say(self, words: str) -> None:
        self._viewer.status = f"The plane of '{self._name}' on screen {words}."


class _Plane:
    """Part of an array: its pixels so far, and the tiles that are missing."""

    def __init__(self, part: Any) -> None:
        self._part = part
        # NaN stands for what is missing; whole numbers have no such value.
        self.pixels = np.full(part.shape, np.nan if part.dtype.kind == "f" else 0, part.dtype)
        self._places = dict(zip(np.ndindex(part.numblocks), da.core.slices_from_chunks(part.chunks), strict=True))
        self.missing = list(self._places)

    def compute_next(self) -> None:
        """Compute one more tile."""
        index = self.missing[0]
        self.pixels[self._places[index]] = computed(self._part.blocks[index])
        # After the pixels are there, and as a new list: the thread of the window looks at it at any time.
        self.missing = self.missing[1:]
