"""The files that are given on the command line: folders opened up, each processed by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from napari_genrecon.cli.terminal import say, warn
from napari_genrecon.errors import ExistsError, GenReconError, ImageError
from napari_genrecon.io.tiff import is_tiff

__all__ = ["expand", "process_each", "sentence"]


def expand(paths: list[Path], *, stack: bool) -> Iterator[Path]:
    """Folders as the images in them, unless they are an image themselves."""
    from napari_genrecon.io.omezarr import is_zarr

    for path in paths:
        if not path.is_dir() or is_zarr(path) or stack:
            yield path
            continue
        inside = [p for p in sorted(path.iterdir()) if not p.name.startswith(".")]
        images = [p for p in inside if is_tiff(p) or is_zarr(p)]
        if not images:
            raise ImageError(f"there is no TIFF file and no OME-Zarr in the folder {path}")
        if len(images) < len(inside):
            warn(f"{path}: {len(inside) - len(images)} files are neither TIFF nor OME-Zarr and are left out")
        yield from images


def process_each(paths: list[Path], process: Callable[[Path], str], *, debug: bool, replaces: bool = False) -> int:
    """Process all files; a bad one is reported and the rest go on. Returns how many failed."""
    failed = 0
    for path in paths:
        try:
            say(process(path))
        except GenReconError as error:
            if debug:
                raise
            failed += 1
            warn(f"{path}: {sentence(error, replaces=replaces)}")
        except Exception as error:  # one bad file must not end a batch, nor greet the user with a traceback
            if debug:
                raise
            failed += 1
            warn(f"{path}: failed: {type(error).__name__}: {error} (--debug tells more)")
    return failed


def sentence(error: GenReconError, *, replaces: bool) -> str:
    """The sentence, with the switch that helps where there is one."""
    return f"{error} (or give --overwrite)" if replaces and isinstance(error, ExistsError) else str(error)
