"""Form fields of options that are arrays: a choice of layers, and other sources of a point spread function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, get_args

from magicgui.widgets import create_widget
from magicgui.widgets.bases import ValueWidget

from napari_genrecon.errors import OptionError
from napari_genrecon.io.reader import open_image
from napari_genrecon.optics import Optics
from napari_genrecon.optics.psf import Kind
from napari_genrecon.tasks.pixel_size import measured_psf

__all__ = ["ArrayField", "Names", "Other", "PsfField", "chosen_file", "number"]

Names = Callable[[Any], Sequence[str]]
"""Returns the names of the layers that can be chosen."""


class Other(Enum):
    """What can be chosen beside a layer. No strings, as a layer may have any name."""

    NONE = "none"
    FILE = "from a file"
    GAUSSIAN = "Gaussian of this width"
    OPTICS = "computed from optics"
    OWN = "of this image"
    NUMBER = "a number"
    REPORT = "a saved report"


class ArrayField:
    """Field to choose a layer.

    Parameters
    ----------
    name, label : str
        Name and label of the option.
    tooltip : str
        Explanation of the option.
    names : callable
        Returns the names of the layers.
    others : sequence of Other
        Further choices; the first is the default.
    kind : str
        Kind of array, see `tasks.files.array_options`.
    """

    def __init__(
        self,
        name: str,
        label: str,
        tooltip: str,
        names: Names,
        others: Sequence[Other] = (Other.NONE,),
        *,
        kind: str = "mask",
    ) -> None:
        self.kind = kind
        self._others, self._names = tuple(others), names
        # A function, so that magicgui asks for the layers again whenever the choices are reset.
        options = {"choices": self._choices, "tooltip": tooltip}
        self.chooser = create_widget(others[0], name=name, label=label, widget_type="ComboBox", options=options)
        self.widgets: list[ValueWidget] = [self.chooser]
        self._shown: dict[Any, list[ValueWidget]] = {}  # further widgets, by the choice that they belong to
        if Other.FILE in self._others:
            options = {"tooltip": "An image in any format that can be opened, such as TIFF or OME-Zarr"}
            self._file = create_widget(
                "", name=f"{name}_file", label=f"{label} file", widget_type="FileEdit", options=options
            )
            self.show_below({Other.FILE: [self._file]})

    def _choices(self, widget: Any) -> list[tuple[str, Any]]:
        """Return what is shown and its value, for a layer its name."""
        others = [(other.value, other) for other in self._others]
        return [*others, *((self._words(name), name) for name in self._names(widget))]

    def _words(self, name: str) -> str:
        """Return how a layer is shown: Qt would take two choices of the same text for one."""
        return f"'{name}'" if name in [other.value for other in self._others] else name

    def show_below(self, widgets: dict[Any, list[ValueWidget]]) -> None:
        """Show further widgets below the chooser while something is chosen."""
        self._shown |= widgets
        self.widgets += [widget for group in widgets.values() for widget in group]
        self.chooser.changed.connect(self._show)
        self._show(self.chooser.value)

    def source(self) -> Any:
        """Return the name of the chosen layer, a path, or None. Other kinds of field have other sources.

        Raises
        ------
        OptionError
            If there is no such file.
        """
        chosen = self.chooser.value
        if chosen == Other.FILE:
            return chosen_file(self.chooser.label, self._file.value)
        # What the further choices mean is read by the kinds of field that have them.
        return chosen if isinstance(chosen, str) else None

    def value(self, pixels_of: Callable[[str], Any]) -> Any:
        """Return the value of the option; `pixels_of` returns the pixels of a layer from its name."""
        source = self.source()
        return pixels_of(source) if isinstance(source, str) else source

    def _show(self, chosen: Any) -> None:
        for choice, widgets in self._shown.items():
            for widget in widgets:
                widget.visible = choice == chosen


class PsfField(ArrayField):
    """Field for a point spread function: a layer, a Gaussian, computed from optics, or a file."""

    def __init__(self, name: str, label: str, tooltip: str, names: Names) -> None:
        super().__init__(name, label, tooltip, names, others=(Other.GAUSSIAN, Other.OPTICS, Other.FILE), kind="psf")
        self._width = number(
            f"{name}_width",
            "width (px)",
            3.0,
            (0.5, 100.0, 0.1),
            "Full width at half maximum of the blur: more removes more of it; more than there is makes rings",
        )
        self._optics = {widget.name.removeprefix(f"{name}_"): widget for widget in _optics_widgets(name)}
        self.show_below({Other.GAUSSIAN: [self._width], Other.OPTICS: list(self._optics.values())})
        self._optics["kind"].changed.connect(self._show_confocal)

    def source(self) -> Any:
        """Return the name of a layer, the width of a Gaussian in pixels, `Optics` or a path.

        Raises
        ------
        OptionError
            If the optics are impossible, or there is no such file.
        """
        chosen = self.chooser.value
        if chosen == Other.OPTICS:
            return self._given_optics()
        # What is left is a layer or a file.
        return float(self._width.value) if chosen == Other.GAUSSIAN else super().source()

    def value(self, pixels_of: Callable[[str], Any]) -> Any:
        """Return the value of the option, see `ArrayField`."""
        source = self.source()
        if not isinstance(source, Path):
            return super().value(pixels_of)
        # The pixel size of the file counts: the PSF is brought to the pixels of the image.
        found = open_image(source)
        return measured_psf(found.data, found.about)

    def _given_optics(self) -> Optics:
        values = {name: widget.value for name, widget in self._optics.items()}
        # These are lines of text, as they may be empty.
        for name in ("pixel_size", "z_step", "pinhole", "excitation"):
            values[name] = _optional(self._optics[name].label, values[name])
        if values["kind"] != "confocal":  # the fields are hidden then
            values |= {"pinhole": None, "excitation": None}
        return Optics(**values)

    def _show(self, chosen: Any) -> None:
        super()._show(chosen)
        self._show_confocal()

    def _show_confocal(self, _kind: Any = None) -> None:
        # Called by `ArrayField.__init__`, before the fields of the optics are there.
        if Other.OPTICS not in self._shown:
            return
        for name in ("pinhole", "excitation"):
            # Only with a pinhole does the wavelength of the excitation count beside that of the emission.
            confocal = self._optics["kind"].value == "confocal"
            self._optics[name].visible = self.chooser.value == Other.OPTICS and confocal


def _optics_widgets(name: str) -> list[ValueWidget]:
    kinds = {
        "choices": list(get_args(Kind)),
        "tooltip": "Confocal and two-photon microscopes blur less, above and below most of all",
    }
    length = "In micrometres; empty takes that of the layer"
    return [
        number(
            f"{name}_na",
            "NA",
            1.4,
            (0.05, 2.0, 0.05),
            "Numerical aperture of the objective, which is written on it: more means less blur",
        ),
        number(
            f"{name}_wavelength",
            "wavelength (nm)",
            520.0,
            (100.0, 10_000.0, 5.0),
            "Wavelength of the emission, or of the excitation for two-photon",
        ),
        number(
            f"{name}_refractive_index",
            "refractive index",
            1.515,
            (1.0, 4.0, 0.005),
            "Refractive index of the immersion: air 1, water 1.33, glycerol 1.47, oil 1.515",
            decimals=3,
        ),
        create_widget("widefield", name=f"{name}_kind", label="microscope", widget_type="ComboBox", options=kinds),
        create_widget(
            "1",
            name=f"{name}_pinhole",
            label="pinhole (AU)",
            widget_type="LineEdit",
            options={
                "tooltip": "Diameter of the pinhole in Airy units: 1 is usual, a wider one blurs more. Empty: closed"
            },
        ),
        create_widget(
            "",
            name=f"{name}_excitation",
            label="excitation (nm)",
            widget_type="LineEdit",
            options={"tooltip": "Wavelength of the laser; empty takes that of the emission"},
        ),
        create_widget(
            "", name=f"{name}_pixel_size", label="pixel size (µm)", widget_type="LineEdit", options={"tooltip": length}
        ),
        create_widget(
            "",
            name=f"{name}_z_step",
            label="z step (µm)",
            widget_type="LineEdit",
            options={"tooltip": f"{length}; 0 deblurs every plane by itself"},
        ),
    ]


def number(
    name: str, label: str, value: float, limits: tuple[float, float, float], tooltip: str, decimals: int = 2
) -> ValueWidget:
    """Return a field for a number between limits (least, most, step)."""
    least, most, step = limits
    options = {"min": least, "max": most, "step": step, "tooltip": tooltip}
    widget = create_widget(value, name=name, label=label, widget_type="FloatSpinBox", options=options)
    # The value is set again, as Qt has rounded it to fewer decimals when the widget was made.
    widget.native.setDecimals(decimals)
    widget.value = value
    return widget


def _optional(label: str, text: str) -> float | None:
    try:
        return float(text) if text.strip() else None
    except ValueError:
        raise OptionError(f"{label} must be a number or empty, got {text!r}") from None


def chosen_file(label: str, path: Path) -> Path:
    """Return the path in a field, which exists.

    Raises
    ------
    OptionError
        If the field is empty, or there is no such file.
    """
    # The path of an empty field is ".".
    if str(path) in ("", "."):
        raise OptionError(f"choose the file of the {label}: none is given")
    if not path.exists():
        raise OptionError(f"choose the file of the {label}: there is no {str(path)!r}")
    return path
