"""Deblur: undo the blur of a known point spread function without amplifying the noise."""

from napari_genrecon.tasks.deblur.options import DeblurOptions
from napari_genrecon.tasks.deblur.task import deblur, deblur_steps, expected_seconds

__all__ = ["DeblurOptions", "deblur", "deblur_steps", "expected_seconds"]
