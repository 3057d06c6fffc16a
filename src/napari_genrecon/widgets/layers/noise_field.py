"""Form field of the noise: measured from the image itself or another layer, a saved report, or a number."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from magicgui.widgets import create_widget

from napari_genrecon.noise import read_noise
from napari_genrecon.widgets.layers.arrays import ArrayField, Names, Other, chosen_file, number

__all__ = ["NoiseField"]

_TOOLTIP = (
    "Which noise is removed: that measured from the image itself, from another layer (of the same microscope and "
    "settings, with empty background), that of a saved report, or a number"
)


class NoiseField(ArrayField):
    """Field to choose where the noise comes from.

    Parameters
    ----------
    names : callable
        Returns the names of the layers that it can be measured from.
    """

    def __init__(self, names: Names) -> None:
        others = (Other.OWN, Other.NUMBER, Other.REPORT)
        super().__init__("noise", "noise", _TOOLTIP, names, others, kind="noise")
        self._level = number(
            "noise_level",
            "s.d.",
            1.0,
            (1e-4, 1e9, 1.0),
            "Standard deviation of the noise, in grey values of the image",
            decimals=4,
        )
        self._file = create_widget(
            "",
            name="noise_file",
            label="report",
            widget_type="FileEdit",
            options={
                "filter": "JSON (*.json)",
                "tooltip": "Written by 'genrecon noise --json', or the record of a result (NAME.genrecon.json)",
            },
        )
        self.show_below({Other.NUMBER: [self._level], Other.REPORT: [self._file]})

    def _words(self, name: str) -> str:
        return f"of '{name}'"

    def source(self) -> Any:
        """Return the name of a layer, a number, a path, or None for the image itself.

        Raises
        ------
        OptionError
            If no report is chosen, or there is no such file.
        """
        chosen = self.chooser.value
        if chosen == Other.NUMBER:
            return float(self._level.value)
        # A layer, or the image itself, for which the source is None.
        return chosen_file("noise report", self._file.value) if chosen == Other.REPORT else super().source()

    def value(self, pixels_of: Callable[[str], Any]) -> Any:
        """Return the noise: models, a number or None; `pixels_of` returns the noise of a layer from its name."""
        source = self.source()
        return read_noise(source) if isinstance(source, Path) else super().value(pixels_of)
