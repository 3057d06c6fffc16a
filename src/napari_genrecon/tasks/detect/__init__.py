"""Detect spots and cells."""

from napari_genrecon.tasks.detect.options import DetectOptions
from napari_genrecon.tasks.detect.task import detect, detect_steps, expected_seconds

__all__ = ["DetectOptions", "detect", "detect_steps", "expected_seconds"]
