"""How well noise is measured on simulated scenes of known noise: ``python tests/noise/scenes_accuracy.py
[scenes]``.

`noise_accuracy` is also what the benchmark prints.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from bundled import scenes
from scipy import ndimage

from napari_genrecon.noise import NoiseModel, measure_channel

Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]


def flat(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """A gentle shading."""
    y, x = np.mgrid[: shape[0], : shape[1]] / max(shape)
    return 0.3 + 0.3 * rng.random() * y + 0.2 * x


KINDS: dict[str, Draw] = {
    "flat": flat,
    "cells": scenes.cells,
    "filaments": scenes.filaments,
    "puncta": scenes.puncta,
    "nuclei": scenes.nuclei_like,
    "mesh": scenes.mesh,
    "fluorescence": scenes.fluorescence,
    "dead leaves": scenes.dead_leaves,
}


@dataclass(frozen=True)
class Scene:
    """A noisy image, its true mean and variance, and the true lag-1 correlation."""

    kind: str
    correlated: bool
    image: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    rho: tuple[float, float]


@dataclass(frozen=True)
class Accuracy:
    """Errors on one scene: relative s.d. at the median level and over the whole image, and absolute correlation."""

    kind: str
    correlated: bool
    sigma: float
    sigma_overall: float
    rho: float

    @property
    def is_right(self) -> bool:
        return max(abs(self.sigma), abs(self.sigma_overall)) < 0.10 and self.rho < 0.08


def draw_scene(seed: int, kind: str, correlated: bool, shape: tuple[int, int] = (512, 512)) -> Scene:
    """Noise of a random camera: 20 to 2,000 electrons at the brightest, 0.5 to 5 electrons of read noise."""
    rng = np.random.default_rng([seed, list(KINDS).index(kind), correlated])
    clean = np.maximum(KINDS[kind](rng, shape), 0)
    peak, read, gain = (float(np.exp(rng.uniform(*np.log(ends)))) for ends in ((20, 2000), (0.5, 5), (0.3, 5)))
    electrons = peak * (clean + rng.uniform(0.01, 0.1))
    mean, variance = 100 + gain * electrons, gain**2 * (electrons + read**2)
    if not correlated:
        image = 100 + gain * (rng.poisson(electrons) + read * rng.standard_normal(shape))
        return Scene(kind, correlated, image, mean, variance, (0.0, 0.0))
    kernels = _kernel(rng), _kernel(rng)
    noise = rng.standard_normal((shape[0] + 24, shape[1] + 24))
    for axis, kernel in enumerate(kernels):
        noise = ndimage.convolve1d(noise, kernel, axis=axis)
    image = mean + np.sqrt(variance) * noise[12:-12, 12:-12]
    rho_y, rho_x = (float(kernel[1:] @ kernel[:-1]) for kernel in kernels)
    return Scene(kind, correlated, image, mean, variance, (rho_x, rho_y))


def _kernel(rng: np.random.Generator) -> np.ndarray:
    """Gaussian, exponential or triangular, of unit energy."""
    lag, strength = np.arange(-12, 13), rng.uniform(0.3, 0.7)
    kernel = [
        np.exp(lag**2 * np.log(strength) * 2),
        np.where(lag >= 0, strength ** np.abs(lag), 0.0),
        np.maximum(1 - np.abs(lag) / (1 + (strength - 0.3) * 5), 0),
    ][rng.integers(3)]
    return kernel / np.linalg.norm(kernel)


def judge(scene: Scene, model: NoiseModel) -> Accuracy:
    """Compare a measured model with the truth."""
    median = np.argsort(scene.mean, axis=None)[scene.mean.size // 2]
    true = np.sqrt(scene.variance.flat[median])
    overall = np.sqrt(model.variance_at(scene.mean).mean() / scene.variance.mean())
    rho = max(abs(model.rho_x - scene.rho[0]), abs(model.rho_y - scene.rho[1]))
    return Accuracy(
        scene.kind, scene.correlated, float(model.sigma_at(scene.mean.flat[median]) / true - 1), overall - 1, rho
    )


def noise_accuracy(count: int = 200, shape: tuple[int, int] = (512, 512), first_seed: int = 0) -> Iterator[Accuracy]:
    """Measure `count` scenes, all kinds in turn, white and correlated in turn."""
    kinds = list(KINDS)
    for number in range(count):
        kind, correlated = kinds[number // 2 % len(kinds)], bool(number % 2)
        scene = draw_scene(first_seed + number, kind, correlated, shape)
        yield judge(scene, measure_channel([scene.image]))


def table(results: list[Accuracy]) -> str:
    """One line for each kind of scene and noise: how many are within 10 % and 0.08."""
    lines = []
    for correlated in (False, True):
        for kind in [*KINDS, "all"]:
            chosen = [r for r in results if r.correlated == correlated and kind in (r.kind, "all")]
            if chosen:
                sigma = np.mean([max(abs(r.sigma), abs(r.sigma_overall)) < 0.10 for r in chosen])
                rho, bias = np.mean([r.rho < 0.08 for r in chosen]), np.median([r.sigma for r in chosen])
                noise = "correlated" if correlated else "white"
                score = f"sigma {sigma:4.0%}  rho {rho:4.0%}  median error {bias:+.1%}"
                lines.append(f"{noise:11}{kind:13}{len(chosen):4} scenes  {score}")
    return "\n".join([*lines, f"right in both: {np.mean([r.is_right for r in results]):.1%} of {len(results)}"])


if __name__ == "__main__":
    print(table(list(noise_accuracy(int(sys.argv[1]) if len(sys.argv) > 1 else 200, first_seed=1000))))  # noqa: T201
