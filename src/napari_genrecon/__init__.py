"""napari-genrecon: restore microscopy images, with the noise measured from the image itself.

>>> import numpy as np
>>> import napari_genrecon
>>> noisy = np.random.default_rng(0).poisson(20, (64, 64))
>>> napari_genrecon.denoise(noisy).shape
(64, 64)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# For type checkers and editors, which do not run `__getattr__`. The doubled name ("X as X") marks a public re-export.
if TYPE_CHECKING:
    from napari_genrecon.errors import GenReconError as GenReconError
    from napari_genrecon.errors import GenReconWarning as GenReconWarning
    from napari_genrecon.io.points import Points as Points
    from napari_genrecon.models import list_models as list_models
    from napari_genrecon.models import load_model as load_model
    from napari_genrecon.models.registry import import_model as import_model
    from napari_genrecon.noise import NoiseModel as NoiseModel
    from napari_genrecon.optics import MeasuredPSF as MeasuredPSF
    from napari_genrecon.optics import Optics as Optics
    from napari_genrecon.optics import gaussian_psf as gaussian_psf
    from napari_genrecon.optics import simulate_psf as simulate_psf
    from napari_genrecon.optics.beads import psf_from_beads as psf_from_beads
    from napari_genrecon.tasks.advise import advise as advise
    from napari_genrecon.tasks.augment import augment as augment
    from napari_genrecon.tasks.batch import batch as batch
    from napari_genrecon.tasks.check import check as check
    from napari_genrecon.tasks.check import resolution as resolution
    from napari_genrecon.tasks.classify import classify as classify
    from napari_genrecon.tasks.deblur import deblur as deblur
    from napari_genrecon.tasks.deblur.width import measure_blur as measure_blur
    from napari_genrecon.tasks.denoise import denoise as denoise
    from napari_genrecon.tasks.detect import detect as detect
    from napari_genrecon.tasks.export import export_package as export_package
    from napari_genrecon.tasks.inpaint import inpaint as inpaint
    from napari_genrecon.tasks.inpaint.damage import detect_damage as detect_damage
    from napari_genrecon.tasks.measure import measure_noise as measure_noise
    from napari_genrecon.tasks.pipeline import pipeline as pipeline
    from napari_genrecon.tasks.predict import predict as predict
    from napari_genrecon.tasks.sample import sample as sample
    from napari_genrecon.tasks.train import train as train
    from napari_genrecon.tasks.transforms import upscaled_transform as upscaled_transform
    from napari_genrecon.tasks.upscale import upscale as upscale
    from napari_genrecon.tasks.upscale_z import upscale_z as upscale_z

__version__ = "0.1.0"

# Public name -> module that defines it. Resolved on first use, so that importing the package loads next to nothing.
_PUBLIC = {
    "GenReconError": "errors",
    "GenReconWarning": "errors",
    "MeasuredPSF": "optics",
    "NoiseModel": "noise",
    "advise": "tasks.advise",
    "augment": "tasks.augment",
    "batch": "tasks.batch",
    "check": "tasks.check",
    "classify": "tasks.classify",
    "Optics": "optics",
    "Points": "io.points",
    "deblur": "tasks.deblur",
    "denoise": "tasks.denoise",
    "detect": "tasks.detect",
    "export_package": "tasks.export",
    "detect_damage": "tasks.inpaint.damage",
    "inpaint": "tasks.inpaint",
    "gaussian_psf": "optics",
    "import_model": "models.registry",
    "list_models": "models",
    "load_model": "models",
    "measure_blur": "tasks.deblur.width",
    "measure_noise": "tasks.measure",
    "pipeline": "tasks.pipeline",
    "predict": "tasks.predict",
    "psf_from_beads": "optics.beads",
    "resolution": "tasks.check",
    "sample": "tasks.sample",
    "simulate_psf": "optics",
    "train": "tasks.train",
    "upscale": "tasks.upscale",
    "upscale_z": "tasks.upscale_z",
    "upscaled_transform": "tasks.transforms",
}

__all__ = [
    "GenReconError",
    "GenReconWarning",
    "MeasuredPSF",
    "NoiseModel",
    "Optics",
    "Points",
    "__version__",
    "advise",
    "augment",
    "batch",
    "check",
    "classify",
    "deblur",
    "denoise",
    "detect",
    "detect_damage",
    "export_package",
    "inpaint",
    "gaussian_psf",
    "import_model",
    "list_models",
    "load_model",
    "measure_blur",
    "measure_noise",
    "pipeline",
    "predict",
    "psf_from_beads",
    "resolution",
    "sample",
    "simulate_psf",
    "train",
    "upscale",
    "upscale_z",
    "upscaled_transform",
]


def __getattr__(name: str) -> Any:
    # Python calls this (PEP 562) only for names that are not in the module yet.
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    # Completion and `dir` would otherwise list only what has been used already.
    return __all__
