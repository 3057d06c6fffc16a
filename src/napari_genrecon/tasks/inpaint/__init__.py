"""Inpaint: fill in masked pixels and change no other."""

from napari_genrecon.tasks.inpaint.options import InpaintOptions
from napari_genrecon.tasks.inpaint.task import expected_seconds, inpaint, inpaint_steps

__all__ = ["InpaintOptions", "expected_seconds", "inpaint", "inpaint_steps"]
