"""NIfTI, through nibabel."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.errors import ImageError
from napari_genrecon.io.image_file import ImageFile, Sizes, about_with, resolved_axes, unit_name
from napari_genrecon.io.lazy import whole_or_regions

__all__ = ["open_nifti"]

_LETTERS = "XYZTC"


def open_nifti(path: Path, axes: str | None, _series: int | str | None = None) -> ImageFile:
    """Open the volume of a NIfTI file, with its scale and intercept applied."""
    import nibabel

    image: Any = nibabel.load(path)
    shape = tuple(int(n) for n in image.shape)
    # From one voxel and not from the header: scale and intercept turn the stored integers into floats.
    dtype = np.asanyarray(image.dataobj[(slice(0, 1),) * len(shape)]).dtype
    if dtype.kind not in "iuf":
        raise ImageError(f"{path.name} holds {dtype}: real numbers are needed")
    # NIfTI pads the dimensions with 1, such as a time axis of one volume.
    kept = tuple(i for i, n in enumerate(shape) if n > 1 or i < 2)
    letters = "".join(_LETTERS[i] for i in kept)[::-1] if len(shape) <= len(_LETTERS) else ""
    # (X, Y, Z) of the file -> (Z, Y, X)
    turned = tuple(shape[i] for i in kept)[::-1]
    data = whole_or_regions(partial(_region, path, kept), turned, dtype, (*(1,) * (len(turned) - 2), *turned[-2:]))
    about = about_with(resolved_axes(axes, letters, turned), _sizes(image.header))
    return ImageFile(data=data, about=about, name="", path=path)


def _region(path: Path, kept: tuple[int, ...], region: Any) -> NDArray[Any]:
    """Read a region whose index counts the dimensions from the slowest; the file counts from the fastest."""
    import nibabel

    image: Any = nibabel.load(path)
    proxy = image.dataobj
    # An index may be shorter than the number of dimensions, or an Ellipsis: it is filled up with whole dimensions.
    whole = (region if isinstance(region, tuple) else (region,)) if region is not Ellipsis else ()
    whole = (*whole, *(slice(None),) * (len(kept) - len(whole)))
    # Dimensions of length 1 that were dropped are indexed with 0.
    index: list[Any] = [0] * len(proxy.shape)
    for place, part in zip(kept, whole[::-1], strict=True):
        index[place] = part
    return np.asarray(proxy[tuple(index)]).T


def _sizes(header: Any) -> Sizes:
    space, time = header.get_xyzt_units()
    units = {**dict.fromkeys("XYZ", unit_name(space)), "T": unit_name(time)}
    steps = zip(_LETTERS, header.get_zooms(), strict=False)
    return {letter: (float(step), units[letter]) for letter, step in steps if letter in units}
