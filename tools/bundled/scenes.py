"""Simulated clean images of fluorescence microscopy, and the dead leaves of :mod:`bundled.dead_leaves`.

Every scene is a pure function of a random generator and a shape and returns float32 ``(Y, X)``, roughly in [0, 1].
Lengths are in pixels. Nothing here adds noise: see :mod:`bundled.degrade`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bundled.dead_leaves import dead_leaves
from bundled.fields import Box, Image, Shape, box_around, smooth_noise

__all__ = ["cells", "dead_leaves", "filaments", "fluorescence", "mesh", "nuclei_like", "puncta"]

PSF_SIGMA = (0.7, 2.5)  # px: from critically sampled to twice oversampled


def fluorescence(rng: np.random.Generator, shape: Shape) -> Image:
    """Draw one random fluorescence scene, at times two structures in one image, with out-of-focus light.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of all randomness.
    shape : (int, int)
        Rows and columns.

    Returns
    -------
    (Y, X) ndarray of float32
        Clean image, roughly in [0, 1].
    """
    kinds = rng.choice(len(FLUORESCENCE), size=2, replace=False)
    image = FLUORESCENCE[kinds[0]](rng, shape)
    if rng.random() < 0.35:
        image = image + rng.uniform(0.1, 1.0) * FLUORESCENCE[kinds[1]](rng, shape)
    if rng.random() < 0.4:
        image = image + rng.uniform(0.1, 0.7) * _out_of_focus(rng, FLUORESCENCE[kinds[1]](rng, shape))
    return _unit_range(image)


def cells(rng: np.random.Generator, shape: Shape) -> Image:
    """Draw textured cells on a flat background: cytoplasm brightest beside a dark (or bright) nucleus, vesicles."""
    radius = rng.uniform(18, 60)
    image = np.zeros(shape, np.float32)
    texture = smooth_noise(rng, shape, length=rng.uniform(1.5, 5))
    speckle = smooth_noise(rng, shape, length=rng.uniform(0.8, 1.5))
    contrast, grain = rng.uniform(0.1, 0.4), rng.uniform(0.0, 0.15)
    nucleus_level = rng.choice([0.25, 0.5, 1.6])
    for centre in _scatter(rng, shape, spacing=radius * rng.uniform(1.6, 3.0)):
        depth, angle = _blob(rng, shape, centre, radius * rng.uniform(0.7, 1.3), rng.uniform(0.08, 0.3))
        box, inside = depth
        brightness = rng.lognormal(0, 0.4)
        nucleus = ndimage.gaussian_filter((inside > rng.uniform(0.5, 0.65)).astype(np.float32), 1.0)
        body = _rise(inside, 0.12) * (0.35 + inside) * (1 + (nucleus_level - 1) * nucleus)
        body = body * np.exp(contrast * texture[box] + grain * speckle[box]) * (1 + 0.2 * angle)
        image[box] = np.maximum(image[box], brightness * body)
    return _through_microscope(rng, image)


def nuclei_like(rng: np.random.Generator, shape: Shape) -> Image:
    """Draw stained nuclei: smooth ellipses with chromatin texture, dark nucleoli or bright spots, some overlapping."""
    radius = rng.uniform(5, 26)
    image = np.zeros(shape, np.float32)
    texture = smooth_noise(rng, shape, length=max(0.8, radius * rng.uniform(0.06, 0.2)))
    spots = np.maximum(smooth_noise(rng, shape, length=max(0.8, radius * 0.1)) - 1.6, 0) * rng.uniform(-0.8, 1.5)
    contrast = rng.uniform(0.05, 0.4)
    for centre in _scatter(rng, shape, spacing=radius * rng.uniform(1.8, 4.0)):
        (box, inside), _ = _blob(rng, shape, centre, radius * rng.uniform(0.7, 1.25), rng.uniform(0.02, 0.12))
        body = _rise(inside, rng.uniform(0.08, 0.3)) * np.exp(contrast * texture[box])
        body = body * np.clip(1 + spots[box], 0.1, 3)
        image[box] += rng.lognormal(0, 0.35) * body
    return _through_microscope(rng, image)


def filaments(rng: np.random.Generator, shape: Shape) -> Image:
    """Draw a cytoskeleton: persistent curves that start at organising centres or anywhere, of uneven brightness."""
    count = int(np.exp(rng.uniform(np.log(0.5), np.log(5))) * 1e-3 * shape[0] * shape[1]) + 4
    centres = _scatter(rng, shape, spacing=rng.uniform(60, 140))
    radial = rng.random() < 0.5 and len(centres) > 0
    stiffness = rng.uniform(40, 400)  # px, the persistence length
    if radial:
        start = centres[rng.integers(len(centres), size=count)] + rng.normal(0, 3, (count, 2))
    else:
        start = rng.uniform(-20, np.asarray(shape) + 20, (count, 2))
    length = rng.uniform(60, 300)
    curves = _worm_like(rng, start, steps=int(2 * length), stiffness=stiffness)  # (count, steps, 2), half-pixel steps
    weight = rng.lognormal(0, 0.5, (count, 1)) * np.ones(curves.shape[:2])
    weight *= np.arange(curves.shape[1]) < rng.uniform(0.3, 1, (count, 1)) * curves.shape[1]
    image = _splat(shape, curves.reshape(-1, 2), weight.ravel())
    if rng.random() < 0.5:
        image *= _rise(smooth_noise(rng, shape, length=rng.uniform(25, 60)) + rng.uniform(0, 1), 0.6)  # cells with gaps
    if rng.random() < 0.6:
        image += (
            0.4 * image.mean() * np.exp(0.5 * smooth_noise(rng, shape, length=rng.uniform(15, 50)))
        )  # free monomers
    return _through_microscope(rng, image)


def mesh(rng: np.random.Generator, shape: Shape) -> Image:
    """Draw a tubular network (ER, membranes of a tissue): the borders of a Voronoi tessellation, bent a little."""
    spacing = rng.uniform(8, 40)
    seeds = _scatter(rng, (shape[0] + 80, shape[1] + 80), spacing) - 40
    yx = np.indices(shape).astype(np.float32)
    bend = rng.uniform(1, 4)
    yx += bend * np.stack([smooth_noise(rng, shape, length=spacing / 2) for _ in range(2)])
    nearest = _two_nearest(seeds, yx)
    ridge = nearest[..., 1] - nearest[..., 0]
    image = np.exp(-0.5 * (ridge / rng.uniform(0.8, 1.6)) ** 2).astype(np.float32)
    image *= np.exp(0.4 * smooth_noise(rng, shape, length=rng.uniform(2, 10)))
    if rng.random() < 0.6:
        image *= _rise(smooth_noise(rng, shape, length=rng.uniform(25, 60)) + 0.5, 0.6)
    return _through_microscope(rng, image)


def puncta(rng: np.random.Generator, shape: Shape) -> Image:
    """Draw vesicles, foci or single molecules: point-like spots, often gathered in cells over a diffuse haze."""
    density = np.exp(rng.uniform(0, 2) * smooth_noise(rng, shape, length=rng.uniform(12, 50)))
    count = int(np.exp(rng.uniform(np.log(3e-4), np.log(2e-2))) * density.size) + 3
    cumulative = np.cumsum(density.ravel(), dtype=np.float64)
    pixel = np.searchsorted(cumulative, rng.uniform(0, cumulative[-1], count))
    rows, columns = np.unravel_index(np.minimum(pixel, density.size - 1), shape)
    position = np.stack([rows, columns], axis=1) + rng.uniform(-0.5, 0.5, (count, 2))
    image = _splat(shape, position, rng.lognormal(0, rng.uniform(0.3, 1.0), count))
    large = rng.random(count) < rng.uniform(0, 0.3)
    image += 6 * ndimage.gaussian_filter(_splat(shape, position[large], np.ones(int(large.sum()))), rng.uniform(1, 3))
    haze = ndimage.gaussian_filter(image, rng.uniform(4, 15)) + image.mean() * density / density.mean()
    return _through_microscope(rng, image + rng.uniform(0, 0.8) * haze)


FLUORESCENCE: tuple[Callable[[np.random.Generator, Shape], Image], ...] = (cells, nuclei_like, filaments, mesh, puncta)


# --- parts of the fluorescence scenes ---


def _unit_range(image: NDArray[np.floating]) -> Image:
    top = np.percentile(image, 99.9)
    return np.asarray(image / max(float(top), 1e-6), np.float32)


def _through_microscope(rng: np.random.Generator, image: NDArray[np.floating]) -> Image:
    """Blur by the PSF, add a halo of out-of-focus light and an even background, and scale to about [0, 1]."""
    sigma = rng.uniform(*PSF_SIGMA)
    sharp = _unit_range(ndimage.gaussian_filter(image, sigma, mode="reflect"))
    if rng.random() < 0.6:
        sharp = sharp + rng.uniform(0.05, 0.4) * ndimage.gaussian_filter(sharp, rng.uniform(3, 12) * sigma)
    return _unit_range(sharp + rng.uniform(0.0, 0.2))


def _out_of_focus(rng: np.random.Generator, image: Image) -> Image:
    return np.asarray(ndimage.gaussian_filter(image, rng.uniform(5, 18), mode="reflect"), np.float32)


def _rise(depth: NDArray[np.floating], width: float) -> Image:
    """Return 0 outside (`depth` <= 0), 1 deeper than `width`, smooth between."""
    t = np.clip(depth / width, 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def _scatter(rng: np.random.Generator, shape: Shape, spacing: float) -> NDArray[np.float64]:
    """Draw positions (N, 2) about `spacing` px apart, in colonies, so that regions stay empty."""
    grid = np.stack(np.meshgrid(*[np.arange(-0.5, n / spacing + 1) for n in shape], indexing="ij"), axis=-1)
    position = (grid.reshape(-1, 2) + rng.uniform(-0.45, 0.45, (grid.size // 2, 2))) * spacing
    kept = rng.random(len(position)) < rng.uniform(0.35, 1.0)
    return np.asarray(position[kept], np.float64)


def _blob(
    rng: np.random.Generator, shape: Shape, centre: NDArray[np.floating], radius: float, roughness: float
) -> tuple[tuple[Box, Image], Image]:
    """Draw a closed smooth outline: (box, depth inside it in radii, <= 0 outside) and the cosine of the polar angle."""
    box = box_around(shape, centre, 2.2 * radius)
    y, x = np.ogrid[box]
    stretch, turn = rng.uniform(0.65, 1.0), rng.uniform(0, np.pi)
    u = ((x - centre[1]) * np.cos(turn) + (y - centre[0]) * np.sin(turn)) * stretch
    v = ((y - centre[0]) * np.cos(turn) - (x - centre[1]) * np.sin(turn)) / stretch
    angle = np.arctan2(v, u)
    outline = np.ones_like(angle)
    for order in range(2, 7):
        outline += rng.normal(0, roughness / order) * np.cos(order * angle + rng.uniform(0, 2 * np.pi))
    depth = 1 - np.hypot(u, v) / (radius * np.maximum(outline, 0.3))
    return (box, np.asarray(depth, np.float32)), np.asarray(np.cos(angle + rng.uniform(0, 6.3)), np.float32)


def _worm_like(
    rng: np.random.Generator, start: NDArray[np.floating], steps: int, stiffness: float
) -> NDArray[np.float64]:
    """Draw worm-like chains: (N, steps, 2) positions half a pixel apart, the direction a random walk."""
    turn = rng.normal(0, np.sqrt(0.5 / stiffness), (len(start), steps))
    turn[:, 0] = rng.uniform(0, 2 * np.pi, len(start))
    angle = np.cumsum(turn, axis=1)
    path = 0.5 * np.cumsum(np.stack([np.sin(angle), np.cos(angle)], axis=-1), axis=1)
    return np.asarray(start[:, None, :] + path, np.float64)


def _splat(shape: Shape, position: NDArray[np.floating], weight: NDArray[np.floating]) -> Image:
    """Add points (N, 2) of the given weight to an empty image, each shared bilinearly by four pixels."""
    corner = np.floor(position).astype(np.int64)
    part = position - corner
    image = np.zeros(shape[0] * shape[1])
    for dy in (0, 1):
        for dx in (0, 1):
            y, x = corner[:, 0] + dy, corner[:, 1] + dx
            ok = (y >= 0) & (y < shape[0]) & (x >= 0) & (x < shape[1])
            share = np.abs(1 - dy - part[:, 0]) * np.abs(1 - dx - part[:, 1]) * weight
            image += np.bincount(y[ok] * shape[1] + x[ok], share[ok], minlength=image.size)
    return image.reshape(shape).astype(np.float32)


def _two_nearest(seeds: NDArray[np.floating], yx: Image) -> Image:
    """Return the distance from every pixel of `yx` (2, Y, X) to its two nearest seeds: (Y, X, 2), in px."""
    from scipy.spatial import cKDTree

    distance, _ = cKDTree(seeds).query(np.moveaxis(yx, 0, -1), k=2)
    return np.asarray(distance, np.float32)
