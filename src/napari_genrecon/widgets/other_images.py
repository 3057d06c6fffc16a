"""Dialog that lists the other images of a file, to open them in the window."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QDialogButtonBox,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_genrecon.errors import GenReconError
from napari_genrecon.io.image_file import ImageFile
from napari_genrecon.io.layers import read_layers

__all__ = ["OtherImages", "offer_others"]

_PATH, _INDEX = Qt.ItemDataRole.UserRole, Qt.ItemDataRole.UserRole + 1


def offer_others(image: ImageFile) -> None:
    """List the images of this file that were not opened. Files that are opened together share one dialog."""
    dialog = OtherImages.shown or OtherImages(_window())
    dialog.add(image)
    dialog.show()


def _window() -> QWidget | None:
    import napari

    viewer = napari.current_viewer()
    return viewer.window._qt_window if viewer is not None else None


class OtherImages(QDialog):  # type: ignore[misc]
    """Dialog of the images that can be opened; the window stays usable meanwhile."""

    shown: ClassVar[OtherImages | None] = None

    def __init__(self, parent: QWidget | None) -> None:
        super().__init__(parent)
        self.setWindowTitle("More images in this file")
        # Qt deletes the dialog then; Python's reference to it is dropped in `_forget`, as using it would be an error.
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.text = QLabel("Only the first image was opened. Choose others:")
        self.images = QListWidget()
        self.images.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.images.itemDoubleClicked.connect(lambda _item: self.open_chosen())
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Open | QDialogButtonBox.StandardButton.Close)
        buttons.accepted.connect(self.open_chosen)
        buttons.rejected.connect(self.close)
        layout = QVBoxLayout(self)
        for widget in (self.text, self.images, buttons):
            layout.addWidget(widget)
        OtherImages.shown = self
        self.finished.connect(self._forget)

    def add(self, image: ImageFile) -> None:
        """List all images of a file but the one that was opened."""
        for index, one in enumerate(image.series):
            if index != image.chosen:
                item = QListWidgetItem(f"{image.path.name}  {index}: {one}")
                # As text, which Qt gives back as it was.
                item.setData(_PATH, str(image.path))
                item.setData(_INDEX, index)
                self.images.addItem(item)

    def open_chosen(self) -> None:
        """Add the chosen images to the viewer. A damaged one is reported, and the rest are opened."""
        from napari import current_viewer
        from napari.utils.notifications import show_error

        viewer = current_viewer()
        for item in self.images.selectedItems():
            try:
                found = read_layers(Path(item.data(_PATH)), series=item.data(_INDEX))
            except GenReconError as error:
                show_error(str(error))
                continue
            for data, keywords, _ in found if viewer is not None else []:
                viewer.add_image(data, **keywords)
            # What is open is offered no more; `selectedItems` returned a list of its own.
            self.images.takeItem(self.images.row(item))
        if not self.images.count():
            self.close()

    def closeEvent(self, event: object) -> None:
        """Forget this dialog: the next file gets a new one."""
        self._forget()
        super().closeEvent(event)

    def _forget(self, _result: int = 0) -> None:
        if OtherImages.shown is self:
            OtherImages.shown = None
