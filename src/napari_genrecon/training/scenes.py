"""Simulated clean images: fluorescence microscopy and dead leaves.

Every scene is a pure function of a random generator and a shape and returns float32 ``(Y, X)``, roughly in [0, 1].
Lengths are in pixels. Nothing here adds noise: see :mod:`napari_genrecon.training.degrade`.

The dead-leaves model (Lee, Mumford & Huang, "Occlusion models for natural images", IJCV 2001) has the edge and scale
statistics of photographs; networks trained on it alone denoise them well (Achddou, Gousseau & Ladjal, "Synthetic
images as a regularity prior for image restoration neural networks", SSVM 2021).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["cells", "dead_leaves", "filaments", "fluorescence", "mesh", "nuclei_like", "puncta"]

Image = NDArray[np.float32]
Shape = tuple[int, int]

PSF_SIGMA = (0.7, 2.5)  # px: from critically sampled to twice oversampled
SUPERSAMPLE = 2  # leaves are drawn this much finer, so that their edges are antialiased
COVERED = 0.995  # the share of the plane that single leaves cover; one leaf behind all others fills the rest


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
    texture = _texture(rng, shape, length=rng.uniform(1.5, 5))
    speckle = _texture(rng, shape, length=rng.uniform(0.8, 1.5))
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
    texture = _texture(rng, shape, length=max(0.8, radius * rng.uniform(0.06, 0.2)))
    spots = np.maximum(_texture(rng, shape, length=max(0.8, radius * 0.1)) - 1.6, 0) * rng.uniform(-0.8, 1.5)
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
        image *= _rise(_texture(rng, shape, length=rng.uniform(25, 60)) + rng.uniform(0, 1), 0.6)  # cells with gaps
    if rng.random() < 0.6:
        image += 0.4 * image.mean() * np.exp(0.5 * _texture(rng, shape, length=rng.uniform(15, 50)))  # free monomers
    return _through_microscope(rng, image)


def mesh(rng: np.random.Generator, shape: Shape) -> Image:
    """Draw a tubular network (ER, membranes of a tissue): the borders of a Voronoi tessellation, bent a little."""
    spacing = rng.uniform(8, 40)
    seeds = _scatter(rng, (shape[0] + 80, shape[1] + 80), spacing) - 40
    yx = np.indices(shape).astype(np.float32)
    bend = rng.uniform(1, 4)
    yx += bend * np.stack([_texture(rng, shape, length=spacing / 2) for _ in range(2)])
    nearest = _two_nearest(seeds, yx)
    ridge = nearest[..., 1] - nearest[..., 0]
    image = np.exp(-0.5 * (ridge / rng.uniform(0.8, 1.6)) ** 2).astype(np.float32)
    image *= np.exp(0.4 * _texture(rng, shape, length=rng.uniform(2, 10)))
    if rng.random() < 0.6:
        image *= _rise(_texture(rng, shape, length=rng.uniform(25, 60)) + 0.5, 0.6)
    return _through_microscope(rng, image)


def puncta(rng: np.random.Generator, shape: Shape) -> Image:
    """Draw vesicles, foci or single molecules: point-like spots, often gathered in cells over a diffuse haze."""
    density = np.exp(rng.uniform(0, 2) * _texture(rng, shape, length=rng.uniform(12, 50)))
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


def dead_leaves(rng: np.random.Generator, shape: Shape) -> Image:
    """Draw textured shapes that occlude each other and cover the plane, their radii distributed as ``r**-3``.

    Leaves are laid from front to back: a new one shows only where nothing lies yet, which gives the same law as
    painting from back to front for ever, and tells when the plane is covered.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of all randomness.
    shape : (int, int)
        Rows and columns.

    Returns
    -------
    (Y, X) ndarray of float32
        Clean image in [0, 1].
    """
    fine = (shape[0] * SUPERSAMPLE, shape[1] * SUPERSAMPLE)
    image, bare = np.zeros(fine, np.float32), np.ones(fine, bool)
    sheets = [_sheet(rng, fine) for _ in range(4)]
    smallest = np.exp(rng.uniform(np.log(1.0), np.log(10.0))) * SUPERSAMPLE
    largest = 0.6 * max(fine)
    textured = rng.uniform(0.2, 0.9)
    left = int((1 - COVERED) * bare.size)
    uncovered = bare.size
    while uncovered > left:
        for radius in _power_law(rng, smallest, largest, 256):
            centre = rng.uniform(-0.3 * radius, np.asarray(fine) + 0.3 * radius)
            box, leaf = _leaf(rng, fine, centre, radius)
            leaf &= bare[box]
            seen = int(np.count_nonzero(leaf))
            if seen:
                image[box][leaf] = _leaf_grey(rng, sheets, box, leaf, textured)
                bare[box] &= ~leaf
                uncovered -= seen
    everything = (slice(0, fine[0]), slice(0, fine[1]))
    image[bare] = _leaf_grey(rng, sheets, everything, bare, textured)
    return _photograph(rng, image)


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


def _texture(rng: np.random.Generator, shape: Shape, length: float) -> Image:
    """Smooth Gaussian noise of mean 0 and variance 1, its structures about `length` px (less in a small image)."""
    length = min(length, min(shape) / 6)  # beyond that hardly anything is left to scale up
    field = ndimage.gaussian_filter(rng.standard_normal(shape, np.float32), length, mode="wrap")
    field -= field.mean()
    return np.asarray(field / max(float(field.std()), 1e-6), np.float32)


def _rise(depth: NDArray[np.floating], width: float) -> Image:
    """0 outside (`depth` <= 0), 1 deeper than `width`, smooth between."""
    t = np.clip(depth / width, 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def _scatter(rng: np.random.Generator, shape: Shape, spacing: float) -> NDArray[np.float64]:
    """Positions (N, 2) about `spacing` px apart, gathered in colonies so that regions stay empty."""
    grid = np.stack(np.meshgrid(*[np.arange(-0.5, n / spacing + 1) for n in shape], indexing="ij"), axis=-1)
    position = (grid.reshape(-1, 2) + rng.uniform(-0.45, 0.45, (grid.size // 2, 2))) * spacing
    kept = rng.random(len(position)) < rng.uniform(0.35, 1.0)
    return np.asarray(position[kept], np.float64)


Box = tuple[slice, slice]


def _box(shape: Shape, centre: NDArray[np.floating], reach: float) -> Box:
    low = np.clip(np.floor(centre - reach), 0, shape).astype(int)
    high = np.clip(np.ceil(centre + reach) + 1, 0, shape).astype(int)
    return slice(low[0], high[0]), slice(low[1], high[1])


def _blob(
    rng: np.random.Generator, shape: Shape, centre: NDArray[np.floating], radius: float, roughness: float
) -> tuple[tuple[Box, Image], Image]:
    """One closed smooth outline: (box, depth inside it in radii, <= 0 outside) and the cosine of the polar angle."""
    box = _box(shape, centre, 2.2 * radius)
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
    """Worm-like chains: (N, steps, 2) positions half a pixel apart, the direction a random walk."""
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
    """Distance from every pixel of `yx` (2, Y, X) to its two nearest seeds: (Y, X, 2), in px."""
    from scipy.spatial import cKDTree

    distance, _ = cKDTree(seeds).query(np.moveaxis(yx, 0, -1), k=2)
    return np.asarray(distance, np.float32)


# --- parts of the dead leaves ---


def _power_law(rng: np.random.Generator, low: float, high: float, size: int) -> NDArray[np.float64]:
    """Radii with density proportional to ``r**-3`` on [low, high], by inversion."""
    u = rng.random(size)
    return np.asarray((low**-2 - u * (low**-2 - high**-2)) ** -0.5, np.float64)


def _leaf(
    rng: np.random.Generator, shape: Shape, centre: NDArray[np.floating], radius: float
) -> tuple[Box, NDArray[np.bool_]]:
    """One leaf: an ellipse, a rectangle or a convex polygon, as a mask within its box."""
    kind = rng.random()
    reach = radius if kind < 0.5 else 1.5 * radius
    box = _box(shape, centre, reach)
    y, x = np.ogrid[box]
    y, x = y - centre[0], x - centre[1]
    turn, narrow = rng.uniform(0, np.pi), rng.uniform(0.3, 1.0)
    c, s = np.cos(turn), np.sin(turn)
    u, v = x * c + y * s, (y * c - x * s) / narrow
    if kind < 0.5:
        return box, u * u + v * v < radius * radius
    if kind < 0.75:
        return box, np.maximum(np.abs(u), np.abs(v)) < radius
    mask = np.ones((box[0].stop - box[0].start, box[1].stop - box[1].start), bool)
    for angle in np.sort(rng.uniform(0, 2 * np.pi, 5)) + np.arange(5):
        mask &= x * np.cos(angle) + y * np.sin(angle) < radius * 0.8
    return box, mask & (x * x + y * y < reach * reach)


def _sheet(rng: np.random.Generator, shape: Shape) -> Image:
    """A texture from which leaves are cut, of about unit variance: power-law noise, stripes or a weave."""
    kind = rng.random()
    if kind < 0.65:
        return _power_noise(rng, shape, rng.uniform(0.4, 2.0))
    y, x = np.ogrid[: shape[0], : shape[1]]
    bend = rng.uniform(0, 6) * _texture(rng, shape, length=rng.uniform(20, 60))
    wave = np.zeros(shape, np.float32)
    for _ in range(1 if kind < 0.85 else 2):
        period, turn = SUPERSAMPLE * np.exp(rng.uniform(np.log(2.5), np.log(24))), rng.uniform(0, np.pi)
        wave += np.sin((x * np.cos(turn) + y * np.sin(turn) + bend) * 2 * np.pi / period).astype(np.float32)
    return np.asarray(np.tanh(rng.uniform(0.5, 3) * wave) + 0.3 * _power_noise(rng, shape, 1.0), np.float32)


def _power_noise(rng: np.random.Generator, shape: Shape, slope: float) -> Image:
    """Gaussian noise of unit variance whose amplitude spectrum falls as ``1/f**slope``."""
    spectrum = np.fft.rfft2(rng.standard_normal(shape, np.float32))
    frequency = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1]))
    frequency[0, 0] = np.inf  # no mean
    field = np.fft.irfft2(spectrum / frequency**slope, s=shape)
    return np.asarray(field / field.std(), np.float32)


def _leaf_grey(
    rng: np.random.Generator, sheets: list[Image], box: Box, leaf: NDArray[np.bool_], textured: float
) -> NDArray[np.floating]:
    """Grey values of the visible pixels of one leaf: a level, a ramp, and a cut of one of the sheets."""
    level = rng.beta(1.2, 1.5)
    sheet = sheets[rng.integers(len(sheets))]
    amplitude = 0.15 * rng.random() ** 2 if rng.random() < textured else 0.0
    rows, columns = np.nonzero(leaf)
    grey = level + amplitude * sheet[box][leaf]
    slope = rng.normal(0, 0.15, 2) / max(leaf.shape)
    return np.asarray(grey + slope[0] * (rows - leaf.shape[0] / 2) + slope[1] * (columns - leaf.shape[1] / 2))


def _photograph(rng: np.random.Generator, fine: Image) -> Image:
    """Average the supersampled plane down, defocus it a little, and keep it in [0, 1]."""
    rows, columns = fine.shape[0] // SUPERSAMPLE, fine.shape[1] // SUPERSAMPLE
    image = fine.reshape(rows, SUPERSAMPLE, columns, SUPERSAMPLE).mean(axis=(1, 3))
    if rng.random() < 0.5:
        image = ndimage.gaussian_filter(image, rng.uniform(0.2, 1.0))
    return np.clip(image, 0, 1).astype(np.float32)
