"""Draw noise from a measured model, at the exposure of the image or at another one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.errors import OptionError
from napari_genrecon.noise.model import NoiseModel

__all__ = ["at_exposure", "draw_noise"]

Floats = NDArray[np.floating]


def at_exposure(model: NoiseModel, exposure: float) -> NoiseModel:
    """Return the noise of an image taken with another exposure and brought back to the same grey values.

    With a share `exposure` of the light, every photo-electron stands for ``1 / exposure`` times as many grey values,
    and so does the camera's read noise (Janesick, *Photon Transfer*, SPIE 2007).

    Parameters
    ----------
    model : NoiseModel
        Noise of the image as it is.
    exposure : float
        Exposure relative to that of the image; positive.

    Raises
    ------
    OptionError
        If the exposure is not positive.

    Examples
    --------
    >>> at_exposure(NoiseModel(gain=2, read_noise=3), 0.5).gain
    4.0
    """
    if not exposure > 0:
        raise OptionError(f"exposure must be positive, got {exposure:g}: 1 is that of the image, 0.5 half the light")
    names = ("gain", "read_noise", "row_stripes", "column_stripes")
    # All of it is taken for shot noise, whose variance goes with the gain; the grey values stay.
    curve = tuple((mean, variance / exposure) for mean, variance in model.curve)
    return replace(model, curve=curve, **{name: getattr(model, name) / exposure for name in names})


def draw_noise(rng: np.random.Generator, clean: Floats, model: NoiseModel) -> NDArray[np.float64]:
    """Return an image with noise.

    White noise of a camera is drawn as counted photo-electrons and Gaussian read noise; correlated noise, and noise
    whose variance follows no line, as Gaussian noise of the variance at each grey value.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the randomness.
    clean : (Y, X) ndarray
        Grey values without noise.
    model : NoiseModel
        Its correlation is taken as exponential along each axis.

    Returns
    -------
    (Y, X) ndarray of float64
        Neither rounded nor clipped. NaN stays NaN.
    """
    level = np.asarray(clean, np.float64)
    if model.is_white and model.affine and model.gain > 0:
        # `Generator.poisson` takes no NaN and no infinity: they get no noise, and stay through `level` below.
        photons = np.nan_to_num(np.maximum(level - model.offset, 0) / model.gain, nan=0.0, posinf=0.0)
        # Counts less their mean: the noise is added to the level, which keeps what is below the offset.
        noise = model.gain * (rng.poisson(photons) - photons) + model.read_noise * rng.standard_normal(level.shape)
    else:
        # Along one axis after the other: the correlation falls as the product of both.
        unit = _correlated(_correlated(rng.standard_normal(level.shape), model.rho_y, 0), model.rho_x, 1)
        noise = model.sigma_at(level) * unit
    rows = model.row_stripes * rng.standard_normal((level.shape[0], 1))
    columns = model.column_stripes * rng.standard_normal((1, level.shape[1]))
    return np.asarray(level + noise + rows + columns)


def _correlated(white: NDArray[np.float64], rho: float, axis: int) -> NDArray[np.float64]:
    """Return noise of the same variance whose neighbours along an axis have the correlation `rho`: an AR(1) process."""
    if rho == 0:
        return white
    from scipy.signal import lfilter

    # The recursion x[i] = rho x[i - 1] + scaled[i] then keeps a variance of 1.
    scaled = white * np.sqrt(1 - rho**2)
    first = np.take(white, [0], axis=axis)  # of full variance, so that the process is stationary from the start
    np.moveaxis(scaled, axis, 0)[:1] = np.moveaxis(first, axis, 0)
    return np.asarray(lfilter([1.0], [1.0, -rho], scaled, axis=axis))
