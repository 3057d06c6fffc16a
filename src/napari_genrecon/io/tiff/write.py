"""Write an image as OME-TIFF: tiles, compressed, with physical sizes, channel names and the record inside."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_genrecon import __version__
from napari_genrecon.arrays import ImageArray, as_numpy
from napari_genrecon.axes import RGB, Axes
from napari_genrecon.engine.intensity import count_nan, to_dtype
from napari_genrecon.engine.lazy import as_transposable
from napari_genrecon.engine.run import Progress
from napari_genrecon.errors import ImageError, OutputError
from napari_genrecon.io.image_file import ImageMeta
from napari_genrecon.io.layer_display import stored_display
from napari_genrecon.io.levels import TILE, halved, level_shapes
from napari_genrecon.io.publish import publishing
from napari_genrecon.io.record.provenance import Stored, combined, counted, digest_pixels, sealed
from napari_genrecon.io.tiff.ome_text import ome_text

if TYPE_CHECKING:
    from tifffile import TiffFile

__all__ = ["check_room", "write_tiff_steps"]

_CLASSIC_LIMIT = 3 << 30  # bytes; larger files are BigTIFF, as 32-bit offsets end at 4 GB, headers included
_TILE_STEP = 16  # TIFF wants the sides of tiles to be multiples of this
_PYRAMID_SHARE = 4 / 3  # an image and its smaller copies, in sizes of the image: 1 + 1/4 + 1/16 + …


def write_tiff_steps(
    path: str | Path,
    data: ImageArray,
    about: ImageMeta,
    *,
    dtype: DTypeLike | None = None,
    pyramid: bool = False,
    overwrite: bool = False,
    sources: Iterable[Path] = (),
    identity: str | None = None,
) -> Generator[Progress, None, Path]:
    """Write an image plane by plane, so that a lazy one is never in memory as a whole.

    Parameters
    ----------
    path : path-like
        Path of the file; ``.ome.tif`` is the usual ending.
    data : array_like
        NumPy, or lazy: every plane is computed when its turn comes.
    about : ImageMeta
        Metadata of the pixels. Dimensions that OME does not know (P, say) are kept in their order.
    dtype : dtype, optional
        Type of the stored pixels, if not that of the data; integers are rounded and clipped, the record says how many.
    pyramid : bool
        Whether to store smaller copies of each plane with it (as SubIFDs), half, a quarter… as large, down to 256
        pixels: viewers show large images faster with them, and others do not see them.
    overwrite, sources
        See `io.publish.publishing`.
    identity : str, optional
        UUID of the file, for files whose bytes must come out equal; a random one if not given.

    Yields
    ------
    Progress
        After every plane.

    Returns
    -------
    Path
        Path of the finished file.

    Raises
    ------
    OutputError
        If the file cannot be written; nothing was changed then.
    ImageError
        If the dtype or the order of the dimensions cannot be stored.
    """
    wanted = np.dtype(data.dtype if dtype is None else dtype)
    path, kind = Path(path), _storable(wanted)
    counts = dtype is not None or data.dtype.kind == "f"  # in integer data, NaN and clipped pixels are lost already
    order = _spatial_last(about.axes)
    data, about = as_transposable(data).transpose(order), replace(about.reordered(order), layer=_layer(about.filled()))
    shape = tuple(int(n) for n in data.shape)
    # Without compression, which nobody knows beforehand: an upper limit.
    expected = int(math.prod(shape) * kind.itemsize * (_PYRAMID_SHARE if pyramid else 1))
    with publishing(path, overwrite=overwrite, sources=sources, expected_bytes=expected) as part:
        yield Progress(0, 1, "writing")
        levels = len(level_shapes(shape[about.axes.y : about.axes.y + 2])) if pyramid else 1
        # The XML is written before the pixels, without the checksums that are known only after the last plane.
        planes = _Planes(
            part, ome_text(about, shape, kind, identity), kind, about.axes, levels, expected > _CLASSIC_LIMIT
        )
        stored = yield from planes.write(data, wanted, counts=counts)
        if about.record is not None:
            whole = replace(about, record=_record(about, shape, wanted, stored))
            _describe(part, ome_text(whole, shape, kind, identity))
        _verify(part, shape, kind, levels)
    return path


def check_room(axes: Axes, dtype: np.dtype[Any]) -> None:
    """Refuse dimensions and numbers that OME-TIFF has no room for.

    Raises
    ------
    ImageError
        If it has none for one of them.
    """
    _storable(dtype)
    # Room does not depend on lengths; that of colours has to be one of colours.
    about = ImageMeta(axes=axes).reordered(_spatial_last(axes))
    ome_text(about, tuple(RGB if letter == "S" else 1 for letter in about.axes.letters), np.dtype(np.uint8))


def _layer(about: ImageMeta) -> dict[str, Any] | None:
    """Return the settings of the layer, with its place where OME-TIFF has no room for that, as in time, and limits."""
    letters, layer = about.axes.letters, about.layer
    # Channels are numbered, and have no place.
    if any(place for letter, place in zip(letters, about.translate, strict=True) if letter not in "CZYXS"):
        n = len(letters.replace("S", ""))
        # With sizes and units, as readers drop a dimension of length 1, such as a single frame.
        place = {"scale": about.scale[:n], "units": about.units[:n], "translate": about.translate[:n]}
        layer = {**{name: list(values) for name, values in place.items()}, **(layer or {})}
    # The letters before the transposition, so that the layer comes back in its own order.
    layer = None if layer is None else {**layer, "axes": letters}
    # OME-XML has no display limits, and no more than one colour for a channel.
    shown = stored_display(about, "channel_limits", "channel_luts")
    return {**(layer or {}), **shown} if shown else layer


def _storable(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype in the file: OME-TIFF has no 16-bit floats and no 64-bit integers."""
    if dtype == np.float16:
        return np.dtype("<f4")
    if dtype.kind not in "iuf" or dtype.itemsize > 8 or (dtype.kind in "iu" and dtype.itemsize == 8):
        raise ImageError(f"OME-TIFF cannot store {dtype}: write it as .ome.zarr, or convert the image to 32 bits first")
    return dtype.newbyteorder("<")


def _spatial_last(axes: Axes) -> tuple[int, ...]:
    """Return the order of dimensions in which Y and X (and colour samples) come last: OME-TIFF stores planes."""
    last = [axes.y, axes.x, *([len(axes) - 1] if axes.rgb else [])]
    return (*(i for i in range(len(axes)) if i not in last), *last)


def _record(about: ImageMeta, shape: tuple[int, ...], dtype: np.dtype[Any], stored: list[Stored]) -> dict[str, Any]:
    """Return the sealed record, with what was counted while the pixels were written."""
    # One region per plane, as planes are what was written and hashed.
    regions = [1] * about.axes.y + list(shape[about.axes.y :])
    record = counted(about.record or {}, dtype, stored)
    return sealed(record, about, regions, combined(plane.digest for plane in stored))


class _Planes:
    """Writer of planes as pages, each with its smaller copies."""

    def __init__(
        self, part: Path, description: bytes, dtype: np.dtype[Any], axes: Axes, levels: int, bigtiff: bool
    ) -> None:
        self._part, self._description, self._dtype, self._axes = part, description, dtype, axes
        self._levels, self._bigtiff = levels, bigtiff

    def write(
        self, data: ImageArray, wanted: np.dtype[Any], *, counts: bool
    ) -> Generator[Progress, None, list[Stored]]:
        """Compute and write one plane after the other, of values that the wanted dtype has."""
        import tifffile

        stored: list[Stored] = []
        outer = data.shape[: self._axes.y]
        total = math.prod(outer)
        with tifffile.TiffWriter(self._part, bigtiff=self._bigtiff) as tif:
            for index, position in enumerate(np.ndindex(outer), start=1):
                # Computed once and used twice, for the count of NaN and for the pixels.
                values = as_numpy(data[position])
                rounded, clipped = to_dtype(values, wanted)
                # The same values in the file's dtype, which is wider for 16-bit floats.
                plane = np.ascontiguousarray(rounded, self._dtype)
                self._write_one(tif, plane, first=index == 1)
                known = (count_nan(values), clipped) if counts else (None, None)
                # The record names the machine already: pixels of a lazy image are computed on this one, too.
                stored.append(Stored(digest_pixels(plane), *known))
                yield Progress(index, total, f"{index} of {total} planes done")
        return stored

    def _write_one(self, tif: TiffFile, plane: NDArray[Any], *, first: bool) -> None:
        description = self._description if first else None
        # The pages written next become the levels of this one: tifffile takes as many as are announced.
        tif.write(plane, subifds=self._levels - 1, description=description, **self._options(plane))
        for _ in range(self._levels - 1):
            plane = _halved(plane, rgb=self._axes.rgb)
            tif.write(plane, subfiletype=1, **self._options(plane))

    def _options(self, plane: NDArray[Any]) -> dict[str, Any]:
        return {
            "tile": tuple(min(TILE, -(-n // _TILE_STEP) * _TILE_STEP) for n in plane.shape[:2]),
            "compression": "zlib",
            # The horizontal predictor makes integers smaller; that for floats would need another package.
            "predictor": plane.dtype.kind in "iu",
            "photometric": "rgb" if self._axes.rgb else "minisblack",
            "metadata": None,
            "contiguous": False,
            "software": f"napari-genrecon {__version__}",
        }


def _halved(plane: NDArray[Any], *, rgb: bool) -> NDArray[Any]:
    if not rgb:
        return halved(plane, plane.dtype)
    # (Y, X, S) -> (S, Y, X) and back: `halved` takes the last two dimensions.
    return np.ascontiguousarray(np.moveaxis(halved(np.moveaxis(plane, -1, 0), plane.dtype), 0, -1))


def _describe(part: Path, description: bytes) -> None:
    """Put the record into the file, which was begun before the record was complete."""
    import tifffile

    with tifffile.TiffFile(part, mode="r+") as tif:
        # tifffile appends a longer text at the end of the file and changes only where the tag points to.
        tif.pages[0].tags["ImageDescription"].overwrite(description)


def _verify(part: Path, shape: tuple[int, ...], dtype: np.dtype[Any], levels: int) -> None:
    """Read the header back: what cannot be opened is not published."""
    import tifffile

    with tifffile.TiffFile(part) as tif:
        written = tif.series[0]
        # The number of pixels, as tifffile drops dimensions of length 1 from the shape.
        whole = math.prod(written.shape) == math.prod(shape) and len(written.levels) == levels
        if not whole or written.dtype != dtype:
            raise OutputError(f"{part.name} was not written completely: {written.shape} {written.dtype}")
