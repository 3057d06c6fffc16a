"""Check a denoised image against its source, and measure the resolution before and after."""

from napari_genrecon.tasks.check.fourier_rings import resolution
from napari_genrecon.tasks.check.task import (
    Check,
    check,
    check_file_steps,
    check_steps,
    denoised_part,
    noise_of_record,
    part_of_result,
)

__all__ = [
    "Check",
    "check",
    "check_file_steps",
    "check_steps",
    "denoised_part",
    "noise_of_record",
    "part_of_result",
    "resolution",
]
