"""The file formats, one line each: how a file is recognised, what opens it, and what writes it.

A new format is one file with a function that opens it, and one line here. Nothing else compares endings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from napari_genrecon.arrays import ImageArray
from napari_genrecon.axes import Axes
from napari_genrecon.errors import GenReconError, ImageError, MissingPackageError, OptionError
from napari_genrecon.io.image_file import ImageFile

__all__ = [
    "FORMATS", "Format", "image_name", "is_image", "is_written_by_region", "plainly", "read_format", "result_ending",
    "written_endings", "written_format",
]  # fmt: skip

_ROOT = "napari_genrecon.io."


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One kind of file, or of folder.

    Attributes
    ----------
    name : str
        Name used in sentences.
    endings : tuple of str
        Endings of file names, in lower case.
    open : str
        ``"module:function"``, where the function takes a path, axes (str or None) and series (int, str or None) and
        returns an `ImageFile`; modules are named from `io` on.
    magic : tuple of (int, bytes)
        Bytes at an offset that identify the format; any of them is enough, whatever the name of the file.
    folder_test : str
        ``"module:function"`` that says whether a folder is an image of this format; empty for files.
    write : str
        ``"module:function"``, see `write_steps`; empty if it is only read.
    written : tuple of str
        Endings of names that are written in this format, the usual one first.
    room : str
        ``"module:function"`` that takes axes and a dtype and refuses those that have no room in the format; empty if
        it is only read.
    by_region : bool
        Whether results are written region by region: in bounded memory, by workers, and continued after a kill.
    package : str
        Package to install if the reader is missing; empty if it comes with napari-genrecon.
    """

    name: str
    endings: tuple[str, ...]
    open: str
    magic: tuple[tuple[int, bytes], ...] = ()
    folder_test: str = ""
    write: str = ""
    written: tuple[str, ...] = ()
    room: str = ""
    by_region: bool = False
    package: str = ""

    def fits_name(self, path: Path) -> bool:
        """Return whether the name ends as one of this format."""
        return path.name.lower().endswith(self.endings) if self.endings else False

    def fits(self, path: Path) -> bool:
        """Return whether an existing file (by its name) or folder (by its content) counts as one of this format."""
        if path.is_dir():
            return bool(self.folder_test) and bool(_resolve(self.folder_test)(path))
        return self.fits_name(path)

    def open_file(self, path: Path, axes: str | None, series: int | str | None) -> ImageFile:
        """Open an image; every failure is reported in a sentence."""
        found: ImageFile = plainly(path, self, partial(self._open, path, axes, series))
        return found

    def _open(self, path: Path, axes: str | None, series: int | str | None) -> Any:
        return _resolve(self.open)(path, axes, series)

    def check_regions(self, path: Path, *, resume: bool, client: object) -> None:
        """Refuse a result that is to be resumed or written by a cluster, in a format that does not support it."""
        if not self.by_region and (resume or client is not None):
            ending = written_endings(folder=True)[0]
            raise OptionError(f"{self.name} cannot be resumed or written by a cluster: end {path.name} in {ending}")

    def check_room(self, axes: Axes, dtype: np.dtype[Any]) -> None:
        """Refuse dimensions and numbers that a file of this format has no room for, before any work is done.

        Raises
        ------
        ImageError
            If it has none for one of them.
        """
        _resolve(self.room)(axes, dtype)

    def write_steps(self, path: Path, data: ImageArray, about: Any, **options: Any) -> Generator[Any, None, Path]:
        """Write an image; options: dtype, overwrite, sources, pyramid, resume, client (see `tiff.write`, `zarr.write`).

        Raises
        ------
        OptionError
            If the result is to be resumed or written by a cluster, and the format does not support it.
        """
        # Only formats that are written by region know these two options.
        resume, client = options.pop("resume", False), options.pop("client", None)
        self.check_regions(path, resume=resume, client=client)
        if self.by_region:
            options.pop("pyramid", None)  # OME-Zarr always has one
            options |= {"resume": resume, "client": client}
        steps: Generator[Any, None, Path] = _resolve(self.write)(path, data, about, **options)
        return steps


FORMATS = (
    Format(
        name="OME-Zarr", endings=(".zarr", ".zarr.zip"), open="zarr.read:open_zarr", folder_test="zarr.places:is_zarr",
        write="zarr.write:write_zarr_steps", written=(".ome.zarr", ".zarr"), room="zarr.write:check_room",
        by_region=True,
    ),
    Format(
        name="TIFF", open="tiff.read:open_tiff", write="tiff.write:write_tiff_steps",
        written=(".ome.tif", ".ome.tiff", ".tif", ".tiff"), room="tiff.write:check_room",
        endings=(".tif", ".tiff", ".btf", ".tf2", ".tf8", ".lsm", ".stk", ".qptiff", ".svs", ".scn", ".ndpi"),
        magic=((0, b"II*\0"), (0, b"MM\0*"), (0, b"II+\0"), (0, b"MM\0+")),
    ),
    Format(
        name="folder of TIFF planes", endings=(), open="tiff.planes:open_planes", folder_test="tiff.planes:is_stack",
    ),
    Format(
        name="PNG or JPEG", endings=(".png", ".jpg", ".jpeg"), open="foreign.picture:open_picture",
        magic=((0, b"\x89PNG\r\n\x1a\n"), (0, b"\xff\xd8\xff")),
    ),
    Format(name="NumPy", endings=(".npy",), open="foreign.npy:open_npy", magic=((0, b"\x93NUMPY"),)),
    Format(
        name="Zeiss CZI", endings=(".czi",), open="foreign.czi:open_czi", magic=((0, b"ZISRAWFILE"),),
        package="pylibCZIrw",
    ),
    Format(
        name="Nikon ND2", endings=(".nd2",), open="foreign.nikon:open_nd2", package="nd2",
        magic=((0, b"\xda\xce\xbe\n"), (0, b"\0\0\0\x0cjP  \r\n\x87\n")),
    ),
    Format(name="Leica LIF", endings=(".lif", ".lof"), open="foreign.leica:open_leica", package="liffile"),
    Format(name="Olympus OIF", endings=(".oif", ".oib"), open="foreign.olympus:open_olympus", package="oiffile"),
    Format(name="DeltaVision", endings=(".dv", ".r3d"), open="foreign.deltavision:open_dv", package="mrc"),
    Format(name="Imaris", endings=(".ims",), open="foreign.imaris:open_imaris", package="h5py"),
    Format(
        name="HDF5", endings=(".h5", ".hdf5"), open="foreign.hdf5:open_hdf5", magic=((0, b"\x89HDF\r\n\x1a\n"),),
        package="h5py",
    ),
    Format(
        name="MRC", endings=(".mrc", ".mrcs", ".map", ".rec"), open="foreign.mrc2014:open_mrc", package="mrcfile",
        magic=((208, b"MAP "),),
    ),
    Format(
        name="NRRD", endings=(".nrrd", ".nhdr"), open="foreign.nearly_raw:open_nrrd", magic=((0, b"NRRD000"),),
        package="pynrrd",
    ),
    Format(
        name="NIfTI", endings=(".nii", ".nii.gz"), open="foreign.nifti:open_nifti", package="nibabel",
        magic=((344, b"n+1\0"), (4, b"n+2\0")),
    ),
)  # fmt: skip
"""Asked in this order."""

_REFUSED = {
    ".oir": "Olympus OIR", ".vsi": "Olympus VSI", ".lei": "Leica LEI", ".xlif": "Leica XLEF", ".xlef": "Leica XLEF",
    ".sld": "SlideBook", ".sldy": "SlideBook", ".flex": "Opera Flex", ".zvi": "Zeiss ZVI", ".ipl": "IPLab",
    ".mvd2": "Volocity", ".c01": "Cellomics", ".dib": "Cellomics", ".mrxs": "MIRAX", ".vms": "Hamamatsu",
    ".ids": "ICS", ".ics": "ICS", ".dcm": "DICOM", ".bif": "Ventana", ".obf": "Imspector", ".msr": "Imspector",
    ".pic": "Bio-Rad PIC", ".gif": "GIF", ".bmp": "BMP", ".jp2": "JPEG 2000", ".webp": "WebP", ".mp4": "video",
    ".avi": "video", ".mov": "video",
}  # fmt: skip
"""Formats that people have and that are not read here, by their endings."""


def _resolve(target: str) -> Callable[..., Any]:
    module, _, function = target.partition(":")
    # Late, so that a reader and the package it needs are loaded for a file of its format only.
    found: Callable[..., Any] = getattr(import_module(_ROOT + module), function)
    return found


# --- reading ---


def read_format(path: Path) -> Format:
    """Return the format of a file or folder: by its content where that is telling, else by its name.

    Raises
    ------
    ImageError
        If it is of none that is read.
    """
    found = (None if path.is_dir() else _by_magic(path)) or next((f for f in FORMATS if f.fits(path)), None)
    if found is None:
        raise ImageError(_refusal(path))
    return found


def _by_magic(path: Path) -> Format | None:
    try:
        with path.open("rb") as file:
            # Enough for the signature that lies deepest (NIfTI, at 344).
            head = file.read(max(at + len(magic) for f in FORMATS for at, magic in f.magic))
    except OSError:  # reported in a sentence when it is opened
        return None
    fits = [f for f in FORMATS if any(head[at : at + len(magic)] == magic for at, magic in f.magic)]
    by_name = [f for f in FORMATS if f.fits_name(path)]
    # an Imaris file is HDF5, a DeltaVision one may be MRC: the name says more
    return None if not fits or (by_name and by_name[0].name in _WITHIN.get(fits[0].name, ())) else fits[0]


_WITHIN = {"HDF5": ("Imaris",), "MRC": ("DeltaVision",)}


def _refusal(path: Path) -> str:
    if path.is_dir():
        return f"{path} is a folder, but neither an OME-Zarr store nor one with at least two TIFF planes: give a file"
    known = next((name for ending, name in _REFUSED.items() if path.name.lower().endswith(ending)), None)
    if known:
        return f"{path.name} is a {known} file, which is not read here: save it as OME-TIFF in Fiji (with Bio-Formats)"
    names = ", ".join(f.name for f in FORMATS if f.endings)
    return f"{path.name} is not an image that can be opened here ({names}): save it as OME-TIFF in Fiji"


def plainly(path: Path, kind: Format | str, read: Callable[[], Any]) -> Any:
    """Return what `read` returns; whatever it raises becomes an error that says what is wrong in a sentence."""
    name, package = (kind, "imagecodecs") if isinstance(kind, str) else (kind.name, kind.package or "imagecodecs")
    try:
        return read()
    except GenReconError:
        raise
    except ImportError as error:
        # imagecodecs comes with the extra "all", the readers of microscopes with "formats".
        extra = "all" if package == "imagecodecs" else "formats"
        raise MissingPackageError(
            f"{path.name} cannot be read without another package ({error}): pip install {package}, or "
            f"pip install 'napari-genrecon[{extra}]'"
        ) from error
    except PermissionError as error:
        raise ImageError(f"{path} may not be read ({error.strerror}): ask its owner for permission") from error
    except MemoryError as error:
        raise ImageError(f"{path.name} does not fit into the memory: {error}") from error
    except Exception as error:  # a damaged file makes readers raise nearly anything
        raise ImageError(f"{path.name} cannot be read as a {name} file, it may be damaged: {error}") from error


def is_image(path: Path) -> bool:
    """Return whether a file, by its name, or a folder, by its content, is one image; no folder of planes does."""
    # A folder of planes is the only format without endings.
    return any(f.fits(path) for f in FORMATS if f.endings)


def image_name(path: Path) -> str:
    """Return the name of a file without the ending of its format."""
    endings = sorted({ending for f in FORMATS for ending in (*f.endings, *f.written)}, key=len, reverse=True)
    found = next((ending for ending in endings if path.name.lower().endswith(ending)), "")
    # Endings that have no form with ".ome" of their own, such as "x.ome.zarr.zip" or "x.ome.btf".
    return re.sub(r"\.ome$", "", path.name[: len(path.name) - len(found)], flags=re.IGNORECASE)


# --- writing ---


def written_endings(*, folder: bool | None = None) -> list[str]:
    """Return the usual endings of what is written."""
    return [f.written[0] for f in FORMATS if f.write and folder in (None, f.by_region)]


def written_format(path: Path) -> Format:
    """Return the format in which a result of this name is written.

    Raises
    ------
    OptionError
        If the name asks for none.
    """
    # An unknown ending is refused, not replaced: the user would look for the name that they gave.
    found = next((f for f in FORMATS if f.write and path.name.lower().endswith(f.written)), None)
    if found is None:
        known = " or ".join(written_endings())
        raise OptionError(f"{path.name} names no format that is written: end it in {known}")
    return found


def is_written_by_region(path: Path) -> bool:
    """Return whether a result of this name is written region by region; False for a name without a known ending."""
    return any(f.by_region and path.name.lower().endswith(f.written) for f in FORMATS if f.write)


def result_ending(source: Path) -> str:
    """Return the ending of a result that gets no name: that of the source's format if it is written by region."""
    # By the name alone: nothing is opened to name a result.
    by_region = any(f.fits_name(source) for f in FORMATS if f.by_region)
    return written_endings(folder=by_region)[0]
