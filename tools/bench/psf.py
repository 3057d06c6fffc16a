"""Compare widths of computed point spread functions with the scalar theory, and over the size of the pinhole.

In the paraxial limit the full width at half maximum is 0.51 wavelength / NA in widefield and, with a closed pinhole and
equal wavelengths, 0.37 wavelength / NA (Born & Wolf, section 8.5.2, and its square); with an open one it is that of the
excitation. At high aperture the vectorial theory, which is computed, makes it wider.

Then the width of a known blur is found from simulated images alone; see `optics.blur_width`.
"""

from __future__ import annotations

import numpy as np
from bundled import scenes
from scipy.ndimage import gaussian_filter

from bench.table import header, row
from napari_genrecon import measure_blur, simulate_psf
from napari_genrecon.errors import ImageError

EMISSION, EXCITATION = 0.52, 0.488  # micrometres
PINHOLES = (0.25, 0.5, 1.0, 2.0, 5.0)  # Airy units
APERTURES = ((0.3, 1.0), (0.8, 1.0), (1.2, 1.33), (1.4, 1.515))  # NA and refractive index
FWHM = 2.3548  # of a Gaussian of s.d. 1
READ_NOISE = 2.0  # electrons
SHARE = 0.02  # pixels, of wavelength / NA


def run() -> None:
    """Print the table, in wavelengths of the emission over NA."""
    header(
        f"FWHM in λ / NA, emission {1000 * EMISSION:g} nm",
        "widefield",
        "closed pinhole, equal wavelengths",
        *(f"{size:g} AU, excitation {1000 * EXCITATION:g} nm" for size in PINHOLES),
        "excitation alone",
    )
    row("scalar theory", "0.51", "0.37", *["–"] * len(PINHOLES), f"{0.51 * EXCITATION / EMISSION:.2f}")
    for na, index in APERTURES:
        optics = {"na": na, "refractive_index": index}
        settings = [{}, {"kind": "confocal"}]
        settings += [{"kind": "confocal", "pinhole": size, "excitation": EXCITATION} for size in PINHOLES]
        found = [_width(wavelength=EMISSION, **optics, **each) for each in settings]
        found.append(_width(wavelength=EXCITATION, pixel=SHARE * EMISSION / na, **optics))
        row(f"NA {na}, index {index}", *(f"{width * na / EMISSION:.3f}" for width in found))
    widths()


def _width(*, na: float, wavelength: float, pixel: float | None = None, **settings: object) -> float:
    """Return the full width at half maximum of the plane in focus, in micrometres."""
    pixel = pixel or SHARE * wavelength / na
    side = 2 * int(0.7 / SHARE) + 1
    psf = simulate_psf(na=na, wavelength=wavelength, pixel_size=pixel, shape=(3, side), **settings)
    half = psf[1, side // 2 :] / psf.max()
    i = int(np.argmax(half < 0.5))
    return 2 * pixel * (i - 1 + (half[i - 1] - 0.5) / (half[i - 1] - half[i]))


# --- the width of the blur, from the image alone ---

WIDTHS = (2.0, 3.5, 5.0)  # px, full widths at half maximum
PEAKS = (20.0, 200.0, 2000.0)  # electrons
SIDE, SCENES = 320, 4
LIGHT = 12.0  # of points, so that they are as bright as lines after the blur


def widths() -> None:
    """Print how well the width of a known blur is found in simulated images, and how often none is given."""
    print()
    header("scene", "peak", *(f"{width:g} px: found (refused of {SCENES})" for width in WIDTHS))
    kinds = {"points": _points, "discs of 6 px": _discs, "filaments": scenes.filaments, "soft cells": scenes.cells}
    for name, scene in kinds.items():
        for peak in PEAKS:
            row(name, f"{peak:g} e-", *(_found(scene, width, peak) for width in WIDTHS))


def _found(scene: object, width: float, peak: float) -> str:
    answers = [_answer(scene, width, peak, seed) for seed in range(SCENES)]
    given = [answer for answer in answers if answer]
    said = f"{min(given):.1f} to {max(given):.1f}" if given else "–"
    return f"{said} ({SCENES - len(given)})"


def _answer(scene: object, width: float, peak: float, seed: int) -> float:
    rng = np.random.default_rng([2026, 1128, seed])
    specimen = np.maximum(scene(rng, (SIDE, SIDE)), 0).astype(float)
    light = peak * gaussian_filter(specimen, width / FWHM, truncate=5)[32:-32, 32:-32]
    image = rng.poisson(light) + rng.normal(0, READ_NOISE, light.shape)
    try:
        return measure_blur(image.astype(np.float32)).fwhm
    except ImageError:
        return 0.0


def _points(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    image, count = np.zeros(shape), shape[0] * shape[1] // 300
    image[rng.integers(0, shape[0], count), rng.integers(0, shape[1], count)] = LIGHT * rng.uniform(0.3, 1, count)
    return image


def _discs(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Return discs, which are refused or taken for points of a wider blur."""
    y, x = np.indices(shape)
    centres, radii, light = rng.uniform(0, shape, (60, 2)), rng.uniform(2.5, 3.5, 60), rng.uniform(0.3, 1, 60)
    near = np.stack([np.hypot(y - cy, x - cx) < r for (cy, cx), r in zip(centres, radii, strict=True)])
    return (near * light[:, None, None]).sum(axis=0)
