"""Readers and writers for napari: those of `io.layers` with messages and the Preferences of the window."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from napari_genrecon.errors import GenReconWarning
from napari_genrecon.io import layers
from napari_genrecon.io.layers import LayerData
from napari_genrecon.io.reader import open_image
from napari_genrecon.io.record.check import origin_text
from napari_genrecon.io.saving import Saving
from napari_genrecon.widgets.preferences import preferences
from napari_genrecon.widgets.right_click import add_right_click

__all__ = ["chosen_saving", "get_reader", "write_tiff", "write_zarr"]

_MOST_SENTENCES = 2  # files opened together that get a message each; more get one that counts them
# Seconds from opening a file to its message, so that files of one batch share it, and at least between two messages, so
# that one can be read before the next.
_FIRST, _NEXT = 0.7, 6.0


class _Waiting:
    """Results that were opened and not reported yet; shared, as there is one window."""

    opened: ClassVar[list[tuple[str, dict[str, Any]]]] = []  # names and records
    timer: ClassVar[Any] = None
    last: ClassVar[float] = -_NEXT  # when the last message came


def get_reader(path: str | Sequence[str]) -> Callable[[str], list[LayerData]] | None:
    """Return the npe2 reader: that of `io.layers`, with a message when a file is a result of this plugin."""
    return None if layers.get_reader(path) is None else _read


def _read(path: str) -> list[LayerData]:
    from qtpy.QtWidgets import QApplication

    if QApplication.instance() is None:  # a script
        return layers.read_layers(path)
    add_right_click()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GenReconWarning)  # a list of the other images says so
        image = open_image(path)
    found = layers.layers_of(image)
    if image.series:
        from napari_genrecon.widgets.other_images import offer_others

        offer_others(image)
    for _, keywords, _ in found:
        record = keywords.get("metadata", {}).get("genrecon")
        if isinstance(record, dict):
            _report_later(str(_name(keywords)), record)
    return found


def _name(keywords: dict[str, Any]) -> Any:
    name = keywords.get("name", "image")
    return name[0] if isinstance(name, list) else name


def _report_later(name: str, record: dict[str, Any]) -> None:
    """Report a result soon; results that are opened shortly after each other share one message."""
    from qtpy.QtCore import QTimer
    from qtpy.QtWidgets import QApplication

    if QApplication.instance() is None:  # a script
        return
    if _Waiting.timer is None:
        _Waiting.timer = QTimer(QApplication.instance())
        _Waiting.timer.setSingleShot(True)
        _Waiting.timer.timeout.connect(_report)
    _Waiting.opened.append((name, record))
    if not _Waiting.timer.isActive():
        wait = max(_FIRST, _Waiting.last + _NEXT - time.monotonic())
        _Waiting.timer.start(round(1000 * wait))


def _report() -> None:
    from napari.utils.notifications import show_info

    found, _Waiting.last = list(_Waiting.opened), time.monotonic()
    _Waiting.opened.clear()
    if len(found) <= _MOST_SENTENCES:
        for name, record in found:
            show_info(origin_text(name, record))
        return
    natures = Counter(str(record.get("nature")) for _, record in found)
    kinds = ", ".join(f"{count} {nature}" for nature, count in natures.items())
    show_info(f"{len(found)} of the opened images are not raw data but results of napari-genrecon: {kinds}.")


def chosen_saving() -> Saving:
    """Return how files are written according to Preferences; the window never replaces a file."""
    return Saving(**preferences("genrecon_files"))


def write_tiff(path: str, data: list[LayerData]) -> list[str]:
    """Write layers as OME-TIFF for npe2, see `io.layers.write_tiff_layers`."""
    return layers.write_tiff_layers(path, data, saving=chosen_saving())


def write_zarr(path: str, data: list[LayerData]) -> list[str]:
    """Write layers as OME-Zarr for npe2, see `io.layers.write_zarr_layers`."""
    return layers.write_zarr_layers(path, data, saving=chosen_saving())
