"""The sample images that ship with the package, as napari layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from napari_genrecon.errors import ImageError
from napari_genrecon.io.reader import open_image

__all__ = ["correlated_stack", "fluorescence_2d", "nuclei", "sample_path", "spots", "stack_3d"]

_PACKAGE = Path(__file__).parent.parent
# The wheel carries the folder inside the package; a checkout is read in place.
_FOLDERS = (_PACKAGE / "sample_data", _PACKAGE.parents[1] / "sample_data")

_FIELD, _SPOTS, _SPREAD = 512, 200, 2 * 1.5**2  # pixels; number; twice the variance of a spot, in pixels**2

LayerData = tuple[Any, dict[str, Any], str]


def sample_path(name: str) -> Path:
    """Return the path of a sample image.

    Raises
    ------
    ImageError
        If the file is missing.
    """
    for folder in _FOLDERS:
        if (folder / name).is_file():
            return folder / name
    raise ImageError(f"the sample image {name} is missing from this installation: reinstall napari-genrecon")


def fluorescence_2d() -> list[LayerData]:
    """Return a real noisy image of fluorescent nuclei, (Y, X)."""
    return [_layer("nuclei_2d.tif", "nuclei")]


def stack_3d() -> list[LayerData]:
    """Return a real noisy stack of fluorescent nuclei, (Z, Y, X)."""
    return [_layer("nuclei_3d.tif", "nuclei stack")]


def correlated_stack() -> list[LayerData]:
    """Return a simulated stack with strongly correlated noise, (Z, Y, X), and its truth (hidden at first)."""
    return [
        _layer("correlated_truth.tif", "filaments truth", visible=False),
        _layer("correlated_noisy.tif", "filaments noisy"),
    ]


def nuclei() -> list[LayerData]:
    """Return many real nuclei to train on, (Y, X): six fields of view side by side, and a label image of the nuclei."""
    image = _layer("nuclei_many.tif", "nuclei", contrast_limits=(0, 160))
    data, keywords, _ = _layer("nuclei_many_labels.tif", "nuclei objects", opacity=0.3)
    return [image, (data, keywords, "labels")]


def spots() -> list[LayerData]:
    """Return a simulated field of dim spots on an uneven background, (Y, X), in photons: always the same."""
    rng = np.random.default_rng(0)
    side = np.arange(_FIELD)
    # Photons: an even background of 20, and a wide glow of up to 25 at (300, 180) with a s.d. of 150 pixels.
    clean = 20 + 25 * np.exp(-((side[:, None] - 300) ** 2 + (side - 180) ** 2) / 2 / 150**2)
    # 8 pixels from the edge, so that no spot is cut.
    for y, x in rng.uniform(8, _FIELD - 8, (_SPOTS, 2)):
        # A Gaussian is the product of one along Y and one along X: (512, 1) * (1, 512).
        spot = np.exp(-((side - y) ** 2) / _SPREAD)[:, None] * np.exp(-((side - x) ** 2) / _SPREAD)
        clean += rng.uniform(15, 60) * spot
    names = {"axis_labels": ("y", "x"), "scale": (0.1, 0.1), "units": ("micrometer",) * 2}
    return [
        (rng.poisson(clean).astype(np.uint16), {"name": "spots", **names, "metadata": {"source": "simulated"}}, "image")
    ]


def _layer(name: str, title: str, **more: Any) -> LayerData:
    image = open_image(sample_path(name))
    labels = tuple(image.axes.letters.lower())
    return image.data, {"name": title, "axis_labels": labels, "metadata": {"source": name}, **more}, "image"
