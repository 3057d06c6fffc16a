"""Write synthetic images to a file, with the pixel size of the training data."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

from napari_genrecon.engine.run import Progress
from napari_genrecon.io.formats import written_format
from napari_genrecon.io.image_file import ImageMeta
from napari_genrecon.io.publish import check_target
from napari_genrecon.models import ModelCard, find_model
from napari_genrecon.tasks.sample import SampleOptions, sample_steps
from napari_genrecon.tasks.task import Result

__all__ = ["sample_file_steps"]


def sample_file_steps(
    options: SampleOptions, target: Path, *, overwrite: bool = False
) -> Generator[Progress, None, dict[str, Any]]:
    """Sample and write the images to a file.

    Parameters
    ----------
    options : SampleOptions
        Options of `sample`.
    target : Path
        An OME-TIFF, or an OME-Zarr if the name ends in ``.zarr``.
    overwrite : bool
        Replace an existing file.

    Yields
    ------
    Progress

    Returns
    -------
    dict
        The record.

    Raises
    ------
    OutputError
        If the file exists already or cannot be written.
    OptionError
        If its name asks for no format that is written.
    """
    written = written_format(target)
    # Before sampling, so that nothing is computed for a file that may not be written.
    check_target(target, overwrite=overwrite, folder=written.by_region)
    # Its card holds the pixel size and the names of the channels.
    card = find_model(options.model, "sample")
    result = yield from sample_steps(options)
    yield from written.write_steps(target, result.data, _about_samples(card, result), overwrite=overwrite)
    return result.record


def _about_samples(card: ModelCard, result: Result) -> ImageMeta:
    """Return the meaning of the samples' pixels: that of the training data, with a first dimension that counts them."""
    # Samples, and channels if there are several.
    outer = len(result.axes) - 2
    return ImageMeta(
        axes=result.axes,
        scale=(*(1.0,) * outer, *card.pixel_size),
        units=(*("pixel",) * outer, *card.units),
        # Names need a dimension that they belong to.
        channel_names=card.channel_names if outer == 2 and any(card.channel_names) else (),
        record=result.record,
    )
