"""Find the width of the blur in an image, for which no point spread function is known."""

from __future__ import annotations

from collections.abc import Generator

from napari_genrecon.arrays import ImageArray, ImageLike
from napari_genrecon.axes import Axes, resolve_axes
from napari_genrecon.engine.run import Progress, finish
from napari_genrecon.errors import ImageError
from napari_genrecon.optics.blur_width import BlurWidth, find_blur_width
from napari_genrecon.tasks.deblur.constants import usable_parts
from napari_genrecon.tasks.given import given_image
from napari_genrecon.tasks.measure import as_source, measure_crops, sample_channels

__all__ = ["measure_blur", "measure_blur_steps"]


def measure_blur(image: ImageLike, *, axes: str | Axes | None = None) -> BlurWidth:
    """Measure how wide the blur in an image is, from the image itself.

    Small spots tell it; an image of lines or soft objects does not, and gets an error that states an upper limit.

    Parameters
    ----------
    image : (..., Y, X) or (..., Y, X, S) array_like, or an image layer of napari
        A raw image: denoised, sharpened and compressed ones have another spectrum.
    axes : str, optional
        One letter per dimension, such as ``"TCYX"``; inferred from the shape if not given (see `axes`).

    Returns
    -------
    BlurWidth
        Full width at half maximum in pixels, for `deblur`, and its error; of the channel that tells it best.

    Raises
    ------
    ImageError
        If the image does not tell it, with the reason.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.ndimage import gaussian_filter
    >>> rng = np.random.default_rng(0)
    >>> points = np.where(rng.random((256, 256)) < 0.003, 5000.0, 0.0)
    >>> print(measure_blur(rng.poisson(gaussian_filter(points, 1.5) + 5.0)))
    blur of 3.3 ± 0.3 px (FWHM), if the smallest spots are points
    """
    given = given_image(image, axes)
    return finish(measure_blur_steps(as_source(given.pixels), given.axes))


def measure_blur_steps(image: ImageArray, axes: str | Axes | None) -> Generator[Progress, None, BlurWidth]:
    """Measure the width of the blur, channel by channel; see `measure_blur`."""
    sampled = sample_channels(image, resolve_axes(axes, tuple(image.shape)))
    # One channel that tells the width is enough; others may show soft objects only.
    found, refused = list[BlurWidth](), list[ImageError]()
    for index, crops in enumerate(sampled):
        yield Progress(index, len(sampled), "measuring the blur")
        try:
            found.append(find_blur_width(*usable_parts(crops, measure_crops(crops))))
        except ImageError as error:
            refused.append(error)
    if not found:
        # All were refused: the reason of the first channel stands for them.
        raise refused[0]
    # By the relative error: a narrow blur has a small absolute one anyway.
    return min(found, key=lambda width: width.error / width.fwhm)
