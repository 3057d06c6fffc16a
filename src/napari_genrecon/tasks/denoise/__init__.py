"""Denoise: remove the noise of an image, of a movie with the help of its neighbouring frames."""

from napari_genrecon.tasks.denoise.planes import DenoisePlanes, denoising_planes
from napari_genrecon.tasks.denoise.task import DenoiseOptions, denoise, denoise_steps, expected_seconds, measured_planes
from napari_genrecon.tasks.denoise.uncertainty import TITLE

__all__ = [
    "TITLE",
    "DenoiseOptions",
    "DenoisePlanes",
    "denoise",
    "denoise_steps",
    "denoising_planes",
    "expected_seconds",
    "measured_planes",
]
