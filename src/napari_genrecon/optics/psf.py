"""Point spread functions: computed from the optics, Gaussian, or measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_genrecon.errors import OptionError
from napari_genrecon.normal import FWHM, REACH

__all__ = ["Kind", "as_psf", "check_confocal", "gaussian_psf", "simulate_psf"]

Kind = Literal["widefield", "confocal", "two-photon"]

_PER_AIRY = 24  # points across and around a pinhole per Airy unit: a PSF is then within 2e-4 of its peak
_SUBPIXELS = 3  # a pixel collects light over its area: a value is the mean of 3 x 3 points
_WIDEST = 2001  # pixels along a side; a wider PSF takes gigabytes of memory, and mostly comes from mixed units
_WIDEST_FWHM = _WIDEST * FWHM // (2 * REACH)  # pixels: that of a Gaussian as wide
_WIDEST_PINHOLE = 10.0  # Airy units; beyond, nearly all of the light passes, and nothing is confocal
_DARK_RINGS = 5  # reach of a computed PSF in focus, in Airy radii: about 95 % of the light


def gaussian_psf(fwhm: float | Sequence[float]) -> NDArray[np.float64]:
    """Return a Gaussian PSF.

    Parameters
    ----------
    fwhm : float or sequence of float
        Full width at half maximum in pixels; one number for a round (Y, X) PSF, or one for each dimension.

    Returns
    -------
    (Y, X) or (Z, Y, X) ndarray
        PSF of odd sides, centred, of sum 1.

    Raises
    ------
    OptionError
        If a width is not positive, or too large.

    Examples
    --------
    >>> gaussian_psf(3.0).shape
    (13, 13)
    """
    # `np.number` too: float32 and int64 of NumPy are neither int nor float.
    widths = (fwhm, fwhm) if isinstance(fwhm, int | float | np.number) else tuple(fwhm)
    psf = np.ones((1,) * len(widths))
    for axis, width in enumerate(widths):
        # Separable: the product of one profile along each dimension.
        psf = psf * np.expand_dims(_gaussian(width), [i for i in range(len(widths)) if i != axis])
    return psf


def _gaussian(fwhm: float) -> NDArray[np.float64]:
    if not 0 < fwhm <= _WIDEST_FWHM:
        raise OptionError(
            f"the FWHM of a PSF must be a positive number of pixels, at most {_WIDEST_FWHM:g}, got {fwhm:g}"
        )
    sigma = fwhm / FWHM
    reach = math.ceil(REACH * sigma)
    profile = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return np.asarray(profile / profile.sum())


def as_psf(psf: ArrayLike) -> NDArray[np.float64]:
    """Check a PSF given as an array or as the FWHM of a Gaussian, and scale it to sum 1.

    Parameters
    ----------
    psf : (Y, X) or (Z, Y, X) array_like, or float
        PSF with its centre at the pixel at half its shape, or the FWHM of a Gaussian in pixels.

    Raises
    ------
    OptionError
        If it cannot be a PSF.
    """
    try:
        array = np.asarray(psf)
    except ValueError as error:  # rows of different lengths
        raise OptionError(f"psf is no array of numbers: {error}") from None
    if array.dtype.kind not in "iuf":
        raise OptionError(f"psf has dtype {array.dtype}: an array of numbers, or a FWHM in pixels, is needed")
    # A sum in float16 would overflow.
    array = array.astype(np.float64)
    if array.ndim == 0:
        return gaussian_psf(float(array))
    if array.ndim not in (2, 3) or 0 in array.shape:
        raise OptionError(f"psf has shape {array.shape}: (Y, X) or (Z, Y, X) is needed, or a FWHM in pixels")
    not_finite = int(np.count_nonzero(~np.isfinite(array)))
    if not_finite or not array.sum() > 0:
        got = f"{not_finite} that are NaN or infinite" if not_finite else f"a sum of {array.sum():g}"
        raise OptionError(f"psf must hold finite numbers of a positive sum, got {got}")
    return np.asarray(array / array.sum())


def simulate_psf(
    *,
    na: float,
    wavelength: float,
    refractive_index: float,
    pixel_size: float,
    z_step: float | None = None,
    kind: Kind = "widefield",
    pinhole: float | None = None,
    excitation: float | None = None,
    shape: Sequence[int] | None = None,
) -> NDArray[np.float64]:
    """Compute the PSF of an ideal objective (Richards & Wolf, Proc. R. Soc. A 253, 1959, eq. 2.30: vectorial theory).

    The light is taken as unpolarised (excitation) or from freely rotating dipoles (emission), the specimen as of the
    immersion's refractive index: there is no spherical aberration.

    Parameters
    ----------
    na : float
        Numerical aperture of the objective.
    wavelength : float
        Wavelength in vacuum, in any unit of length, such as micrometres: of the emission (``"widefield"``,
        ``"confocal"``) or of the excitation (``"two-photon"``).
    refractive_index : float
        Refractive index of immersion and specimen; larger than `na`.
    pixel_size : float
        Size of a pixel in the specimen, in the unit of `wavelength`.
    z_step : float, optional
        Distance of planes, in the same unit. Without it the plane in focus is returned.
    kind : {"widefield", "confocal", "two-photon"}
        Detected intensity; its product with that of the excitation, behind the pinhole; or the square of the
        excitation's intensity.
    pinhole : float, optional
        Diameter of the pinhole of a confocal microscope in Airy units, 1.22 `wavelength` / `na`: the emission is then
        that of a disk. By default the pinhole is closed, which no microscope's is: 1 Airy unit is usual, and its PSF
        is wider.
    excitation : float, optional
        Wavelength of the excitation of a confocal microscope, in the unit of `wavelength`. By default that of the
        emission, which makes the PSF a few per cent too wide.
    shape : sequence of int, optional
        Shape of the result. By default large enough for about 95 % of the light of each of its planes; the rest lies
        in faint rings further out.

    Returns
    -------
    (Y, X) or (Z, Y, X) ndarray
        PSF averaged over the area of each pixel, centred at half its shape, of sum 1.

    Raises
    ------
    OptionError
        If a value is impossible.

    Examples
    --------
    >>> simulate_psf(na=1.4, wavelength=0.52, refractive_index=1.515, pixel_size=0.1).shape
    (25, 25)
    """
    _check_optics(na, wavelength, refractive_index, pixel_size, z_step, kind)
    check_confocal(kind, pinhole, excitation)
    angle = math.asin(na / refractive_index)
    if shape is None:
        shape = _default_shape(na, wavelength, refractive_index, pixel_size, z_step, kind)
    if len(shape) != (2 if z_step is None else 3) or min(shape) < 1:
        raise OptionError(f"shape must be positive and (Y, X), or (Z, Y, X) with a z_step; got {tuple(shape)}")
    depths = np.zeros(1) if z_step is None else z_step * np.arange(-(shape[0] // 2), -(-shape[0] // 2), dtype=float)
    # (Y, subpixel, X, subpixel); the PSF is round, so one profile over the radius serves all pixels.
    distance = _subpixel_distances(shape[-2], shape[-1], pixel_size)
    # Radii are close enough to interpolate linearly: 16 and more in every wavelength / NA.
    spacing = min(pixel_size / _SUBPIXELS, wavelength / na / 16)
    radii: NDArray[np.float64] = np.arange(math.ceil(distance.max() / spacing) + 1) * spacing
    wavenumber = 2 * math.pi * refractive_index / wavelength
    profiles = _intensity(radii, depths, angle, wavenumber)
    if kind == "two-photon":
        profiles = np.square(profiles)
    elif kind == "confocal":
        # The same objective at the wavelength of the excitation.
        exciting = _intensity(radii, depths, angle, wavenumber * wavelength / (excitation or wavelength))
        disk = 0.5 * (pinhole or 0.0) * 1.22 * wavelength / na
        points = math.ceil(_PER_AIRY * max(pinhole or 0.0, 1.0))
        profiles = exciting * _behind_pinhole(profiles, radii, depths, angle, wavenumber, disk, points)
    # The mean over the subpixels is the light on the area of a pixel.
    psf = np.stack([np.interp(distance, radii, plane).mean(axis=(1, 3)) for plane in profiles])
    return np.asarray((psf if z_step is not None else psf[0]) / psf.sum())


def _check_optics(
    na: float, wavelength: float, refractive_index: float, pixel_size: float, z_step: float | None, kind: str
) -> None:
    lengths = {"na": na, "wavelength": wavelength, "refractive_index": refractive_index, "pixel_size": pixel_size}
    for name, value in (lengths if z_step is None else lengths | {"z_step": z_step}).items():
        if not (math.isfinite(value) and value > 0):
            raise OptionError(f"{name} must be a positive number, got {value}")
    if na >= refractive_index:
        raise OptionError(f"na must be below the refractive index {refractive_index} of the immersion, got {na}")
    if kind not in get_args(Kind):
        raise OptionError(f"kind must be one of {', '.join(get_args(Kind))}; got {kind!r}")


def check_confocal(kind: str, pinhole: float | None, excitation: float | None) -> None:
    """Raise an `OptionError` if there is a pinhole or an excitation that cannot be."""
    for name, value in {"pinhole": pinhole, "excitation": excitation}.items():
        if value is None:
            continue
        if kind != "confocal":
            raise OptionError(f"{name} fits only a confocal microscope; got {name} {value} and kind {kind!r}")
        if not (math.isfinite(value) and value > 0):
            raise OptionError(f"{name} must be a positive number, got {value}")
    if pinhole is not None and pinhole > _WIDEST_PINHOLE:
        raise OptionError(f"pinhole must be at most {_WIDEST_PINHOLE:g} Airy units, got {pinhole:g}")


def _default_shape(
    na: float, wavelength: float, refractive_index: float, pixel_size: float, z_step: float | None, kind: str
) -> tuple[int, ...]:
    # The Airy radius is 0.61 wavelength / NA; the first dark point on the axis is at 2 n wavelength / NA**2.
    lateral, depth = _DARK_RINGS * 0.61 * wavelength / na, 0.0
    if z_step is not None:
        depth = (1.5 if kind == "widefield" else 1.0) * 2 * refractive_index * wavelength / na**2
        if kind == "widefield":  # out of focus, light fills the cone of the objective
            lateral += depth * math.tan(math.asin(na / refractive_index))
    side = 2 * math.ceil(lateral / pixel_size) + 1
    if side > _WIDEST:
        raise OptionError(
            f"with wavelength {wavelength:g} and pixel_size {pixel_size:g} the PSF would be {side} pixels wide, at "
            f"most {_WIDEST} can be: give wavelength, pixel_size and z_step in one unit (0.55 and 0.1 micrometres)"
        )
    return (side, side) if z_step is None else (2 * math.ceil(depth / z_step) + 1, side, side)


def _subpixel_distances(height: int, width: int, pixel_size: float) -> NDArray[np.float64]:
    """Return the distances from the centre, (Y, subpixel, X, subpixel)."""
    part = (np.arange(_SUBPIXELS) + 0.5) / _SUBPIXELS - 0.5
    y, x = (((np.arange(n) - n // 2)[:, None] + part) * pixel_size for n in (height, width))
    return np.hypot(y[:, :, None, None], x[None, None])


def _intensity(
    radii: NDArray[np.float64], depths: NDArray[np.float64], angle: float, wavenumber: float
) -> NDArray[np.float64]:
    """Return |I0|^2 + 2 |I1|^2 + |I2|^2 at (depth, radius), the mean over all polarisations."""
    from scipy.special import jv

    oscillations = wavenumber * (radii.max() * math.sin(angle) + np.abs(depths).max() * (1 - math.cos(angle))) / math.pi
    # Gauss-Legendre nodes: two for each oscillation of the integrand, and some more.
    nodes, weights = np.polynomial.legendre.leggauss(32 + 2 * math.ceil(oscillations))
    theta = angle * (nodes + 1) / 2
    sine, cosine = np.sin(theta), np.cos(theta)
    phase = np.exp(1j * wavenumber * depths[:, None] * cosine) * (weights * np.sqrt(cosine) * sine)  # (depth, theta)
    argument = wavenumber * sine[:, None] * radii  # (theta, radius)
    factors = ((1 + cosine, 1.0), (sine, 2.0), (1 - cosine, 1.0))
    terms = (
        share * np.abs((phase * factor) @ jv(order, argument)) ** 2 for order, (factor, share) in enumerate(factors)
    )
    # Orders 0, 1 and 2 of the Bessel function belong to I0, I1 and I2.
    intensity: NDArray[np.float64] = np.add.reduce(list(terms))
    return intensity


def _behind_pinhole(
    profiles: NDArray[np.float64],
    radii: NDArray[np.float64],
    depths: NDArray[np.float64],
    angle: float,
    wavenumber: float,
    disk: float,
    points: int,
) -> NDArray[np.float64]:
    """Return the mean, (depth, radius), of an intensity over a disk of radius `disk` around every radius."""
    if not disk:
        return profiles
    # A PSF of one pixel can have a single radius, 0.
    spacing = radii[1] - radii[0] if len(radii) > 1 else disk / points
    # The disk around the last radius reaches further out by its own radius.
    wide = np.arange(math.ceil((radii.max() + disk) / spacing) + 2) * spacing
    emission = _intensity(wide, depths, angle, wavenumber)
    # Gauss-Legendre nodes in the squared distance from the disk's middle, so that each stands for the same area.
    nodes, weights = np.polynomial.legendre.leggauss(points)
    inner = disk * np.sqrt((nodes + 1) / 2)  # (distance,)
    turn = (np.arange(points) + 0.5) * math.pi / points  # (angle,) over half a circle
    mean = np.zeros_like(profiles)
    for distance, weight in zip(inner, weights / 2, strict=True):
        around = np.sqrt(
            np.maximum(radii**2 + distance**2 - 2 * distance * np.outer(np.cos(turn), radii), 0)
        )  # (angle, radius)
        mean += weight * np.stack([np.interp(around, wide, plane).mean(axis=0) for plane in emission])
    return mean
