"""Name a result after its task and options, so that results of different options have different names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from napari_genrecon.tasks import find_task

__all__ = ["result_name"]

# Options that change the pixels, and how a name states a value that is not the default. Device and tile are left out,
# as they do not change the pixels, and so are the axes, which the layer shows itself.
_OPTIONS: dict[str, Callable[[Any], str]] = {
    "along": "along {}".format,
    "strength": "{:g}".format,
    "blend": "blend {:g}".format,
    "method": str,
    "detect": lambda kinds: str(kinds).replace(",", " "),
    "n": "{} fillings".format,
    "seed": "seed {}".format,
    "model": str,
    "consistent": lambda _: "consistent",
    "self_ensemble": lambda _: "8 views",
    "fdr": "fdr {:g}".format,
    "min_size": "from {:g} px".format,
    "max_size": "to {:g} px".format,
    "objects": str,
    "volume": lambda _: "3D",
    "thickness": "thickness {:g}".format,
    "train_steps": "{} steps".format,
    "region": str,
}


def result_name(task: str, source: str, record: Mapping[str, Any]) -> str:
    """Return the name of a result: its source, the task, and the options that are not the defaults.

    Parameters
    ----------
    task : str
        A verb of `TASKS`.
    source : str
        Name of the image.
    record : dict
        Record of the result.

    Examples
    --------
    >>> result_name("denoise", "cells", {"options": {"strength": 0.8, "blend": 0.0, "tile": 64}})
    'cells denoise 0.8'
    >>> result_name("upscale", "cells", {"factor": [2, 2], "options": {}})
    'cells upscale x2'
    """
    defaults = asdict(find_task(task).options())
    given = record.get("options") or {}
    said = [
        words(given[name])
        for name, words in _OPTIONS.items()
        # Records of older versions may name options that are gone, and lack others.
        if name in given and name in defaults and given[name] != defaults[name] and given[name] is not None
    ]
    return " ".join(
        [source, task.replace("_", " "), *_factor(record), *_psf(record), *said, *_iterations(given), *_noise(record)]
    )


def _factor(record: Mapping[str, Any]) -> list[str]:
    """Return the factor of an enlargement, which is always stated."""
    factors = record.get("factor")
    return [f"x{max(factors)}"] if factors else []


def _psf(record: Mapping[str, Any]) -> list[str]:
    """Return the width or the numerical aperture of a PSF; it has no default."""
    psf = record.get("psf") or {}
    if "gaussian_fwhm_px" in psf:
        return [f"{psf['gaussian_fwhm_px']:g} px"]
    return [f"NA {psf['optics']['na']:g}"] if "optics" in psf else []


def _iterations(given: Mapping[str, Any]) -> list[str]:
    """Return the number of iterations if it is not the default; the record states it in either case."""
    n = given.get("iterations")
    if n is None:
        return []
    # Only a deblurred image gets here: others do without loading that task.
    from napari_genrecon.tasks.deblur.task import ITERATIONS

    # The record holds the number that was used, so that a default can only be told by the method.
    return [] if n == ITERATIONS.get(given.get("method", "")) else [f"{n} iterations"]


def _noise(record: Mapping[str, Any]) -> list[str]:
    """Return the noise s.d. if it was given, not measured."""
    levels = [model["sigma"] for model in record.get("noise") or () if model.get("method") == "given"]
    return [f"noise {levels[0]:.3g}"] if any(levels) else []  # 0: no noise was needed
