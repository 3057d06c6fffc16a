"""Simulate the noise that colour cameras and image processing leave behind, with its exact description.

A camera is a linear map from raw pixels to an image. So the noise of its image is the image of the raw noise, and what
it makes of a flat field tells variance and correlation as exactly as one likes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_genrecon import NoiseModel

__all__ = ["CAMERAS", "LAGS", "Camera", "Shot", "shoot"]

Image = NDArray[np.float64]
LAGS = (1, 2, 3, 5)
_MARGIN = 32  # raw pixels around the scene, so that no map sees its border
_FLAT, _DRAWS = 512, 4  # side and number of the flat fields that tell the true noise: s.d. within 0.5 %


@dataclass(frozen=True)
class Camera:
    """What happens to the raw pixels.

    Attributes
    ----------
    process : callable
        Linear map of raw pixels (Y, X) to an image.
    colours : (red, green, blue)
        Light that each kind of pixel of a Bayer mosaic gets; all alike without one.
    grain : callable
        Turns white noise of s.d. 1 into noise of s.d. 1 that the raw pixels get instead; None leaves it white.
    stripes : float
        S.d. of offsets that are common to a row, in electrons.
    """

    process: Callable[[Image], Image]
    colours: tuple[float, float, float] = (1.0, 1.0, 1.0)
    grain: Callable[[Image], Image] | None = None
    stripes: float = 0.0


@dataclass(frozen=True)
class Shot:
    """A noisy image, what it would be without noise, and the true noise with its correlations at `LAGS`, (y, x)."""

    noisy: Image
    truth: Image
    noise: NoiseModel
    correlation: NDArray[np.float64]


def shoot(name: str, clean: NDArray[np.floating], peak: float, read: float, seed: int) -> Shot:
    """Take an image of a scene.

    Parameters
    ----------
    name : str
        One of `CAMERAS`.
    clean : (Y, X) ndarray
        The scene, about in [0, 1].
    peak, read : float
        Electrons at 1, and s.d. of the read noise in electrons.
    seed : int
        Of the noise.
    """
    rng = np.random.default_rng([seed, list(CAMERAS).index(name)])
    electrons = peak * (np.pad(np.maximum(clean, 0), _MARGIN, mode="reflect") + 0.02)
    camera = CAMERAS[name]
    truth, noisy = _expose(camera, rng, electrons, read)
    noisy = noisy + camera.stripes * rng.standard_normal((len(noisy), 1))
    cut = (slice(_MARGIN, -_MARGIN),) * 2
    noise, correlation = _describe(name, peak, read)
    return Shot(noisy[cut], truth[cut], replace(noise, row_stripes=camera.stripes), correlation)


def _expose(camera: Camera, rng: np.random.Generator, electrons: Image, read: float) -> tuple[Image, Image]:
    light = electrons * _mosaic(camera.colours, electrons.shape)
    if camera.grain is None:
        noise = rng.poisson(light) - light + rng.normal(0, read, light.shape)
    else:
        noise = np.sqrt(light + read**2) * camera.grain(rng.standard_normal(light.shape))
    truth = camera.process(light)
    return truth, truth + camera.process(noise)


@cache
def _describe(name: str, peak: float, read: float) -> tuple[NoiseModel, NDArray[np.float64]]:
    """Return the photon transfer line and the correlations, from flat fields."""
    rng = np.random.default_rng(5)
    cut = (slice(_MARGIN, -_MARGIN),) * 2
    levels, variances, products = [], [], np.zeros((2, len(LAGS)))
    for electrons in (0.02 * peak, 0.5 * peak):
        shots = [_expose(CAMERAS[name], rng, np.full((_FLAT, _FLAT), electrons), read) for _ in range(_DRAWS)]
        noise = np.stack([(noisy - truth)[cut] for truth, noisy in shots])
        levels.append(shots[0][0][cut].mean())
        variances.append(np.mean(noise**2))
        for i, lag in enumerate(LAGS):
            found = (noise[:, lag:] * noise[:, :-lag]).mean(), (noise[:, :, lag:] * noise[:, :, :-lag]).mean()
            products[:, i] += np.array(found) / variances[-1] / 2
    gain = max(float(np.diff(variances)[0] / np.diff(levels)[0]), 0.0)
    read_noise = float(np.sqrt(variances[0]))
    (rho_y, *far_y), (rho_x, *far_x) = products.tolist()
    told = {"rho_x": rho_x, "rho_y": rho_y, "far_x": tuple(far_x), "far_y": tuple(far_y)}
    model = NoiseModel(gain=gain, offset=float(levels[0]), read_noise=read_noise, **told)
    return model, products


# Colour cameras -----------------------------------------------------------------------------------------------------

_PLUS = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]]) / 4
_CROSS = np.array([[1, 0, 1], [0, 0, 0], [1, 0, 1]]) / 4


def _sites(shape: tuple[int, ...]) -> tuple[NDArray[np.bool_], ...]:
    """Return where a mosaic RGGB has red, green (in rows of red, in rows of blue) and blue pixels."""
    y, x = np.indices(shape) % 2
    return (y == 0) & (x == 0), (y == 0) & (x == 1), (y == 1) & (x == 0), (y == 1) & (x == 1)


def _mosaic(colours: tuple[float, float, float], shape: tuple[int, ...]) -> Image:
    red, green_1, green_2, blue = _sites(shape)
    return colours[0] * red + colours[1] * (green_1 | green_2) + colours[2] * blue


def _bilinear(raw: Image) -> tuple[Image, Image, Image]:
    red, green_1, green_2, blue = _sites(raw.shape)
    square = np.outer([1, 2, 1], [1, 2, 1]) / 4
    plus = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]]) / 4
    masks = ((red, square), (green_1 | green_2, plus), (blue, square))
    r, g, b = (ndimage.convolve(raw * mask, kernel) for mask, kernel in masks)
    return r, g, b


def _gradient_corrected(raw: Image) -> tuple[Image, Image, Image]:
    """Demosaic with linear 5x5 filters (Malvar, He & Cutler, ICASSP 2004)."""
    red, green_1, green_2, blue = _sites(raw.shape)
    centre, far = np.zeros((5, 5)), np.zeros((5, 5))
    centre[2, 2] = 1
    far[[0, 4, 2, 2], [2, 2, 0, 4]] = 1
    near, cross = np.pad(_PLUS * 4, 1), np.pad(_CROSS * 4, 1)
    row, column = np.zeros((5, 5)), np.zeros((5, 5))
    row[2, [1, 3]], column[[1, 3], 2] = 1, 1
    far_row, far_column = np.zeros((5, 5)), np.zeros((5, 5))
    far_row[2, [0, 4]], far_column[[0, 4], 2] = 1, 1
    green = ndimage.convolve(raw, (4 * centre + 2 * near - far) / 8)
    in_row = ndimage.convolve(raw, (5 * centre + 4 * row - cross - far_row + far_column / 2) / 8)
    in_column = ndimage.convolve(raw, (5 * centre + 4 * column - cross - far_column + far_row / 2) / 8)
    opposite = ndimage.convolve(raw, (6 * centre + 2 * cross - 1.5 * far) / 8)
    r = np.select([red, green_1, green_2], [raw, in_row, in_column], opposite)
    b = np.select([blue, green_2, green_1], [raw, in_row, in_column], opposite)
    return r, np.where(green_1 | green_2, raw, green), b


def _grey(colours: tuple[Image, Image, Image]) -> Image:
    return 0.299 * colours[0] + 0.587 * colours[1] + 0.114 * colours[2]


# Image processing ---------------------------------------------------------------------------------------------------


def _binned(raw: Image) -> Image:
    """Sum 2x2 pixels; the scene keeps its number of pixels, so that all cameras have images of one size."""
    binned = raw.reshape(raw.shape[0] // 2, 2, raw.shape[1] // 2, 2).sum((1, 3))
    return np.asarray(np.pad(binned, [(n // 4, n // 4) for n in raw.shape], mode="reflect"))


def _resized(raw: Image, factor: float) -> Image:
    """Resize by linear interpolation around the centre; the image keeps its number of pixels."""
    smooth = ndimage.gaussian_filter(raw, 0.5 * max(1 / factor - 1, 0)) if factor < 1 else raw
    centre = (np.array(raw.shape) - 1) / 2
    matrix = np.full(2, 1 / factor)
    return np.asarray(ndimage.affine_transform(smooth, matrix, centre - centre / factor, order=1, mode="mirror"))


def _sharpened(image: Image) -> Image:
    return np.asarray(image + 0.6 * (image - ndimage.gaussian_filter(image, 1.0)))


# Grain --------------------------------------------------------------------------------------------------------------


def _filtered(white: Image, spectrum: Callable[[Image, Image], Image]) -> Image:
    """Give white noise a power spectrum over the frequencies (cycles per pixel) along y and x."""
    y, x = np.fft.fftfreq(white.shape[0])[:, None], np.fft.fftfreq(white.shape[1])
    power = spectrum(y, x)
    power[0, 0] = 0
    return np.asarray(np.fft.ifft2(np.fft.fft2(white) * np.sqrt(power / power.mean())).real)


def _two_scales(white: Image) -> Image:
    """0.8 of the variance in grains of 0.7 px s.d., 0.2 in grains of 2.5 px."""

    def spectrum(y: Image, x: Image) -> Image:
        parts = [(0.8, 0.7), (0.2, 2.5)]
        return sum(w * s**2 * np.exp(-((2 * np.pi * s) ** 2) * (y**2 + x**2)) for w, s in parts) + 1e-4

    return _filtered(white, spectrum)


# Frequencies in cycles per pixel, and power relative to the mean.
_TAIL = np.array([(0.008, 16), (0.022, 11), (0.044, 9.4), (0.088, 5.7), (0.18, 2.4), (0.35, 0.5), (0.7, 0.1)])


def _tailed(white: Image) -> Image:
    """A power spectrum like that of widefield images of a colour camera: falling over the whole range."""

    def spectrum(y: Image, x: Image) -> Image:
        frequency = np.maximum(np.hypot(y, x), 1e-9)
        return np.asarray(np.exp(np.interp(np.log(frequency), *np.log(_TAIL).T)))

    return _filtered(white, spectrum)


def _scanned(white: Image) -> Image:
    """Noise smeared along x by a slow detector."""
    return _filtered(white, lambda y, x: 1 / np.abs(1 - 0.5 * np.exp(-2j * np.pi * x)) ** 2 + 0 * y)


CAMERAS: dict[str, Camera] = {
    "white": Camera(np.asarray),
    "binned 2x2": Camera(_binned),
    "Bayer bilinear, red": Camera(lambda raw: _bilinear(raw)[0], (1.0, 0.2, 0.05)),
    "Bayer bilinear, green": Camera(lambda raw: _bilinear(raw)[1], (0.2, 1.0, 0.3)),
    "Bayer bilinear, grey": Camera(lambda raw: _grey(_bilinear(raw))),
    "Bayer gradient-corrected, red": Camera(lambda raw: _gradient_corrected(raw)[0], (1.0, 0.2, 0.05)),
    "Bayer gradient-corrected, green": Camera(lambda raw: _gradient_corrected(raw)[1], (0.2, 1.0, 0.3)),
    "Bayer gradient-corrected, grey": Camera(lambda raw: _grey(_gradient_corrected(raw))),
    "Bayer bilinear, red, sharpened": Camera(lambda raw: _sharpened(_bilinear(raw)[0]), (1.0, 0.2, 0.05)),
    "Bayer bilinear, red, reduced 0.7": Camera(lambda raw: _resized(_bilinear(raw)[0], 0.7), (1.0, 0.2, 0.05)),
    "enlarged 1.6": Camera(lambda raw: _resized(raw, 1.6)),
    "sharpened": Camera(_sharpened),
    "two scales": Camera(np.asarray, grain=_two_scales),
    "1/f tail": Camera(np.asarray, grain=_tailed),
    "scanned": Camera(np.asarray, grain=_scanned),
    "lines": Camera(np.asarray, stripes=1.0),
}
