"""napari's readers and writers: those of `io.layers`, with what only a window has: messages and Preferences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from napari_genrecon.io import layers
from napari_genrecon.io.check import origin_text
from napari_genrecon.io.layers import LayerData
from napari_genrecon.io.saving import Saving
from napari_genrecon.widgets._preferences import preferences

__all__ = ["chosen_saving", "get_reader", "write_tiff", "write_zarr"]

_MOST_SENTENCES = 2  # more files at once are told in one sentence
_REST = 700  # milliseconds without another file, after which what was opened is told

_told: list[tuple[str, dict[str, Any]]] = []  # names and records of what was opened
_timers: list[Any] = []  # the one that waits for the end of a batch


def get_reader(path: str | Sequence[str]) -> Callable[[str], list[LayerData]] | None:
    """npe2 reader: that of `io.layers`, which also says what was done to an image that is a result."""
    return None if layers.get_reader(path) is None else _read


def _read(path: str) -> list[LayerData]:
    found = layers.read_layers(path)
    record = found[0][1].get("metadata", {}).get("genrecon")
    if isinstance(record, dict):
        _tell_later(str(_name(found[0][1])), record)
    return found


def _name(keywords: dict[str, Any]) -> Any:
    name = keywords.get("name", "image")
    return name[0] if isinstance(name, list) else name


def _tell_later(name: str, record: dict[str, Any]) -> None:
    """When all files that are opened together are there: many of them get one message."""
    from qtpy.QtCore import QTimer
    from qtpy.QtWidgets import QApplication

    if QApplication.instance() is None:  # a script
        return
    if not _timers:
        _timers.append(QTimer(QApplication.instance()))
        _timers[0].setSingleShot(True)
        _timers[0].timeout.connect(_tell)
    _told.append((name, record))
    _timers[0].start(_REST)  # anew with every file


def _tell() -> None:
    from napari.utils.notifications import show_info

    told = list(_told)
    _told.clear()
    if len(told) <= _MOST_SENTENCES:
        for name, record in told:
            show_info(origin_text(name, record))
        return
    natures = Counter(str(record.get("nature")) for _, record in told)
    kinds = ", ".join(f"{count} {nature}" for nature, count in natures.items())
    show_info(f"{len(told)} of the opened images are not raw data but results of napari-genrecon: {kinds}.")


def chosen_saving() -> Saving:
    """How Preferences say that files are written; nothing is ever replaced from the window."""
    return Saving(**preferences("genrecon_files"))


def write_tiff(path: str, data: list[LayerData]) -> list[str]:
    """npe2 writer: see `io.layers.write_tiff_layers`."""
    return layers.write_tiff_layers(path, data, saving=chosen_saving())


def write_zarr(path: str, data: list[LayerData]) -> list[str]:
    """npe2 writer: see `io.layers.write_zarr_layers`."""
    return layers.write_zarr_layers(path, data, saving=chosen_saving())
