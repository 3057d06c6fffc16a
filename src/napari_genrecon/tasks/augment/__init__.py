"""Augment: new training images from old ones, together with their labels and points."""

from napari_genrecon.tasks.augment.example import Example
from napari_genrecon.tasks.augment.options import AugmentOptions
from napari_genrecon.tasks.augment.task import augment, augment_steps

__all__ = ["AugmentOptions", "Example", "augment", "augment_steps"]
