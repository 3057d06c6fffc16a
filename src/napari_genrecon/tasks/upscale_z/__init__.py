"""Upscale z: give a stack more planes with a network that was trained on its own planes."""

from napari_genrecon.tasks.upscale_z.options import UpscaleZOptions
from napari_genrecon.tasks.upscale_z.task import expected_seconds, upscale_z, upscale_z_steps

__all__ = ["UpscaleZOptions", "expected_seconds", "upscale_z", "upscale_z_steps"]
