"""Sample: make new, synthetic images with a generative model."""

from napari_genrecon.tasks.sample.task import SampleOptions, sample, sample_steps

__all__ = ["SampleOptions", "sample", "sample_steps"]
