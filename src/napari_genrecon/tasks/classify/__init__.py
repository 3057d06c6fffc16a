"""Classify: sort objects, or whole images, into the user's classes, from few examples."""

from napari_genrecon.tasks.classify.result import Classification
from napari_genrecon.tasks.classify.task import ClassifyOptions, classify, classify_steps

__all__ = ["Classification", "ClassifyOptions", "classify", "classify_steps"]
