"""Simulated sample images, as napari layers: always the same, drawn when they are opened, one for each kind of job."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, shift

__all__ = ["anisotropic_stack", "beads", "damaged", "drifting_movie", "histology", "low_and_high"]

LayerData = tuple[Any, dict[str, Any], str]
Plane = NDArray[np.float64]

_FIELD = 256  # pixels
_PIXEL = 0.1  # micrometres
_OFFSET, _READ_NOISE = 100.0, 2.0  # of the camera, in grey values of one electron each
_FRAMES, _DRIFT = 12, (0.6, -0.9)  # number; pixels per frame
_BEAD_WIDTH = 3.2  # px, full width at half maximum of the PSF of `beads`
_LOW = 15.0  # electrons in the brightest parts of the image with little light
_HIGH = 1500.0  # and with much
_STEP = 4  # times that planes of the stack are farther apart than pixels

# Absorption of red, green and blue by two stains (Ruifrok & Johnston, Anal. Quant. Cytol. Histol. 23, 2001).
_HAEMATOXYLIN = np.array([0.650, 0.704, 0.286])
_EOSIN = np.array([0.072, 0.990, 0.105])


def drifting_movie() -> list[LayerData]:
    """Return a movie of dim filaments that drift from frame to frame, (T, Y, X), to denoise along time."""
    rng = np.random.default_rng(1)
    lines = 40 * _filaments(rng, _FIELD + 32)
    frames = [
        shift(lines, (_DRIFT[0] * t, _DRIFT[1] * t), order=1, mode="reflect")[16:-16, 16:-16] for t in range(_FRAMES)
    ]
    place = {"scale": (0.5, _PIXEL, _PIXEL), "units": ("second", "micrometer", "micrometer")}
    return [_layer(_camera(rng, np.stack(frames)), "drifting filaments", "tyx", **place)]


def damaged() -> list[LayerData]:
    """Return cells seen by a camera with hot pixels, a dead row and stripes, (Y, X), to inpaint."""
    rng = np.random.default_rng(2)
    image = _camera(rng, 150 * _cells(rng, (_FIELD, _FIELD))).astype(np.float64)
    image[rng.random(image.shape) < 1e-3] += 1500
    image += np.where(rng.random(_FIELD) < 0.08, rng.normal(0, 15, _FIELD), 0)  # columns with another offset
    image[140] = 0
    return [_layer(np.clip(image, 0, 65535).astype(np.uint16), "damaged", "yx")]


def beads() -> list[LayerData]:
    """Return an image of blurred beads, (Y, X), and the point spread function that has blurred it, to deblur."""
    rng = np.random.default_rng(3)
    sigma = _BEAD_WIDTH / 2.3548  # full width at half maximum of a Gaussian of s.d. 1
    points = np.where(rng.random((_FIELD, _FIELD)) < 0.002, rng.uniform(3e3, 9e3, (_FIELD, _FIELD)), 0)
    impulse = np.zeros((21, 21))
    impulse[10, 10] = 1
    return [
        _layer(_camera(rng, gaussian_filter(points, sigma)), "beads", "yx"),
        _layer(gaussian_filter(impulse, sigma).astype(np.float32), "beads PSF", "yx", visible=False),
    ]


def low_and_high() -> list[LayerData]:
    """Return the same cells with much and with little light, (Y, X), to judge denoising or to train on."""
    rng = np.random.default_rng(4)
    cells = _cells(rng, (_FIELD, _FIELD))
    return [
        _layer(_camera(rng, _HIGH * cells), "much light", "yx", visible=False),
        _layer(_camera(rng, _LOW * cells), "little light", "yx"),
    ]


def histology() -> list[LayerData]:
    """Return a stained section in colour, (Y, X, S): blue nuclei in pink tissue."""
    rng = np.random.default_rng(5)
    nuclei = _cells(rng, (_FIELD, _FIELD))
    tissue = 0.4 + 0.25 * _texture(rng, (_FIELD, _FIELD), 6)
    light = np.exp(-2.2 * nuclei[..., None] * _HAEMATOXYLIN - np.clip(tissue, 0.05, 1)[..., None] * _EOSIN)
    seen = 240 * light + rng.normal(0, 5, light.shape)
    return [_layer(np.clip(seen, 0, 255).astype(np.uint8), "section", "yx", scale=(0.5, 0.5), rgb=True)]


def anisotropic_stack() -> list[LayerData]:
    """Return a stack of cells whose planes are four pixels apart, (Z, Y, X), to enlarge along Z."""
    rng = np.random.default_rng(6)
    cells = _cells(rng, (24 * _STEP, 128, 128))
    planes = cells.reshape(24, _STEP, 128, 128).mean(axis=1)
    place = {"scale": (_STEP * _PIXEL, _PIXEL, _PIXEL), "units": ("micrometer",) * 3}
    return [_layer(_camera(rng, 200 * planes), "thick planes", "zyx", **place)]


def _cells(rng: np.random.Generator, shape: tuple[int, ...]) -> Plane:
    """Return round objects of 0 to 1 with a texture inside."""
    sides, radius = np.array(shape), 11.0
    inside = np.zeros(shape)
    for _ in range(int(0.12 * sides.prod() / radius ** len(shape))):
        centre, axes = rng.uniform(0, sides), radius * rng.uniform(0.7, 1.3, len(shape))
        near = tuple(slice(max(int(c - a), 0), int(c + a) + 2) for c, a in zip(centre, axes, strict=True))
        grid = np.ogrid[tuple(slice(cut.start, min(cut.stop, n)) for cut, n in zip(near, shape, strict=True))]
        distance = sum(((g - c) / a) ** 2 for g, c, a in zip(grid, centre, axes, strict=True))
        inside[near] = np.maximum(inside[near], np.clip(2.5 * (1 - distance), 0, rng.uniform(0.6, 1)))
    return np.asarray(inside * np.clip(0.75 + 0.15 * _texture(rng, shape, 2), 0.2, 1))


def _texture(rng: np.random.Generator, shape: tuple[int, ...], size: float) -> Plane:
    """Return a random field of mean 0 and s.d. 1 with details of a size."""
    field = gaussian_filter(rng.normal(0, 1, shape), size)
    return np.asarray(field / field.std())


def _filaments(rng: np.random.Generator, side: int) -> Plane:
    """Return curved lines of 0 to 1, two pixels wide."""
    image, steps = np.zeros((side, side)), np.arange(0, 2 * side, 0.5)
    for _ in range(18):
        angle = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.02, len(steps)))
        y, x = (rng.uniform(0, side) + np.cumsum(0.5 * direction(angle)) for direction in (np.sin, np.cos))
        seen = (y >= 0) & (y < side) & (x >= 0) & (x < side)
        image[y[seen].astype(int), x[seen].astype(int)] = 1
    lines = gaussian_filter(image, 0.9)
    return np.asarray(lines / lines.max())


def _camera(rng: np.random.Generator, electrons: Plane) -> NDArray[np.uint16]:
    """Return what a camera sees of a light: shot noise, read noise and an offset."""
    seen = rng.poisson(electrons) + rng.normal(_OFFSET, _READ_NOISE, electrons.shape)
    return np.clip(np.round(seen), 0, 65535).astype(np.uint16)


def _layer(image: NDArray[Any], name: str, labels: str, **more: Any) -> LayerData:
    shown = {"scale": (_PIXEL,) * len(labels), "units": ("micrometer",) * len(labels), **more}
    return image, {"name": name, "axis_labels": tuple(labels), "metadata": {"source": "simulated"}, **shown}, "image"
