"""Make the noise of an image have s.d. 1 everywhere, and come back without bias.

The generalised Anscombe transform (Starck, Murtagh & Bijaoui 1998) is written relative to the offset and divided
through so that it stays exact in float32 for every gain, down to none at all: with ``d = x - offset``, ``k = sqrt(3/8
gain**2 + read_noise**2)``::

    y = 2 d / (sqrt(gain d + k**2) + k)            d / read_noise where the gain is 0
    d = k y + gain y**2 / 4                        algebraic inverse

The inverse used is the exact unbiased one (Makitalo & Foi, IEEE Trans. Image Process. 22, 2013): the mean of `y` over
the noise is brought to the mean of `x`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from ..normal import REACH
from .model import FAINT, NoiseModel

__all__ = ["NOISE_FREE", "TANGENT_BELOW", "Stabiliser", "stabiliser"]

Floats = NDArray[np.floating]

# Where gain * d + k**2 falls under this part of k**2, the square root goes on as its tangent: it would bend the noise
# of a dark background so far that its mean is lost, and below 0 there is none.
TANGENT_BELOW = 0.5
NOISE_FREE = 1e-3
"""Part of the range of grey values that is taken for the noise s.d. where there is no noise."""
_LEAST_VARIANCE = 0.25  # of transformed noise: that of a quarter of a photo-electron


@dataclass(frozen=True, slots=True, eq=False)
class Stabiliser:
    """A variance-stabilising transform and its inverse; made by `stabiliser`.

    Parameters
    ----------
    offset : float
        Grey value that is brought to 0.
    gain, k : float
        Constants of the square root, in DN.
    knots : (3, N) ndarray of float64 or None
        Where the noise follows no line: ascending grey values above the offset, their transform, and the mean of the
        transform over the noise at these values.
    correction : (2, M) ndarray of float64
        Ascending transformed values, and what to add to the algebraic inverse there.
    below : float
        S.d. in DN that the noise is taken to have, at least, below the offset.
    """

    offset: float
    gain: float
    k: float
    knots: NDArray[np.float64] | None
    correction: NDArray[np.float64]
    variance: NDArray[np.float64]
    below: float = 0.0

    def forward(self, image: ArrayLike) -> NDArray[np.float32]:
        """Turn grey values into values whose noise has s.d. 1.

        Parameters
        ----------
        image : (...) array_like
            Any real dtype. NaN stays NaN.

        Returns
        -------
        (...) ndarray of float32
        """
        above = _above(np.asarray(image), self.offset)
        with np.errstate(invalid="ignore"):
            if self.knots is not None:
                return _interpolate(above, self.knots[0], self.knots[1])
            return _root(above, self.gain, self.k, self.below)

    def inverse(
        self, stabilised: ArrayLike, *, dtype: DTypeLike = np.float32, variance: NDArray[np.float32] | None = None
    ) -> Floats:
        """Turn denoised values back into grey values, so that their mean over the noise is right.

        Parameters
        ----------
        stabilised : (...) array_like
            What a denoiser made of `forward`'s result, or of that of `of_mean`.
        dtype : float dtype
            float64 where the offset is too large for float32 (a uint32 image, say).
        variance : (...) ndarray of float32, optional
            What `of_mean` was given.

        Returns
        -------
        (...) ndarray of `dtype`
        """
        y = np.asarray(stabilised, dtype=np.float32)
        if self.knots is not None:
            above = _interpolate(y, self.knots[2], self.knots[0])
        elif variance is not None and self.gain:
            above = self._mean_above(y, variance)
        else:
            above = _square(y, self.gain, self.k, self.below)
            # Without shot noise the transform is a scale, and its inverse has no bias.
            if self.gain:
                above += self._corrected(y)
        # Last and in `dtype`: a large offset leaves float32 no digits for what stands above it.
        return np.add(above, self.offset, dtype=np.dtype(dtype))

    def left(self, stabilised: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the variance of transformed noise whose mean lies at these values: 1, but where photons are few."""
        return np.interp(stabilised, *self.variance).astype(np.float32)

    def squared(self, stabilised: NDArray[np.float32], image: NDArray[Any]) -> NDArray[np.float32]:
        """Return the squares of a transformed image, whose mean over images `of_mean` needs; there must be a gain.

        Where the root goes on as its tangent they are no squares, but what makes ``d = k y + gain y**2 / 4`` true.
        """
        above = _above(image, self.offset)
        return np.asarray((above - np.float32(self.k) * stabilised) * np.float32(4 / self.gain), np.float32)

    def of_mean(
        self, mean: NDArray[np.float32], squares: NDArray[np.float32], variance: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return the transform of the mean of some images; the mean of their transforms knows few photons less well.

        Parameters
        ----------
        mean, squares : (...) ndarray of float32
            Weighted means of transformed images, and of their squares as `squared` gives them.
        variance : (...) ndarray of float32
            Variance of the noise that is left in such a mean, 1 for a single image.

        Returns
        -------
        (...) ndarray of float32
            Values with noise of this variance. A mean of n images has the gain and the variance of the read noise of
            one divided by n.
        """
        above = np.float32(self.k) * mean + np.float32(self.gain / 4) * squares
        k = self._mean_k(variance)
        return _root(above, self.gain, k, self.below) + self._apart(k, variance)

    def _mean_k(self, variance: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return `k` of means with this variance."""
        shot = 0.375 * self.gain**2
        return np.sqrt(np.float32(max(self.k**2 - shot, 0.0)) + np.float32(shot) * variance)

    def _apart(self, k: NDArray[np.float32], variance: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return ``2 (k - self.k) / gain``: what lies between transforms that begin at 0 and roots that go together."""
        return (variance - 1) * np.float32(0.75 * self.gain) / (k + np.float32(self.k))

    def _mean_above(self, y: NDArray[np.float32], variance: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what `of_mean` transformed, above the offset; its mean is right.

        To second order the mean of the root lies ``gain variance / 4 (1 - 3/8 gain**2 variance / root**2)`` lower; the
        rest is below 0.03 electrons for a single image, is taken from the table, and falls with the variance.
        """
        k = self._mean_k(variance)
        above = _square(y - self._apart(k, variance), self.gain, k, self.below)
        single = _root(above, self.gain, self.k, self.below)
        rest = self._corrected(single) - self._second_order(above, np.float32(self.k), np.float32(1))
        return above + self._second_order(above, k, variance) + variance * rest

    def _second_order(self, above: NDArray[np.float32], k: Any, variance: Any) -> NDArray[np.float32]:
        squared_root = np.float32(self.gain) * np.maximum(above, 0) + k * k
        shot = np.float32(0.375 * self.gain**2) * variance
        return np.float32(self.gain / 4) * variance * (1 - shot / squared_root)

    def _corrected(self, y: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.interp(y, *self.correction).astype(np.float32)


def stabiliser(model: NoiseModel) -> Stabiliser:
    """Return the transform that makes this noise have s.d. 1.

    Parameters
    ----------
    model : NoiseModel
        Noise of one channel, over the whole image: never of one tile.

    Returns
    -------
    Stabiliser
        For a noise-free model a plain rescaling by a thousandth of the range of grey values, as s.d. 1 cannot be.
    """
    if not model.affine:
        return _from_curve(model)
    k = _constant(model)
    # A lower offset is tried first; noise is assumed below it only if the image is darker still.
    if _reaches_far_below(model, k):
        model = _lowered(model)
        k = _constant(model)
    below = _noise_below(model, k)
    return Stabiliser(model.offset, model.gain, k, None, *_tables(model.gain, model.read_noise, k, below), below)


def _constant(model: NoiseModel) -> float:
    return math.sqrt(0.375 * model.gain**2 + model.read_noise**2) or _noise_free_scale(model)


def _reaches_far_below(model: NoiseModel, k: float) -> bool:
    """Return whether the image is darker than noise alone could make it below the offset."""
    return bool(model.gain and model.levels is not None and model.levels[0] <= model.offset - REACH * k)


def _lowered(model: NoiseModel) -> NoiseModel:
    """Return the same line of variances, its offset at the darkest grey values: the square root bends under the offset.

    What was read noise there is shot noise; of that there is only so much, and none below where the line reaches 0.
    """
    assert model.levels is not None
    lower = min(model.offset - model.levels[0], model.read_noise**2 / model.gain)
    read_variance = max(model.read_noise**2 - model.gain * lower, 0.0)
    return replace(model, offset=model.offset - lower, read_noise=math.sqrt(read_variance))


def _noise_below(model: NoiseModel, k: float) -> float:
    """Return the noise to count with below an offset above which all light should be, but is not; 0 if there is none.

    A line through the measured variances may reach 0 within the image. Taken at its word, the image has no noise at all
    below, and a dark spot becomes a pit of thousands of standard deviations: what overshoots at its rim comes back as
    light that never was.
    """
    if model.levels is None or not _reaches_far_below(model, k):
        return 0.0
    return float(np.max(model.sigma_at(np.asarray(model.levels[1:]))))


def _noise_free_scale(model: NoiseModel) -> float:
    return NOISE_FREE * (model.levels[2] - model.levels[0]) or 1.0 if model.levels else 1.0


def _above(image: NDArray[np.generic], offset: float) -> NDArray[np.float32]:
    """Subtract the offset, in float64 where float32 could not hold the image; return float32."""
    # float32 holds every value of these.
    if image.dtype in (np.float32, np.float16, np.uint8, np.int8, np.uint16, np.int16):
        return np.subtract(image, np.float32(offset), dtype=np.float32)
    return np.subtract(image, offset, dtype=np.float64).astype(np.float32)


def _root(above: NDArray[np.float32], gain: float, k: float | NDArray[np.float32], below: float) -> NDArray[np.float32]:
    """Apply the generalised Anscombe transform, with its tangent below `TANGENT_BELOW`."""
    if gain == 0:
        return np.divide(above, k, dtype=np.float64).astype(np.float32)  # 1 / k may be beyond float32
    start, slope = _tangent(gain, k, below)
    inside = np.maximum(above, start)
    # Equal to 2 (sqrt(gain d + k**2) - k) / gain, in which a small gain would leave no digits.
    y = 2 * inside / (np.sqrt(np.float32(gain) * inside + np.float32(k * k)) + np.float32(k))
    y += np.minimum(above - start, 0) / slope
    return np.asarray(y, dtype=np.float32)


def _square(y: NDArray[np.float32], gain: float, k: float | NDArray[np.float32], below: float) -> NDArray[np.float32]:
    """Undo `_root` algebraically."""
    if gain == 0:
        return y * np.float32(k)
    _, slope = _tangent(gain, k, below)
    start = np.float32(2 * (math.sqrt(TANGENT_BELOW) - 1) * k / gain)  # `_root` of where the tangent begins
    inside = np.maximum(y, start)
    above = inside * (np.float32(gain / 4) * inside + np.float32(k))
    above += np.minimum(y - start, 0) * slope
    return above


def _tangent(gain: float, k: float | NDArray[np.float32], below: float) -> tuple[np.float32, np.float32]:
    """Return where the tangent begins, above the offset, and the s.d. of the noise there."""
    start = (TANGENT_BELOW - 1) * k * k / gain
    return np.float32(start), np.float32(np.maximum(math.sqrt(TANGENT_BELOW) * k, below))


def _tables(gain: float, read_noise: float, k: float, below: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Tabulate what the exact unbiased inverse adds to the algebraic one, and the variance, by transformed value.

    Without light and read noise there is no variance, but no image tells that there is no light.
    """
    if gain == 0:
        return np.zeros((2, 1)), np.ones((2, 1))
    # Even steps of the logarithm: the correction changes most where photons are few.
    electrons = np.concatenate([[0.0], np.geomspace(0.01, 1e4, 96)])
    y, variance = np.array([_moments(level, gain, read_noise, k, below) for level in electrons]).T
    algebraic = _square(y.astype(np.float32), gain, k, below).astype(np.float64)
    return np.stack([y, gain * electrons - algebraic]), np.stack([y, np.clip(variance, _LEAST_VARIANCE, 1)])


def _moments(electrons: float, gain: float, read_noise: float, k: float, below: float) -> tuple[float, float]:
    """Return the mean and variance of the transform of a Poisson count of this mean plus Gaussian read noise."""
    counts, weights = _poisson(electrons)
    # Gauss-Hermite quadrature over the read noise: nodes in s.d.
    nodes, node_weights = np.polynomial.hermite_e.hermegauss(24)
    above = gain * counts[:, None] + read_noise * nodes  # (counts, nodes)
    y = _root(above.astype(np.float32), gain, k, below).astype(np.float64)
    node_weights = node_weights / node_weights.sum()
    mean = float(weights @ y @ node_weights)
    return mean, float(weights @ np.square(y - mean) @ node_weights)


def _poisson(mean: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the counts and their probabilities; for large means a subset of the counts stands for all."""
    # 8 s.d., and 12 counts for small means, whose distribution is skewed: no probability to speak of lies beyond.
    reach = 8 * math.sqrt(mean) + 12
    first, last = max(0.0, math.floor(mean - reach)), math.ceil(mean + reach)
    counts = np.arange(first, last + 1, max(1, round((last - first) / 400)))
    # The logarithm below has no value at 0, where every count is 0.
    if mean == 0:
        return counts[:1] * 0, np.ones(1)
    # By logarithms, as mean**count and the factorial leave the range of floats.
    log_factorial = np.array([math.lgamma(count + 1) for count in counts])
    weights = np.exp(counts * math.log(mean) - mean - log_factorial)
    return counts, weights / weights.sum()


def _from_curve(model: NoiseModel) -> Stabiliser:
    """Integrate 1 / sigma over the grey values; for the inverse the noise is Gaussian of the local strength."""
    means = np.array(model.curve)[:, 0]
    # So far out that noise no longer reaches the curve: there both ways go on with one slope, and no light is lost.
    margin = max(0.25 * (means[-1] - means[0]), REACH * float(model.sigma_at(means).max()))
    levels = np.linspace(means[0] - margin, means[-1] + margin, 1025)
    sigma = model.sigma_at(levels)
    # Where the curve comes near 0, the slope 1 / sigma would have no bound.
    sigma = np.maximum(sigma, FAINT * sigma.max() or _noise_free_scale(model))
    slope = 1 / sigma
    y = np.concatenate([[0.0], np.cumsum((slope[1:] + slope[:-1]) / 2 * np.diff(levels))])
    above = levels - model.offset
    nodes, weights = np.polynomial.hermite_e.hermegauss(24)
    noisy = _interpolate(above[:, None] + sigma[:, None] * nodes, above, y)  # (levels, nodes)
    # `inverse` reads this table backwards: it must not fall.
    expected = np.maximum.accumulate(noisy @ (weights / weights.sum()))
    expected += np.arange(len(expected)) * 1e-9  # strictly ascending, as interpolation wants
    return Stabiliser(model.offset, 0.0, 1.0, np.stack([above, y, expected]), np.zeros((2, 1)), np.ones((2, 1)))


def _interpolate(x: Floats, xp: NDArray[np.float64], fp: NDArray[np.float64]) -> NDArray[np.float32]:
    """Interpolate linearly, going on with the outermost slopes."""
    # np.interp holds the values of the ends; what lies beyond is added.
    inside = np.interp(x, xp, fp)
    low = (fp[1] - fp[0]) / (xp[1] - xp[0]) * np.minimum(x - xp[0], 0)
    high = (fp[-1] - fp[-2]) / (xp[-1] - xp[-2]) * np.maximum(x - xp[-1], 0)
    return np.asarray(inside + low + high, dtype=np.float32)
