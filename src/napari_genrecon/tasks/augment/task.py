"""Make new training images from old ones: image, labels and points change together."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from numpy.typing import ArrayLike

from napari_genrecon.arrays import ImageLayer, ImageLike
from napari_genrecon.axes import resolve_axes
from napari_genrecon.engine.memory import available_memory
from napari_genrecon.engine.run import Progress, finish
from napari_genrecon.errors import ImageError
from napari_genrecon.tasks.augment.example import Example, example_steps
from napari_genrecon.tasks.augment.options import AugmentOptions
from napari_genrecon.tasks.augment.parent import Parent, parent_steps
from napari_genrecon.tasks.given import given_image, given_mask, given_points, warn_assumed
from napari_genrecon.tasks.measure import as_source

__all__ = ["augment", "augment_steps"]


def augment(
    image: ImageLike,
    labels: ImageLike | None = None,
    points: ArrayLike | ImageLayer | None = None,
    *,
    n: int = 8,
    flips: bool = True,
    rotate: float = 15.0,
    scale: float = 0.1,
    elastic: float = 2.0,
    gamma: float = 0.2,
    blur: float = 0.0,
    cutout: int = 0,
    exposure: float = 0.0,
    seed: int = 0,
    axes: str | None = None,
) -> list[Example]:
    """Make new training images from one image; its labels and points are moved along.

    Where a deformed image shows what lies outside the original, it has the grey value of the background, the labels
    are 0, and there are no points. All planes, frames and channels are deformed alike, a stack (Z) also along Z.

    Parameters
    ----------
    image : (..., Y, X) or (..., Y, X, S) array_like, or an image layer of napari
        Any real dtype.
    labels : (..., Y, X) array_like of integers, or a labels layer, optional
        Objects or classes, in an array of the image's dimensions but for channels.
    points : (N, D) array_like, or a points layer, optional
        In pixels, one column per dimension of the image; that of channels may be left out, and has none in the result.
    n : int
        Number of new images.
    flips : bool
        Mirror, and turn by right angles; by half turns only if height and width differ.
    rotate : float
        Largest turn in the plane, in degrees, in [0, 180].
    scale : float
        Largest relative change of size, in [0, 0.5].
    elastic : float
        S.d. in pixels of the displacements of a smooth deformation (Simard et al., ICDAR 2003), in [0, 50]; weaker
        where it would fold the image, which the parameters of the result tell.
    gamma : float
        Largest change of the exponent to which grey values are raised, within their range: 0.2 draws exponents from
        1/1.2 to 1.2, in [0, 1].
    blur : float
        Largest s.d. in pixels of a Gaussian blur, in [0, 5].
    cutout : int
        Number of squares, an eighth of the image wide, that hide a part of each image (DeVries & Taylor,
        arXiv:1708.04552, 2017). Labels and points stay.
    exposure : float
        0 keeps the noise of the image, which interpolation softens. Otherwise the image is denoised first, and noise
        is drawn from its measured model: 1 at the exposure of the image, 0.25 with a quarter of its light. Grey values
        keep their mean. In [0, 10].
    seed : int
        The same seed, image and options give the same result.
    axes : str, optional
        One letter per dimension, such as ``"TCYX"``; inferred from the shape if not given (see `napari_genrecon.axes`).

    Returns
    -------
    list of Example
        Each with ``image`` in the dtype of the input, ``labels``, ``points``, ``parameters`` and ``record``. Synthetic:
        not data.

    Raises
    ------
    ImageError
        If the image is none, or labels or points do not fit it.
    OptionError
        If an option cannot work.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_genrecon import augment
    >>> cells = np.random.default_rng(0).poisson(20, (64, 64)).astype("uint16")
    >>> new = augment(cells, points=[[30, 40]], n=2)
    >>> new[0].image.dtype, new[0].points.shape, new[0].record["nature"]
    (dtype('uint16'), (1, 2), 'synthetic')
    """
    given = given_image(image, axes)
    source = as_source(given.pixels)
    resolved = resolve_axes(given.axes, source.shape)
    # Here and not in `augment_steps`: the window and the command line tell assumed axes in their own way.
    warn_assumed(resolved, source)
    options = AugmentOptions(
        n=n, flips=flips, rotate=rotate, scale=scale, elastic=elastic, gamma=gamma, blur=blur, cutout=cutout,
        exposure=exposure, seed=seed, axes=resolved,
    )  # fmt: skip
    found = given_mask(labels, ("labels",)), given_points(points, image)
    return finish(augment_steps(source, options, *found))


def augment_steps(
    image: Any, options: AugmentOptions, labels: Any = None, points: Any = None
) -> Generator[Progress, None, list[Example]]:
    """Run `augment` step by step.

    Parameters
    ----------
    image, options, labels, points
        See `augment`.

    Yields
    ------
    Progress
        After every plane.

    Raises
    ------
    ImageError
        If all new images together do not fit into the memory; `folder.folder_steps` writes one after the other.
    """
    parent = yield from parent_steps(image, options, labels, points)
    # After the parent is read, as its labels count, and before anything is made.
    _require_memory(parent, options.n)
    examples = []
    for index in range(options.n):
        examples.append((yield from example_steps(parent, options, index)))
    yield Progress(options.n, options.n, "done")
    return examples


def _require_memory(parent: Parent, n: int) -> None:
    needed = n * (parent.pixels.nbytes + (0 if parent.labels is None else parent.labels.nbytes))
    free = available_memory()
    if needed > free:
        raise ImageError(
            f"{n} new images need {needed / 1e9:.1f} GB but only {free / 1e9:.1f} GB of memory is free: make fewer, or "
            "write them into a folder (genrecon augment), one after the other"
        )
