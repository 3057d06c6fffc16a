"""The optical settings from which a point spread function is computed, as one plain value."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.errors import OptionError
from napari_genrecon.optics.psf import Kind, check_confocal, simulate_psf

__all__ = ["OPTICS_PREFIX", "Optics"]

OPTICS_PREFIX = "optics:"
_NM = 1e-3  # a nanometre in micrometres


@dataclass(frozen=True, slots=True, kw_only=True)
class Optics:
    """Optical settings from which the point spread function of a microscope is computed; see `simulate_psf`.

    Attributes
    ----------
    na : float
        Numerical aperture of the objective.
    wavelength : float
        Wavelength of the emission, or of the excitation for ``"two-photon"``, in nanometres.
    refractive_index : float
        Refractive index of immersion and specimen.
    kind : {"widefield", "confocal", "two-photon"}
        Type of microscope.
    pinhole : float or None
        Diameter of the pinhole of a confocal microscope in Airy units; None: closed.
    excitation : float or None
        Wavelength of the excitation of a confocal microscope in nanometres; None: that of the emission.
    pixel_size : float or None
        Size of a pixel in the specimen, in micrometres; None: to be read from the image.
    z_step : float or None
        Distance of planes in micrometres. None: to be read from the image, if that has a Z; 0: every plane is
        treated by itself, with the PSF in focus.

    Raises
    ------
    OptionError
        If a value is impossible.

    Examples
    --------
    >>> Optics(na=1.4, wavelength=520, pixel_size=0.1).psf().shape
    (25, 25)
    """

    na: float
    wavelength: float
    refractive_index: float = 1.515
    kind: Kind = "widefield"
    pixel_size: float | None = None
    z_step: float | None = None
    pinhole: float | None = None
    excitation: float | None = None

    def __post_init__(self) -> None:
        # `simulate_psf` checks them, too; here they are refused before an image is read, in the units of the user.
        positive = {"na": self.na, "wavelength": self.wavelength, "refractive_index": self.refractive_index}
        if self.pixel_size is not None:
            positive["pixel_size"] = self.pixel_size
        for name, value in positive.items():
            if not (math.isfinite(value) and value > 0):
                raise OptionError(f"{name.replace('_', ' ')} must be a positive number, got {value}")
        if self.na >= self.refractive_index:
            raise OptionError(
                f"na must be below the refractive index of the immersion, which is {self.refractive_index:g}; "
                f"got {self.na:g}: 1.33 is water, 1.515 is oil"
            )
        for name, length in (("wavelength", self.wavelength), ("excitation", self.excitation)):
            if length is not None and not 100 <= length <= 10_000:
                raise OptionError(f"{name} must lie between 100 and 10000 nanometres, got {length:g}")
        if self.kind not in get_args(Kind):
            raise OptionError(f"kind must be one of {', '.join(get_args(Kind))}; got {self.kind!r}")
        if self.z_step is not None and not (math.isfinite(self.z_step) and self.z_step >= 0):
            raise OptionError(f"z step must be 0 or more micrometres, got {self.z_step}")
        check_confocal(self.kind, self.pinhole, self.excitation)

    @classmethod
    def from_text(cls, text: str) -> Optics:
        """Read ``"optics:na=1.4,wavelength=520,kind=confocal"``, as the command line takes it.

        Raises
        ------
        OptionError
            If a name is unknown, given twice or missing, or a value is no number.
        """
        names, found = [field.name for field in fields(cls)], dict[str, Any]()
        for part in text.removeprefix(OPTICS_PREFIX).split(","):
            name, _, value = (piece.strip() for piece in part.partition("="))
            if name not in names or name in found:
                raise OptionError(f"optics are given as name=value, once each, of {', '.join(names)}; got {part!r}")
            # Its value is checked by `__post_init__`, like those of the numbers.
            found[name] = value if name == "kind" else _number(name, value)
        # `cls(**found)` would raise a TypeError of Python.
        missing = {"na", "wavelength"} - set(found)
        if missing:
            raise OptionError(
                f"optics need na and wavelength (in nanometres), as in {OPTICS_PREFIX}na=1.4,wavelength=520"
            )
        return cls(**found)

    def psf(self) -> NDArray[np.float64]:
        """Compute the point spread function, (Z, Y, X) if there is a z step, else (Y, X).

        Raises
        ------
        OptionError
            If the pixel size is not known.
        """
        if self.pixel_size is None:
            raise OptionError("the pixel size is not known: give it in micrometres (pixel_size)")
        return simulate_psf(
            na=self.na,
            wavelength=self.wavelength * _NM,
            refractive_index=self.refractive_index,
            pixel_size=self.pixel_size,
            # 0 is the user's "plane by plane", which `simulate_psf` knows as None.
            z_step=self.z_step or None,
            kind=self.kind,
            pinhole=self.pinhole,
            excitation=None if self.excitation is None else self.excitation * _NM,
        )


def _number(name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise OptionError(f"{name} must be a number, got {value!r}") from None
