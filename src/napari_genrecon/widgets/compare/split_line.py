"""Line of a split preview, which can be dragged and stays in its place on the canvas while the camera moves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject, Qt, QTimer, Signal
from qtpy.QtGui import QColor, QMouseEvent, QPainter
from qtpy.QtWidgets import QWidget

if TYPE_CHECKING:
    from napari import Viewer

__all__ = ["SplitLine", "canvas_of"]

_GRIP = 11  # pixels of width that the mouse can grasp; the line itself, 3 pixels wide, is hard to hit
_EDGE = 0.02  # share of the canvas that stays on either side, so that the line cannot be dragged out of sight
_FRAME = 16  # milliseconds between two redraws of few pixels: 60 per second
# Pixels per millisecond that get to the screen: redraws of more pixels come less often, or would queue up.
_PACE = 60_000


def canvas_of(viewer: Viewer) -> QWidget | None:
    """Return the widget that a viewer draws on; None without a window. napari has no public name for it."""
    canvas = getattr(getattr(getattr(viewer, "window", None), "_qt_viewer", None), "canvas", None)
    return getattr(canvas, "native", None)


class SplitLine(QWidget):  # type: ignore[misc]  # Qt is not followed by mypy
    """Vertical line from top to bottom of the canvas.

    Parameters
    ----------
    canvas : QWidget
        Widget that it lies on.
    pixels : int
        Number of pixels that are redrawn when it moves.

    Attributes
    ----------
    share : float
        Position: 0 is the left edge of the canvas, 1 the right one.
    """

    moved = Signal()
    """Emitted when the line has moved over the image, at most once per redraw; see `move_soon`."""

    def __init__(self, canvas: QWidget, pixels: int = 0) -> None:
        super().__init__(canvas)
        self.share = 0.5
        self.setCursor(Qt.CursorShape.SplitHCursor)
        self.setToolTip("Left of the line before, right of it after: drag to compare")
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(max(_FRAME, pixels // _PACE))  # the window stays free between two redraws
        self._soon.timeout.connect(self.moved)
        # The canvas has no layout for this widget, so its size is followed by hand.
        canvas.installEventFilter(self)
        self._place()
        self.show()

    @property
    def offset(self) -> float:
        """Distance to the right of the middle, in pixels of the canvas."""
        return (self.share - 0.5) * float(self.parentWidget().width())

    def drag_to(self, x: float) -> None:
        """Move the line to a pixel of the canvas."""
        self.share = min(max(x / max(self.parentWidget().width(), 1), _EDGE), 1 - _EDGE)
        self._place()
        self.move_soon()

    def move_soon(self, _event: object = None) -> None:
        """Emit `moved` with the next redraw; a camera moves many times between two of them."""
        if not self._soon.isActive():
            self._soon.start()

    def _place(self) -> None:
        canvas = self.parentWidget()
        self.setGeometry(round(self.share * canvas.width()) - _GRIP // 2, 0, _GRIP, canvas.height())
        self.raise_()

    # Qt's names -------------------------------------------------------------------------------------------------------

    def eventFilter(self, _canvas: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Resize:
            self._place()
            self.move_soon()
        return False  # the canvas gets its event, too

    def mousePressEvent(self, event: QMouseEvent) -> None:
        event.accept()  # else the camera would follow

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        self.drag_to(self.mapToParent(event.pos()).x())

    def paintEvent(self, _event: object) -> None:
        painter, middle = QPainter(self), _GRIP // 2
        painter.fillRect(middle - 1, 0, 3, self.height(), QColor(0, 0, 0, 110))
        painter.fillRect(middle, 0, 1, self.height(), QColor(255, 255, 255, 220))
        painter.fillRect(middle - 2, self.height() // 2 - 14, 5, 28, QColor(255, 255, 255, 220))
        painter.end()
