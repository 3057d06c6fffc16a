"""Advise: which tasks are worth trying on an image, and which are not."""

from napari_genrecon.tasks.advise.advice import Advice
from napari_genrecon.tasks.advise.task import advise, advise_steps

__all__ = ["Advice", "advise", "advise_steps"]
