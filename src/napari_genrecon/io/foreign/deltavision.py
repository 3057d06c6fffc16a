"""DeltaVision, through mrc."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.errors import ImageError
from napari_genrecon.io.image_file import (
    MICROMETRE,
    ImageFile,
    about_with,
    resolved_axes,
)  # fmt: skip
from napari_genrecon.io.lazy import from_planes

__all__ = ["open_dv"]


def open_dv(path: Path, axes: str | None, _series: int | str | None = None) -> ImageFile:
    """Open the image of a DeltaVision file, plane by plane if it is large."""
    from mrc import DVFile

    with DVFile(path) as file:
        if file.dtype.kind not in "iuf":
            raise ImageError(f"{path.name} holds {file.dtype}: real numbers are needed")
        sizes, size = dict(file.sizes), file.voxel_size
        # Files come in both byte orders; torch takes that of the machine only.
        dtype = file.dtype.newbyteorder("=")
        waves = [getattr(file.hdr, f"wave{i + 1}", 0) for i in range(sizes.get("C", 1))]
    # All dimensions, those of length 1 too, as the index of a plane in the file counts them.
    outer = tuple(n for letter, n in sizes.items() if letter not in "YX")
    data = from_planes(partial(_plane, path), outer, (sizes["Y"], sizes["X"]), dtype)
    letters = "".join(letter for letter, n in sizes.items() if n > 1 or letter in "YX")
    data = data.reshape([sizes[letter] for letter in letters])
    # A wavelength of 0 means that none was set.
    named = len(waves) > 1 and all(waves)
    about = about_with(
        resolved_axes(axes, letters, tuple(data.shape)),
        {letter: (float(value), MICROMETRE) for letter, value in zip("XYZ", size, strict=True)},
        channel_names=tuple(f"{wave} nm" for wave in waves) if named else (),
    )
    return ImageFile(data=data, about=about, name="", path=path)


def _plane(path: Path, index: tuple[int, ...]) -> NDArray[Any]:
    from mrc import DVFile

    with DVFile(path) as file:
        # A copy, as the file is closed when the function ends.
        return np.array(file[index])
