"""Decide whether two computations of one image are the same: the one place that says what "the same" means.

The same machine, versions and number of threads give the same bits. Elsewhere sums are added up in another order
(vector width, threads, libraries), and float32 results differ in their last digits: they count as the same up to `SAME`
noise s.d. A real difference (other weights, another option, a seam) is 10 to 1000 times larger.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .model import FAINT, NoiseModel

__all__ = ["SAME", "Comparison", "alike", "bound_of", "compare"]

SAME = 1e-3
"""Noise s.d. by which a pixel may differ on another machine or with another number of threads."""

# What float32 can keep follows the contrast, not the noise: where an image has hardly any noise, or none is known
# (`noise=0`, synthetic images), noise of a hundredth of the contrast is taken as the unit.
_LEAST_NOISE = 0.01

_FUSED = 2 * FAINT  # frames denoised together: how much their neighbours count is rounded, too


def bound_of(*records: Mapping[str, Any]) -> float:
    """Return by how many noise s.d. results with these records may differ: more if one was computed in bfloat16."""
    lower = [record for record in records if record.get("precision") == "bfloat16"]
    # What counts as none is also what the cards of models allow bfloat16 to change.
    return max((_FUSED if _is_fused(record) else FAINT for record in lower), default=SAME)


def _is_fused(record: Mapping[str, Any]) -> bool:
    return record.get("frames", {}).get("axis") is not None


class Comparison:
    """How far two versions of one image are apart, added up part by part.

    Parameters
    ----------
    noise : iterable of NoiseModel or dict
        Noise of the channels, as a record holds them; empty where it is not known. The weakest one is the unit.
    bound : float
        How far apart the two may be, in these units; see `bound_of`.

    Attributes
    ----------
    bound : float
        As above.
    largest : float
        The largest difference in grey values; infinite where one is NaN and the other is not.
    """

    def __init__(self, noise: Iterable[NoiseModel | Mapping[str, Any]] = (), bound: float = SAME) -> None:
        self.bound = bound
        models = [model if isinstance(model, NoiseModel) else NoiseModel.from_dict(model) for model in noise]
        self._sigma = min((model.sigma for model in models if model.sigma > 0), default=0.0)
        self.largest = 0.0
        self._beyond = 0.0  # of the difference, what rounding does not explain
        self._pixels = self._changed = 0
        self._moved = 0.0  # sum of all differences
        self._shift = 0.0  # a value of the image
        self._moments = np.zeros(3)  # count, sum and sum of squares of the finite pixels, `_shift` subtracted
        self._integers = False

    def add(self, first: ArrayLike, second: ArrayLike) -> None:
        """Compare one part, two arrays of one shape."""
        a, b = np.asarray(first), np.asarray(second)
        self._pixels += a.size
        self._integers = a.dtype.kind in "iu"
        self._add_moments(b)
        # `a != a` is true for NaN alone, which equals nothing: in both images it is no difference.
        differs = ~((a == b) | ((a != a) & (b != b)))
        if not differs.any():
            return
        a, b = a[differs], b[differs]
        # Only what differs is turned to float64, which cannot hold integers beyond 2**53. Where the difference is NaN,
        # one side is NaN: infinitely far apart.
        with np.errstate(invalid="ignore", over="ignore"):
            apart = np.nan_to_num(np.abs(a.astype(np.float64) - b.astype(np.float64)), nan=np.inf, posinf=np.inf)
        self._changed += a.size
        self._moved += float(apart.sum())
        self.largest = max(self.largest, float(apart.max()))
        self._beyond = max(self._beyond, float((apart - _rounding(a, b)).max()))

    def _add_moments(self, pixels: NDArray[Any]) -> None:
        known = pixels[np.isfinite(pixels)].astype(np.float64)
        if not self._moments[0] and known.size:
            self._shift = float(known[0])
        # About a value of the image, as in large values of small variance the sum of squares would cancel.
        known -= self._shift
        self._moments += known.size, known.sum(), np.square(known).sum()

    @property
    def identical(self) -> bool:
        """Whether every pixel agrees (NaN with NaN)."""
        return not self._changed

    @property
    def same(self) -> bool:
        """Whether they are the same within `bound` units."""
        bound = self.bound * self._unit
        # Where a value lies between two integers, the last digits decide how it is rounded. The mean difference tells
        # a few such pixels from an image that was moved: its limit is `SAME` of a grey value where noise is weaker.
        tipped = not self._integers or self._moved <= self._pixels * max(bound, SAME)
        return self._beyond <= bound and tipped

    @property
    def deviation(self) -> float:
        """The largest difference in noise s.d., or in hundredths of the contrast where there is less noise."""
        return self.largest / self._unit if self._unit else (0.0 if self.identical else np.inf)

    @property
    def _unit(self) -> float:
        return max(self._sigma, _LEAST_NOISE * self._contrast)

    @property
    def _contrast(self) -> float:
        count, total, squares = self._moments
        return float(np.sqrt(max(squares - total**2 / count, 0.0) / count)) if count else 0.0

    def __str__(self) -> str:
        unit = "noise s.d." if self._unit == self._sigma else "hundredths of the image's s.d."
        return f"{self.largest:.4g} grey values ({self.deviation:.2g} {unit})"


def _rounding(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any] | float:
    """Return what rounding to the dtype can make of a difference that is next to nothing."""
    # Two numbers that come from nearly one value are at most one step of their dtype apart.
    if a.dtype.kind != "f":
        return 1.0
    with np.errstate(invalid="ignore"):
        steps = np.spacing(np.maximum(np.abs(a), np.abs(b))).astype(np.float64)
    return np.nan_to_num(steps, nan=0.0)


def compare(
    first: ArrayLike, second: ArrayLike, noise: Iterable[NoiseModel | Mapping[str, Any]] = (), bound: float = SAME
) -> Comparison:
    """Compare two whole images; see `Comparison`.

    Examples
    --------
    >>> image = np.random.default_rng(0).normal(100, 5, (32, 32)).astype("f4")
    >>> compare(image, image + 0.001, [NoiseModel.white(5)]).same
    True
    >>> print(compare(image, image + 0.05, [NoiseModel.white(5)]))
    0.05 grey values (0.01 noise s.d.)
    """
    found = Comparison(noise, bound)
    found.add(first, second)
    return found


def alike(first: Any, second: Any) -> bool:
    """Return whether two JSON values say the same: numbers within a relative `SAME`, everything else equal."""
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(alike(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple) and isinstance(second, list | tuple):
        return len(first) == len(second) and all(map(alike, first, second))
    if isinstance(first, float) and isinstance(second, float):
        return bool(np.isclose(first, second, rtol=SAME, atol=0, equal_nan=True))
    return bool(first == second)
