"""A plot for a dock, made when it is shown first: loading pyqtgraph takes a tenth of a second."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QVBoxLayout, QWidget

__all__ = ["Plot", "load_plots"]

_GREY = "#909090"  # of the axes: readable on the dark and the light theme


def load_plots() -> None:
    """Load what plots need, in a thread, so that the window does not wait for it when the first one is shown."""
    import pyqtgraph  # noqa: F401


class Plot(QWidget):  # type: ignore[misc]  # Qt is not followed by mypy
    """Hidden place for a plot that takes no mouse.

    Parameters
    ----------
    height : int
        Height in pixels.
    """

    def __init__(self, height: int) -> None:
        super().__init__()
        self.setFixedHeight(height)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._plot: Any = None
        self.hide()

    @property
    def items(self) -> Any:
        """The plot, to draw on."""
        if self._plot is None:
            import pyqtgraph as pg

            self._plot = pg.PlotWidget(background=None)
            self._plot.setMouseEnabled(x=False, y=False)
            self._plot.hideButtons()
            self._plot.setMenuEnabled(False)
            for side in ("bottom", "left"):
                axis = self._plot.getAxis(side)
                axis.enableAutoSIPrefix(False)
                axis.setPen(_GREY)
                axis.setTextPen(_GREY)
            self.layout().addWidget(self._plot)
        return self._plot
