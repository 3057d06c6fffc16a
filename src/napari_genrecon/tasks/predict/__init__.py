"""Predict other images from images, with a model of one's own: options, plan, tiles. Importing this loads no torch."""

from napari_genrecon.tasks.predict.options import PredictOptions
from napari_genrecon.tasks.predict.task import expected_seconds, predict, predict_steps

__all__ = ["PredictOptions", "expected_seconds", "predict", "predict_steps"]
