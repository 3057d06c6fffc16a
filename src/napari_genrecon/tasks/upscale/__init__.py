"""Upscale: enlarge every plane with a network."""

from napari_genrecon.tasks.upscale.options import UpscaleOptions
from napari_genrecon.tasks.upscale.task import expected_seconds, upscale, upscale_steps

__all__ = ["UpscaleOptions", "expected_seconds", "upscale", "upscale_steps"]
