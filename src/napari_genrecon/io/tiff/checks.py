"""Compare what a TIFF file declares about its pixels with the file, before anything is allocated."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_genrecon.errors import ImageError, MissingPackageError
from napari_genrecon.plural import number_of

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage, TiffPageSeries

__all__ = ["check_codec", "check_pages", "check_sizes", "smaller_copies"]

_MOST_COMPRESSED = 10_000  # bytes of pixels from a byte of the file; damaged headers declare it, no real image does
_PAGES_CHECKED = 4096  # of the first pages: to check more would delay the opening of files with very many
_SLACK = 1 << 16  # bytes that a compressed piece may need beyond twice its size, for tables and headers of its codec
_HARMLESS = 256 << 20  # bytes; smaller images may be as constant, and their files as small, as they like


def check_pages(path: Path, tif: TiffFile) -> None:
    """Refuse a file of which only the first pages are there: what is left of it would pass for the whole image.

    Parameters
    ----------
    path : Path
        Path of the file.
    tif : tifffile.TiffFile
        Just opened.

    Raises
    ------
    ImageError
        If the list of its pages leads out of the file, or if it is of ImageJ and declares more planes than it holds.
    """
    found = len(tif.pages)
    # tifffile ends the list quietly where its next entry lies outside the file.
    if found and _next_page(tif) >= tif.filehandle.size:
        raise ImageError(
            f"{path.name} holds {found} of its pages, and the next lies outside the file: it was cut short"
        )
    # ImageJ writes one entry for a whole stack, so that the list of pages alone does not say how many planes there are.
    notes = (tif.imagej_metadata or {}) if tif.is_imagej else {}
    declared = max(int(notes.get("images", 1)), int(notes.get("slices", 1)) * int(notes.get("frames", 1)))
    if declared > found and tif.series[0].kind != "imagej":  # an ImageJ file may hold all its planes in one page
        raise ImageError(f"{path.name} declares {declared} planes but holds {found}: it is damaged or was cut short")


def _next_page(tif: TiffFile) -> int:
    """Return the offset in the file of the page behind the last one; 0 if there is none."""
    tif.filehandle.seek(tif.pages.next_page_offset)
    place = tif.filehandle.read(tif.tiff.offsetsize)
    if len(place) < tif.tiff.offsetsize:
        return int(tif.filehandle.size)
    return int(struct.unpack(tif.tiff.offsetformat, place)[0])


def check_sizes(path: Path, series: TiffPageSeries) -> None:
    """Refuse a series of pages that cannot be what it says.

    Parameters
    ----------
    path : Path
        Path of the file.
    series : tifffile.TiffPageSeries
        An image, or one of its levels.

    Raises
    ------
    ImageError
        If it declares more pixels than the file can hold, none at all, pieces outside the file, or planes that are not
        there.
    """
    size = path.stat().st_size
    # Python's integers: the product of damaged sizes would overflow NumPy's and pass for a small number.
    declared = math.prod(int(n) for n in series.shape) * np.dtype(series.dtype).itemsize
    if declared > max(_HARMLESS, _MOST_COMPRESSED * size):
        raise ImageError(
            f"{path.name} declares {bytes_text(declared)} of pixels {tuple(series.shape)} but has {bytes_text(size)}: "
            "its header is damaged, or it is constant and packed too tightly to be believed: save it uncompressed"
        )
    if 0 in series.shape:
        raise ImageError(f"{path.name} declares an image without pixels, {tuple(series.shape)}: its header is damaged")
    # The first problem is enough; a generator, so that the other pages are not looked at then.
    for problem in islice(_page_problems(series, size), 1):
        raise ImageError(f"{path.name} {problem}: it is damaged or was cut short")


def check_codec(path: Path, page: TiffPage) -> None:
    """Refuse a page that nothing installed can unpack: tifffile knows few ways of compression by itself.

    Parameters
    ----------
    path : Path
        Path of the file.
    page : tifffile.TiffPage
        First page of an image, or of one of its levels.

    Raises
    ------
    MissingPackageError
        If imagecodecs is needed and not installed.
    """
    from tifffile import TIFF

    try:
        # The lookup imports the codec, and raises where there is none.
        TIFF.DECOMPRESSORS[page.compression]
        TIFF.UNPREDICTORS[page.predictor]
    except (KeyError, ImportError) as error:
        name = getattr(page.compression, "name", page.compression)
        raise MissingPackageError(
            f"{path.name} is compressed ({name}) in a way that needs another package: "
            "pip install imagecodecs, or pip install 'napari-genrecon[all]'"
        ) from error


def bytes_text(count: int) -> str:
    """Return a number of bytes as people say it."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"


def _page_problems(series: TiffPageSeries, file_size: int) -> Iterator[str]:
    pages = list(islice(series.pages, _PAGES_CHECKED))
    # tifffile gives None for planes that the OME-XML counts and the file lacks, and reads them as zeros.
    missing = sum(page is None for page in pages)
    if missing and series.kind == "ome":
        lost = number_of(missing, "is", "are")
        yield f"declares {len(pages)} planes of which {lost} missing and would be read as zeros"
    for page in pages:
        if page is None:
            continue
        # Planes of a multi-file OME-TIFF lie in files of their own.
        size = file_size if page.parent.filehandle is series.keyframe.parent.filehandle else _size_of(page)
        problem = _page_problem(page, size)
        if problem:
            yield problem


def _size_of(page: TiffPage) -> int:
    return Path(page.parent.filehandle.path).stat().st_size


def _page_problem(page: TiffPage, file_size: int) -> str:
    """Say what is impossible about the places and sizes of a page's pieces; empty if nothing is.

    A piece that is left out has neither bytes nor a place.
    """
    segment, pieces = _segment_bytes(page), math.prod(page.chunked)
    if len(page.dataoffsets) < pieces or len(page.databytecounts) < pieces:
        return f"says where {len(page.dataoffsets)} of the {pieces} pieces of a page are"
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False):
        # The first 8 bytes are the header of the file.
        if count and not 8 <= offset <= file_size - count:
            return f"should have {count} bytes of pixels at {offset}, but has {file_size} bytes in all"
        if offset and not count:
            return f"has no bytes for the piece at {offset}"
        # Codecs add a little to pixels that cannot be compressed; far more than the piece unpacks to is damage.
        if count > 2 * segment + _SLACK:
            return f"stores {count} bytes for a piece of {segment} bytes"
    return ""


def _segment_bytes(page: TiffPage) -> int:
    """Return the bytes of one strip or tile when it is unpacked."""
    return int(math.prod(page.chunks)) * np.dtype(page.dtype).itemsize


def smaller_copies(series: TiffPageSeries) -> list[int]:
    """Return the indices of the levels of an image that are smaller copies of it, each smaller than the one before.

    Other pictures that some programs put beside them (a label, a thumbnail of other proportions, a level of another
    dtype) are left out.
    """
    found, last = [], _sides(series, series)
    for index, level in enumerate(series.levels[1:], start=1):
        sides = _sides(series, level)
        if sides is not None and last is not None and _is_less(sides, last) and _proportional(series, level):
            found.append(index)
            last = sides
    return found


def _is_less(sides: tuple[int, int], last: tuple[int, int]) -> bool:
    return sides != last and sides[0] <= last[0] and sides[1] <= last[1]


def _sides(series: TiffPageSeries, level: Any) -> tuple[int, int] | None:
    """Return height and width of a level that has the image's other dimensions and its dtype, else None."""
    if level.axes != series.axes or level.dtype != series.dtype:
        return None
    sizes = dict(zip(series.axes, level.shape, strict=True))
    # Only Y and X may shrink: a level with fewer planes or channels is another image.
    same = all(sizes[a] == n for a, n in zip(series.axes, series.shape, strict=True) if a not in "YX")
    return (sizes["Y"], sizes["X"]) if same and "Y" in sizes and "X" in sizes else None


def _proportional(series: TiffPageSeries, level: Any) -> bool:
    """Return whether a level shows all of the image: both sides are the same share of the image's, but for rounding."""
    whole, part = _sides(series, series), _sides(series, level)
    if whole is None or part is None:
        return False
    (height, width), (y, x) = whole, part
    factor = max(height / y, width / x)
    # 2 pixels, as programs round every halving down or up.
    return all(n / factor - 2 <= m <= n / factor + 2 for n, m in ((height, y), (width, x)))
