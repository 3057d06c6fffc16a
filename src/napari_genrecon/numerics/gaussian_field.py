"""Fill missing pixels from those around them by kriging: the most likely smooth continuation of what is known.

The prior is the Matern field of order 1, which on a pixel grid is the Gaussian Markov field with the precision
``(k + L)**2``, L being the Laplacian of the grid (Lindgren, Rue & Lindstrom, J. R. Stat. Soc. B 73, 2011, eq. 10).
``k -> 0`` is the biharmonic spline; with a large `k` pixels are independent, and missing ones become 0.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["SMOOTHEST", "interpolate", "lag_one", "shortness"]

Plane = NDArray[np.float32]
Mask = NDArray[np.bool_]

SMOOTHEST = 1e-3  # k of a field correlated over about thirty pixels; nearly the biharmonic spline already
_ROUGHEST = 1 / SMOOTHEST  # k of a field correlated over a thirtieth of a pixel; end of the table of `shortness`
_TORUS = 2 * round(SMOOTHEST**-0.5)  # pixels around: twice the thirty over which the smoothest field is correlated


def interpolate(
    values: Plane, unknown: Mask, k: float, *, start: Plane | None = None, rounds: int = 200, tolerance: float = 1e-5
) -> Plane:
    """Continue known values into unknown pixels; far from any known pixel they go to 0.

    Parameters
    ----------
    values : (Y, X) ndarray of float32
        Values of mean about 0. Those at unknown pixels are ignored, but must be finite.
    unknown : (Y, X) ndarray of bool
        True for pixels to fill.
    k : float
        Inverse square of the correlation length, in 1 / pixel**2; see `shortness`.
    start : (Y, X) ndarray, optional
        First guess of the unknown pixels.
    rounds, tolerance : int, float
        Largest number of conjugate-gradient steps, and the residual, relative to that of no fill, at which they stop.

    Returns
    -------
    (Y, X) ndarray of float32
        Equal to `values` where they are known.
    """
    # Conjugate gradients on the unknown pixels only: the precision is never built as a matrix.
    found: Plane = np.where(unknown, 0 if start is None else start, values).astype(np.float32, copy=False)
    # The residual: the gradient of the energy, with respect to unknown pixels only. Known ones stay as they are.
    rest = np.where(unknown, -_precision(found, k), 0)
    # Relative to the residual of no fill, not to that of `start`: a better start then needs fewer steps.
    enough = tolerance**2 * _energy(np.where(unknown, _precision(np.where(unknown, 0, values), k), 0))
    direction, energy = rest.copy(), _energy(rest)
    for _ in range(rounds):
        if energy <= enough:
            break
        # The precision, restricted to the unknown pixels, times the direction.
        image = np.where(unknown, _precision(direction, k), 0)
        step = energy / np.vdot(direction, image)
        found += step * direction
        rest -= step * image
        energy, before = _energy(rest), energy
        # The next direction, conjugate to the last ones, in the same array.
        direction *= energy / before
        direction += rest
    return found


def _energy(values: Plane) -> np.float32:
    return np.float32(np.vdot(values, values))


def _precision(values: Plane, k: float) -> Plane:
    """Return ``(k + L)**2 values``."""
    return _shifted_laplacian(_shifted_laplacian(values, np.float32(k)), np.float32(k))


def _shifted_laplacian(values: Plane, k: np.float32) -> Plane:
    """Return ``(k + L) values``; nothing flows over the borders."""
    out: Plane = k * values
    # `out[1:]` and `out[:-1]` are views of `out`: each difference is added on one side and taken off on the other,
    # which is the Laplacian of the grid without its border.
    for difference, one, other in (
        (values[1:] - values[:-1], out[1:], out[:-1]),
        (values[:, 1:] - values[:, :-1], out[:, 1:], out[:, :-1]),
    ):
        one += difference
        other -= difference
    return out


def lag_one(values: Plane, known: Mask) -> float:
    """Return the correlation of known neighbours, with a mean of 0; 0 where there are none."""
    product = power = 0.0
    for one, other, both in (
        (values[1:], values[:-1], known[1:] & known[:-1]),
        (values[:, 1:], values[:, :-1], known[:, 1:] & known[:, :-1]),
    ):
        a, b = one[both].astype(np.float64), other[both].astype(np.float64)
        product += float(a @ b)
        power += float(a @ a + b @ b) / 2
    return product / power if power > 0 else 0.0


def shortness(correlation: float) -> float:
    """Return the `k` of a field whose neighbours have this correlation.

    >>> round(shortness(0.0)), round(shortness(1.0), 3)
    (1000, 0.001)
    """
    # `np.interp` needs rising abscissae, and the correlation falls with `k`.
    ks, correlations = _table()
    return float(np.exp(np.interp(-correlation, -correlations, np.log(ks))))


@lru_cache(maxsize=1)
def _table() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (k, lag-1 correlation) on a torus, whose covariance is the inverse Fourier transform of its spectrum."""
    # Eigenvalues of the Laplacian along one axis.
    wave = 2 - 2 * np.cos(2 * np.pi * np.arange(_TORUS) / _TORUS)
    ks = np.geomspace(SMOOTHEST, _ROUGHEST, 60)
    covariances = (np.fft.ifft2((k + wave[:, None] + wave) ** -2.0).real for k in ks)
    return ks, np.array([c[0, 1] / c[0, 0] for c in covariances])
