"""Check that two images show the same field, pixel by pixel, and bring their grey values to one scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from napari_genrecon.engine.tiles import MIDDLE, middle
from napari_genrecon.errors import ImageError

__all__ = ["Match", "change", "fit_levels", "match", "require_another", "require_match", "saturated"]

Image = NDArray[Any]

# Pixels: between these widths lies structure, of which noise leaves little and uneven illumination nothing.
_FINE, _COARSE = 2.0, 16.0
_LEAST = 0.1  # correlation below which two images are taken as different: that of fields with little structure is 0.3
_SURE = 3.0  # s.d. of the correlation at all other shifts that a match must exceed, ...
_ENOUGH = 0.5  # ... or this correlation: a field with one large cell matches at many shifts
_FOUND = 7.0  # s.d. that the best of all shifts must exceed: of thousands, one exceeds 5 by chance
_BETTER = 1.1  # how many times better two shifted images must match than as they are, before they count as shifted
_SQUARE = 8  # pixels of the squares in which structure and change are compared
_STRUCTURED = 0.9  # quantile of the structure from which on squares count; they are compared with the evener half


@dataclass(frozen=True, slots=True)
class Match:
    """How well two images match.

    Attributes
    ----------
    correlation : float
        Correlation of their structure, as they lie.
    best : float
        Correlation after the best shift by whole pixels.
    shift : (int, int)
        Rows and columns by which the second one is shifted against the first.
    chance : float
        S.d. of the correlation over all shifts: what unrelated images have.
    """

    correlation: float
    best: float
    shift: tuple[int, int]
    chance: float

    @property
    def needed(self) -> float:
        """Correlation below which they do not match."""
        # Chance is what the fields themselves give: few large objects match at many shifts, many small ones at few.
        return min(max(_LEAST, _SURE * self.chance), _ENOUGH)

    @property
    def is_shifted(self) -> bool:
        """Whether they match much better after a shift."""
        # Three conditions: the peak is none of chance, it lies elsewhere, and it explains more than no shift does.
        clear = self.best > max(2 * _LEAST, _FOUND * self.chance)
        return clear and self.shift != (0, 0) and self.best > _BETTER * max(self.correlation, 0.0)


def match(first: Image, second: Image) -> Match:
    """Compare the structure of two images by cross-correlation.

    Parameters
    ----------
    first, second : (Y, X) ndarray
        Images of one shape; their middle is compared.
    """
    a, b = (_structure(_middle(image)) for image in (first, second))
    # Cross-correlation at all shifts at once, which wraps around; `_structure` fades out, so little does.
    both = np.fft.irfft2(np.conj(np.fft.rfft2(a)) * np.fft.rfft2(b), a.shape)
    # By Cauchy and Schwarz no value exceeds 1. Without structure both sides are 0.
    both /= np.sqrt(np.sum(a * a) * np.sum(b * b)) or 1.0
    y, x = np.unravel_index(int(np.argmax(both)), both.shape)
    # The upper half of the shifts are the negative ones.
    shift = tuple(int(at if at <= n // 2 else at - n) for at, n in zip((y, x), both.shape, strict=True))
    return Match(float(both[0, 0]), float(both[y, x]), (shift[0], shift[1]), float(both.std()))


def require_match(first: Image, second: Image, names: str) -> Match:
    """Compare two images and refuse them if they do not match; `names` begins the message.

    Raises
    ------
    ImageError
        If they show something else, or are shifted against each other.
    """
    for image in (first, second):
        # Written so that NaN, which fails every comparison, is refused as well.
        if not float(np.nanmax(image)) > float(np.nanmin(image)):
            raise ImageError(f"{names}: one of the two is constant ({float(np.nanmin(image)):g}), so it shows nothing")
    found = match(first, second)
    if found.is_shifted:
        y, x = found.shift
        raise ImageError(
            f"{names} are shifted by {y} px along y and {x} px along x: register them first (correlation "
            f"{found.correlation:.2f} as they are, {found.best:.2f} when shifted)"
        )
    if found.correlation < found.needed:
        raise ImageError(
            f"{names} do not match: their structures have a correlation of {found.correlation:.2f}, at least "
            f"{found.needed:.2f} is needed. Give images of the same field in the same order, or leave this pair out"
        )
    return found


def require_another(image: Image, target: Image, names: str) -> None:
    """Refuse a target that is the image itself.

    Raises
    ------
    ImageError
        If all pixels are the same.
    """
    if np.array_equal(image, target, equal_nan=True):
        raise ImageError(f"{names} have the same pixels, so there is nothing to learn: choose another target")


def fit_levels(noisy: Image, clean: Image) -> tuple[float, float]:
    """Return slope and offset that bring the grey values of clean crops to those of noisy ones.

    Parameters
    ----------
    noisy, clean : (N, Y, X) ndarray
        Crops of the same places.

    Raises
    ------
    ImageError
        If the clean crops are constant, or brighter where the noisy ones are darker.
    """
    # Blurred crop by crop (sigma 0 along N): noise would flatten the line through the grey values.
    x, y = (gaussian_filter(np.asarray(crops, np.float64), (0, _FINE, _FINE)).ravel() for crops in (clean, noisy))
    spread = float(np.var(x))
    if spread == 0:
        raise ImageError(f"the targets are constant ({x[0]:g}), so there is nothing to learn from them")
    # Least squares with the clean crops as the abscissa: noise in it would flatten the line, and they have the least.
    slope = float(np.mean((x - x.mean()) * (y - y.mean()))) / spread
    if not slope > 0:
        raise ImageError(
            f"the targets are darker where the images are brighter (slope {slope:.3g}): give targets of the same "
            "structures, or invert them"
        )
    return slope, float(y.mean() - slope * x.mean())


def change(first: Image, second: Image) -> float:
    """Return how many times more strongly repeats differ where there are structures than where there are none.

    Parameters
    ----------
    first, second : (N, Y, X) ndarray
        Crops of the same places, their noise of s.d. 1.

    Returns
    -------
    float
        1.0 to 1.8 for repeats that differ by their noise alone (simulated ones, white or correlated, with 10 and 30
        electrons); 3 where structures move by a pixel between frames, 20 where they move by their width.
    """
    n, height, width = first.shape
    # (N, rows, pixel, columns, pixel): the axes 2 and 4 are within a square.
    shape = (n, height // _SQUARE, _SQUARE, width // _SQUARE, _SQUARE)
    cut = (..., slice(shape[1] * _SQUARE), slice(shape[3] * _SQUARE))
    differs = np.mean(np.square(first - second)[cut].reshape(shape), axis=(2, 4))
    # The variance of a square is structure only after the noise was averaged away.
    smooth = (gaussian_filter(each, (0, 1.5, 1.5)) for each in (first, second))
    structure = sum(np.var(each[cut].reshape(shape), axis=(2, 4)) for each in smooth)
    high, low = (structure >= np.quantile(structure, _STRUCTURED)), (structure <= np.median(structure))
    # The mean counts the few squares in which something moves; the median of the even ones passes over any there.
    return float(differs[high].mean() / max(float(np.median(differs[low])), 1e-9))


def saturated(image: Image) -> float:
    """Return the share of the pixels at the largest grey value: one of them always is, many are only where it clips."""
    return float(np.mean(image == np.max(image)))


def _middle(image: Image) -> NDArray[np.float64]:
    cut = tuple(middle(n, MIDDLE) for n in image.shape)
    values = np.asarray(image[cut], np.float64)
    # The median makes no edges against what is around, unlike 0.
    return np.where(np.isfinite(values), values, np.nanmedian(values))


def _structure(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the band-passed image, which fades out towards its border."""
    band = gaussian_filter(image, _FINE) - gaussian_filter(image, _COARSE)
    # A window, as the transform wraps around: opposite borders would make an edge that both images share.
    window = np.hanning(image.shape[0] + 2)[1:-1, None] * np.hanning(image.shape[1] + 2)[1:-1]
    return np.asarray((band - band.mean()) * window)
