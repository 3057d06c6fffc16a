"""DeltaVision, through mrc."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_genrecon.errors import ImageError
from napari_genrecon.io.image_file import (
    MICROMETRE,
    ImageFile,
    about_with,
    resolved_axes,
)  # fmt: skip
from napari_genrecon.io.lazy import at_once

__all__ = ["open_dv"]


def open_dv(path: Path, axes: str | None, _series: int | str | None = None) -> ImageFile:
    """Open the image of a DeltaVision file, plane by plane if it is large."""
    from mrc import DVFile

    with DVFile(path) as file:
        if file.dtype.kind not in "iuf":
            raise ImageError(f"{path.name} holds {file.dtype}: real numbers are needed")
        sizes, size = dict(file.sizes), file.voxel_size
        data = file.asarray(squeeze=False) if at_once(file.data.nbytes) else file.to_dask()
        waves = [getattr(file.hdr, f"wave{i + 1}", 0) for i in range(sizes.get("C", 1))]
    kept = [i for i, letter in enumerate(sizes) if data.shape[i] > 1 or letter in "YX"]
    letters = "".join(letter for letter in sizes if sizes[letter] > 1 or letter in "YX")
    data = data.reshape([data.shape[i] for i in kept])
    if isinstance(data, np.ndarray):
        data = data.astype(data.dtype.newbyteorder("="), copy=False)
    named = len(waves) > 1 and all(waves)
    about = about_with(
        resolved_axes(axes, letters, tuple(data.shape)),
        {letter: (float(value), MICROMETRE) for letter, value in zip("XYZ", size, strict=True)},
        channel_names=tuple(f"{wave} nm" for wave in waves) if named else (),
    )
    return ImageFile(data=data, about=about, name="", path=path)
