"""Train a model on images; see `train`."""

from napari_genrecon.tasks.train.data import training_data
from napari_genrecon.tasks.train.files import image_keywords
from napari_genrecon.tasks.train.task import interruptible, resume_steps, train, train_steps

__all__ = ["image_keywords", "interruptible", "resume_steps", "train", "train_steps", "training_data"]
