"""Several tasks in a row, such as inpaint, denoise, deblur: kept as JSON, run on any image."""

from napari_genrecon.tasks.pipeline.run import pipeline, pipeline_steps
from napari_genrecon.tasks.pipeline.steps import Pipeline, Step, read_pipeline, steps_of

__all__ = ["Pipeline", "Step", "pipeline", "pipeline_steps", "read_pipeline", "steps_of"]
