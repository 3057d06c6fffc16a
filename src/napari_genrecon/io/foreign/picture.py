"""PNG and JPEG, through Pillow: photographs, masks, point spread functions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.errors import ImageError
from napari_genrecon.io.image_file import ImageFile, about_with, resolved_axes

__all__ = ["open_picture"]

_KEPT = ("1", "L", "I;16", "I", "F", "RGB", "RGBA")  # Pillow's modes that are read as they are
_CONVERTED = {"P": "RGB", "PA": "RGBA", "LA": "RGBA", "I;16B": "I;16"}
_DEPTH, _KIND = 24, 25  # offsets of the bits per sample and of the colour type in a PNG
_COLOURED = (2, 6)  # colour types of PNG: RGB and RGBA


def open_picture(path: Path, axes: str | None, _series: int | str | None = None) -> ImageFile:
    """Open a picture as grey values or RGB, upright; its resolution in dots per inch is no pixel size."""
    data = _deep(path) if _is_deep(path) else _pixels(path)
    letters = "YXS" if data.ndim == 3 else "YX"
    return ImageFile(data=data, about=about_with(resolved_axes(axes, letters, data.shape), {}), name="", path=path)


def _pixels(path: Path) -> NDArray[Any]:
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as opened:
            if opened.mode not in {*_KEPT, *_CONVERTED}:
                raise ImageError(f"{path.name} holds colours as {opened.mode}: save it as RGB or grey values first")
            # Cameras store how they were held, and leave the pixels as they are.
            image = ImageOps.exif_transpose(opened)
            found = np.array(image.convert(_CONVERTED.get(image.mode, image.mode)))
    # Pillow refuses more than 179 million pixels, which a small file could declare.
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path.name} has too many pixels for a picture: save it as TIFF ({error})") from error
    return found.astype(np.uint8) if found.dtype == bool else found


def _is_deep(path: Path) -> bool:
    """Return whether the file is a PNG with colours of 16 bits, which Pillow would cut to 8."""
    # The header is read by hand, as Pillow reports such a file as ordinary RGB.
    with path.open("rb") as file:
        head = file.read(_KIND + 1)
    return len(head) > _KIND and head[1:4] == b"PNG" and head[_DEPTH] == 16 and head[_KIND] in _COLOURED


def _deep(path: Path) -> NDArray[Any]:
    import imagecodecs

    found: NDArray[Any] = imagecodecs.png_decode(path.read_bytes())
    return found
