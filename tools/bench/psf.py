"""Compare widths of computed point spread functions with the scalar theory, and over the size of the pinhole.

In the paraxial limit the full width at half maximum is 0.51 wavelength / NA in widefield and, with a closed pinhole and
equal wavelengths, 0.37 wavelength / NA (Born & Wolf, section 8.5.2, and its square); with an open one it is that of the
excitation. At high aperture the vectorial theory, which is computed, makes it wider.
"""

from __future__ import annotations

import numpy as np

from bench.table import header, row
from napari_genrecon import simulate_psf

EMISSION, EXCITATION = 0.52, 0.488  # micrometres
PINHOLES = (0.25, 0.5, 1.0, 2.0, 5.0)  # Airy units
APERTURES = ((0.3, 1.0), (0.8, 1.0), (1.2, 1.33), (1.4, 1.515))  # NA and refractive index
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
        widths = [_width(wavelength=EMISSION, **optics, **each) for each in settings]
        widths.append(_width(wavelength=EXCITATION, pixel=SHARE * EMISSION / na, **optics))
        row(f"NA {na}, index {index}", *(f"{width * na / EMISSION:.3f}" for width in widths))


def _width(*, na: float, wavelength: float, pixel: float | None = None, **settings: object) -> float:
    """Return the full width at half maximum of the plane in focus, in micrometres."""
    pixel = pixel or SHARE * wavelength / na
    side = 2 * int(0.7 / SHARE) + 1
    psf = simulate_psf(na=na, wavelength=wavelength, pixel_size=pixel, shape=(3, side), **settings)
    half = psf[1, side // 2 :] / psf.max()
    i = int(np.argmax(half < 0.5))
    return 2 * pixel * (i - 1 + (half[i - 1] - 0.5) / (half[i - 1] - half[i]))
