"""Measure the resolution of an image by Fourier ring correlation, before and after denoising."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from napari_genrecon.arrays import ImageArray, ImageLike, as_numpy
from napari_genrecon.axes import Axes, resolve_axes
from napari_genrecon.checks.resolution import noise_of_half, ring_correlation, split
from napari_genrecon.engine.intensity import as_plane
from napari_genrecon.engine.run import finish
from napari_genrecon.engine.tiles import MIDDLE, middle
from napari_genrecon.errors import ImageError
from napari_genrecon.noise import NoiseModel
from napari_genrecon.noise.model import SMOOTH
from napari_genrecon.tasks.denoise import DenoiseOptions, denoise_steps
from napari_genrecon.tasks.given import given_image
from napari_genrecon.tasks.measure import Noise, as_source, noise_per_channel, sample_channels

__all__ = ["Resolution", "resolution"]


@dataclass(frozen=True, slots=True)
class Resolution:
    """Finest period that two independent images share.

    Attributes
    ----------
    before, after : float
        This period in the image, and in two halves of it that were denoised one by one, in pixels; infinite where they
        share no detail, 2 where no finer pixel could show more.
    pixel_size : float or None
        In micrometres.
    channel : int or None
        Channel it is of, if the image has several.
    """

    before: float
    after: float
    pixel_size: float | None = None
    channel: int | None = None

    def __str__(self) -> str:
        where = "" if self.channel is None else f"channel {self.channel}, "
        return f"{where}resolution: {self._in_words(self.before)} before denoising, {self._in_words(self.after)} after"

    def _in_words(self, period: float) -> str:
        if not math.isfinite(period):
            return "no detail above the noise"
        size = "" if self.pixel_size is None else f" ({period * self.pixel_size:.3g} µm)"
        return f"{period:.1f} pixels{size}" if period > 2 else f"2 pixels{size} or less"


def resolution(
    image: ImageLike,
    second: ImageLike | None = None,
    *,
    noise: Noise | float | None = None,
    axes: str | Axes | None = None,
    pixel_size: float | None = None,
) -> tuple[Resolution, ...]:
    """Measure the resolution before and after denoising, by Fourier ring correlation at 1/7.

    Two images of the same thing are compared: two frames, or one image split into two halves of independent noise. Then
    both are denoised, one by one, and compared again. A filter does not change this figure, as it changes both images
    alike; only what recovers detail from the noise does. What a model adds to both images alike, from its training, it
    also counts as shared: it is an upper bound of what was gained.

    Parameters
    ----------
    image : (..., Y, X) or (..., Y, X, S) array_like, or an image layer of napari
        The middle 1024 x 1024 pixels of the middle plane of every channel are looked at.
    second : array_like, optional
        Another frame of the same shape, in which nothing has moved.
    noise : NoiseModel, tuple of NoiseModel or float, optional
        Noise of the image; measured from it if not given.
    axes : str, optional
        One letter per dimension; inferred from the shape if not given.
    pixel_size : float, optional
        In micrometres, for the words.

    Returns
    -------
    tuple of Resolution
        One per channel.

    Raises
    ------
    ImageError
        If a single image has noise that neighbouring pixels share, which cannot be split; or the shapes differ.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_genrecon import resolution
    >>> flat = np.random.default_rng(0).normal(100, 5, (128, 128))
    >>> print(resolution(flat, noise=5.0)[0].before)
    inf
    """
    given = given_image(image, axes)
    source = as_source(given.pixels)
    letters = resolve_axes(given.axes, source.shape)
    # The noise of the first frame is that of both, and is measured once.
    other = None if second is None else as_source(given_image(second).pixels)
    if other is not None and tuple(other.shape) != tuple(source.shape):
        raise ImageError(f"the frames have shapes {tuple(source.shape)} and {tuple(other.shape)}: they must be equal")
    models = noise_per_channel(sample_channels(source, letters), noise)
    found = []
    for channel, model in enumerate(models):
        frames = [_middle(data, letters, channel) for data in (source, other) if data is not None]
        before, after = _before_and_after(frames, model)
        found.append(Resolution(before, after, pixel_size, channel if len(models) > 1 else None))
    return tuple(found)


def _middle(source: ImageArray, axes: Axes, channel: int) -> NDArray[np.float64]:
    """Return the middle of the middle plane of a channel."""
    shape: Sequence[int] = source.shape
    at = {i: shape[i] // 2 for i in axes.outer} | ({} if axes.channel is None else {axes.channel: channel})
    # Slices of length 1 keep the number of dimensions, which `axes` counts on.
    region = tuple(slice(at[i], at[i] + 1) if i in at else middle(n, MIDDLE) for i, n in enumerate(shape))
    return as_plane(as_numpy(source[region]), axes).astype(np.float64)


def _before_and_after(frames: list[NDArray[np.float64]], noise: NoiseModel) -> tuple[float, float]:
    # The same one twice if it is alone: it is split into two below.
    first, second = frames[0], frames[-1]
    if len(frames) == 1:
        if not noise.is_white:
            raise ImageError(
                f"neighbouring pixels share their noise (correlation {max(noise.rho_x, noise.rho_y):.2f}), so one "
                "image cannot be split into two of independent noise: give two frames of the same thing"
            )
        # A pixel would set its own noise by its own noise; a smoothed image is nearer to the light that arrived.
        level = gaussian_filter(frames[0], SMOOTH)
        # A fixed seed: one image has one resolution.
        first, second = split(frames[0], level, noise, np.random.default_rng(0))
        # Denoised with the noise of the whole image, the halves would keep part of theirs.
        noise = noise_of_half(noise)
    restored = [_denoised(frame, noise) for frame in (first, second)]
    return ring_correlation(first, second).resolution, ring_correlation(*restored).resolution


def _denoised(frame: NDArray[np.floating[Any]], noise: NoiseModel) -> NDArray[np.float64]:
    return np.asarray(finish(denoise_steps(frame, DenoiseOptions(noise=noise, axes="YX"))).data, np.float64)
