"""The noise of one channel, as a value that can be printed, stored and given by hand."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import OptionError
from .report import CORRELATED, describe

__all__ = ["ERROR", "FAINT", "FAR", "LEVELS", "SMOOTH", "Method", "NoiseModel"]

Method = Literal["flat blocks", "high-pass", "residual", "counts", "given"]
FAR = (2, 3, 5)
"""Distances in pixels of `NoiseModel.far_x` and `far_y`."""
LEVELS = (0.01, 0.5, 0.99)
"""Quantiles that are the dark, the median and the bright level of `NoiseModel.levels`."""
FAINT = 0.05
"""Part of the noise s.d. that counts as none: of fainter stripes, and of a grey level with less noise than that."""

SMOOTH = 2.0
"""S.d. in pixels of the window whose mean is the grey level that sets the noise of its middle."""
ERROR = 0.05
"""S.d. of the measured noise s.d., as a part of it: in 96 of 100 scenes it is within two of these, 10 %."""

_DERIVED = ("sigma", "snr")
_NON_NEGATIVE = (
    "gain", "read_noise", "row_stripes", "column_stripes", "hot_fraction", "saturated_fraction", "pixels_sampled",
    "missing_fraction",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseModel:
    """How strong the noise of one channel is, at every grey level, and how it is correlated.

    The variance of a pixel whose true value is ``mean`` is ``gain * (mean - offset) + read_noise**2``: the photon
    transfer curve (Janesick, *Photon Transfer*, SPIE 2007; Foi et al., IEEE Trans. Image Process. 17, 2008). DN are
    grey values of the image.

    Parameters
    ----------
    gain : float
        DN per photo-electron; the slope of the photon transfer curve. 0 means that the noise does not depend on the
        signal.
    offset : float
        The darkest level of the image, in DN. One image cannot tell the camera's offset from a dark background:
        ``gain * offset`` and ``read_noise**2`` share one free constant, and the transforms built from the model only
        use their sum. So the offset is put where the image is darkest.
    read_noise : float
        Noise s.d. at the offset level, in DN: the camera's read noise where the image reaches the camera's dark level,
        otherwise read noise and the shot noise of the darkest background together.
    rho_x, rho_y : float
        Correlation of the noise of neighbouring pixels along x and y, in (-1, 1). 0 for a camera's raw pixels.
    far_x, far_y : tuple of three floats, or ()
        Correlation at distances of 2, 3 and 5 pixels along x and y; empty where it was not measured.
    row_stripes, column_stripes : float
        S.d. in DN of offsets common to a whole row or column, which are not part of ``read_noise``.
    curve : tuple of (mean, variance) pairs
        What was measured, in DN and DN**2, in ascending order of the mean; empty when the model was given.
    affine : bool
        Whether the straight line describes the noise. If not (grey values that were compressed or gamma-corrected),
        `variance_at` follows `curve`.
    levels : (dark, median, bright) or None
        The 1 %, 50 % and 99 % levels of the image in DN, measured on 4 x 4 means.
    hot_fraction, saturated_fraction : float
        Fraction in [0, 1] of single hot (or dead) pixels, and of pixels at `saturation_level`.
    saturation_level : float or None
        The grey value at which the image is clipped; None where no clipping was seen.
    method : {"flat blocks", "high-pass", "residual", "counts", "given"}
        From what the variance was measured: of flat blocks, all but the lowest frequencies (correlated noise) or only
        the high ones (white); what a denoiser takes away where its result is even (correlated noise); or not at all,
        as counted photons have a variance that is their mean.
    pixels_sampled : int
        Number of pixels looked at.
    textured : bool
        No flat patch was found. Correlated noise cannot be told from structure then; the noise is read from the finest
        detail and taken as white.
    missing_levels : tuple of float
        Grey values of constant regions far outside the rest of the image: padding, saturated margins, burnt-in bars.
    missing_fraction : float
        Fraction in [0, 1] of the pixels that have these.

    Examples
    --------
    >>> camera = NoiseModel(gain=0.5, offset=100, read_noise=2)
    >>> round(float(camera.sigma_at(192)), 3)
    7.071
    >>> NoiseModel.white(12).sigma
    12.0
    """

    gain: float = 0.0
    offset: float = 0.0
    read_noise: float = 0.0
    rho_x: float = 0.0
    rho_y: float = 0.0
    row_stripes: float = 0.0
    column_stripes: float = 0.0
    curve: tuple[tuple[float, float], ...] = ()
    affine: bool = True
    levels: tuple[float, float, float] | None = None
    hot_fraction: float = 0.0
    saturated_fraction: float = 0.0
    saturation_level: float | None = None
    method: Method = "given"
    pixels_sampled: int = 0
    textured: bool = False
    missing_levels: tuple[float, ...] = ()
    missing_fraction: float = 0.0
    far_x: tuple[float, ...] = ()
    far_y: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        # Checked one by one, as reports are JSON that people may write by hand.
        for name in ("gain", "offset", "read_noise", "rho_x", "rho_y", *_NON_NEGATIVE):
            _check_finite(name, getattr(self, name))
        for name in _NON_NEGATIVE:
            if getattr(self, name) < 0:
                raise OptionError(f"{name} must be 0 or more, got {getattr(self, name)}")
        for name in ("rho_x", "rho_y"):
            if abs(getattr(self, name)) >= 1:
                raise OptionError(f"{name} is a correlation and must lie between -1 and 1, got {getattr(self, name)}")
        for name in ("far_x", "far_y"):
            # The only way to replace a value of a frozen dataclass: lists from JSON become tuples.
            object.__setattr__(self, name, _checked_far(name, getattr(self, name)))
        for name in ("hot_fraction", "saturated_fraction", "missing_fraction"):
            if getattr(self, name) > 1:
                raise OptionError(f"{name} is a fraction and must lie between 0 and 1, got {getattr(self, name)}")
        for name in ("affine", "textured"):
            # The text "false" would count as true.
            if not isinstance(getattr(self, name), bool):
                raise OptionError(f"{name} must be true or false, got {getattr(self, name)!r}")
        if self.method not in get_args(Method):
            raise OptionError(f"method must be one of {', '.join(get_args(Method))}; got {self.method!r}")
        if self.saturation_level is not None:
            _check_finite("saturation_level", self.saturation_level)
        for level in self.missing_levels:
            _check_finite("missing_levels", level)
        object.__setattr__(self, "missing_levels", tuple(self.missing_levels))
        object.__setattr__(self, "curve", _checked_curve(self.curve, needed=not self.affine))
        object.__setattr__(self, "levels", _checked_levels(self.levels))

    @classmethod
    def white(cls, sigma: float) -> NoiseModel:
        """Make a model of uncorrelated noise of the same strength everywhere.

        Parameters
        ----------
        sigma : float
            Noise s.d. in DN; positive.

        Raises
        ------
        OptionError
            Where `sigma` is not a positive finite number.
        """
        _check_finite("sigma", sigma)
        if not sigma > 0:
            raise OptionError(f"the s.d. of noise must be above 0, got {sigma}; leave it out to have it measured")
        return cls(read_noise=float(sigma))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> NoiseModel:
        """Return the model that `to_dict` wrote.

        Raises
        ------
        OptionError
            For a key that is not known, or a value that cannot be.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        # What `to_dict` adds for the reader follows from the rest, and is dropped.
        unknown = sorted(set(data) - known - set(_DERIVED))
        if unknown:
            raise OptionError(f"a noise model has no {unknown[0]!r}. Known: {', '.join(sorted(known))}")
        return cls(**{key: value for key, value in data.items() if key in known})

    def to_dict(self) -> dict[str, Any]:
        """Return numbers, lists and strings, ready for JSON; `sigma` and `snr` are there for the reader's sake."""
        data = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        data["curve"] = [list(pair) for pair in self.curve]
        data |= {"far_x": list(self.far_x), "far_y": list(self.far_y)}
        data["missing_levels"] = list(self.missing_levels)
        data["levels"] = None if self.levels is None else list(self.levels)
        # JSON has no infinity.
        return data | {"sigma": self.sigma, "snr": self.snr if math.isfinite(self.snr) else None}

    def averaged(self, frames: float) -> NoiseModel:
        """Return the noise of a mean of so many frames, where that of each is another.

        >>> NoiseModel(gain=2, read_noise=6).averaged(4).read_noise
        3.0
        """
        root = math.sqrt(frames)
        return dataclasses.replace(
            self,
            gain=self.gain / frames,
            read_noise=self.read_noise / root,
            row_stripes=self.row_stripes / root,
            column_stripes=self.column_stripes / root,
            curve=tuple((mean, variance / frames) for mean, variance in self.curve),
        )

    def variance_at(self, mean: ArrayLike) -> NDArray[np.float64]:
        """Return the noise variance in DN**2 where the true grey value is `mean`; never below 0."""
        level = np.asarray(mean, dtype=np.float64)
        # np.interp goes on with the values at the ends of the curve.
        if not self.affine:
            means, variances = np.array(self.curve).T
            return np.asarray(np.interp(level, means, variances))
        # Below the offset the line would fall under 0: read noise is what is left there.
        return self.gain * np.maximum(level - self.offset, 0.0) + self.read_noise**2

    def sigma_at(self, mean: ArrayLike) -> NDArray[np.float64]:
        """Return the noise s.d. in DN where the true grey value is `mean`."""
        return np.sqrt(self.variance_at(mean))

    @property
    def sigma(self) -> float:
        """Noise s.d. in DN at the median level of the image (at the offset, for a model given by hand)."""
        return float(self.sigma_at(self.offset if self.levels is None else self.levels[1]))

    @property
    def snr(self) -> float:
        """Contrast-to-noise ratio: bright level minus dark level, in noise s.d. of the bright level; 0 if unknown.

        Infinite without noise.
        """
        if self.levels is None or self.levels[2] <= self.levels[0]:
            return 0.0
        sigma = float(self.sigma_at(self.levels[2]))
        return (self.levels[2] - self.levels[0]) / sigma if sigma > 0 else math.inf

    @property
    def is_white(self) -> bool:
        """Whether neighbouring pixels are, within what can be measured, independent."""
        return max(abs(self.rho_x), abs(self.rho_y)) < CORRELATED

    @property
    def correlations(self) -> tuple[float, ...]:
        """Correlation at distances of 1 pixel and of `FAR` along x, then along y; eight numbers.

        Where only that of neighbours is known, the others are those of Gaussian grains, ``rho**(distance**2)``.
        """
        along = ((self.rho_x, self.far_x), (self.rho_y, self.far_y))
        return tuple(c for rho, far in along for c in (rho, *(far or (max(rho, 0.0) ** (d * d) for d in FAR))))

    def describe(self) -> str:
        """Describe the model in a microscopist's words: a line for each finding, and advice where there is some."""
        return describe(self)

    def __str__(self) -> str:
        return self.describe()


def _check_finite(name: str, value: object) -> None:
    # True and False are integers in Python, and no numbers of noise.
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise OptionError(f"{name} must be a number, got {value!r}")
    if not math.isfinite(value):
        raise OptionError(f"{name} must be a finite number, got {value}")


def _checked_far(name: str, far: object) -> tuple[float, ...]:
    if not isinstance(far, Sequence) or len(far) not in (0, len(FAR)):
        raise OptionError(f"{name} must hold the correlation at distances of {FAR} pixels, or nothing; got {far!r}")
    for rho in far:
        _check_finite(name, rho)
        if abs(rho) > 1:
            raise OptionError(f"{name} holds correlations, which lie between -1 and 1; got {rho}")
    return tuple(map(float, far))


def _checked_curve(curve: object, *, needed: bool) -> tuple[tuple[float, float], ...]:
    try:
        points = np.array(curve, dtype=np.float64).reshape(-1, 2)  # (M, 2): mean, variance
    except (TypeError, ValueError):
        raise OptionError(f"curve must be a list of (mean, variance) pairs, got {curve!r}") from None
    # np.interp gives nonsense, and no error, where means do not ascend.
    if not np.isfinite(points).all() or (points[:, 1] < 0).any() or (np.diff(points[:, 0]) <= 0).any():
        raise OptionError("curve must have finite, ascending means and variances of 0 or more")
    if needed and len(points) < 2:
        raise OptionError("a noise model with affine=False needs a curve of at least two (mean, variance) pairs")
    return tuple((float(mean), float(variance)) for mean, variance in points)


def _checked_levels(levels: Any) -> tuple[float, float, float] | None:
    if levels is None:
        return None
    try:
        # Unpacking refuses more or fewer than three with a ValueError.
        dark, median, bright = (float(level) for level in levels)
    except (TypeError, ValueError):
        raise OptionError(f"levels must be three numbers (dark, median, bright), got {levels!r}") from None
    # The difference is finite only if both ends are, and the median lies between them.
    if not (math.isfinite(bright - dark) and dark <= median <= bright):
        raise OptionError(f"levels must be finite and ascending (dark, median, bright), got {levels!r}")
    return dark, median, bright
