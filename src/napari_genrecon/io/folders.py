"""Find the images in folders, by their names and without opening them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from napari_genrecon.errors import ImageError
from napari_genrecon.io.formats import is_image
from napari_genrecon.io.publish import PART
from napari_genrecon.io.record.sidecar import is_sidecar
from napari_genrecon.plural import number_of

__all__ = ["Found", "find_images"]


@dataclass(frozen=True, slots=True)
class Found:
    """An image to process.

    Attributes
    ----------
    path : Path
        Path of the file, the store or the folder of planes.
    within : Path or None
        Its folder relative to the folder that was searched; None if it was named itself.
    """

    path: Path
    within: Path | None = None


def find_images(
    inputs: Iterable[Path], *, stack: bool = False, recursive: bool = False
) -> tuple[list[Found], list[str]]:
    """Replace folders by the images in them, and drop images that are named twice.

    Parameters
    ----------
    inputs : iterable of Path
        Images, and folders of images.
    stack : bool
        Whether to take a folder as one image, a stack of planes.
    recursive : bool
        Whether to search subfolders, too.

    Returns
    -------
    found : list of Found
    notes : list of str
        Sentences about what was left out.

    Raises
    ------
    ImageError
        If a folder cannot be read or holds no image.
    """
    found, notes = dict[Path, Found](), list[str]()
    for path in inputs:
        if stack or not _is_folder(path):
            found[path.resolve()] = Found(path)  # named itself, whatever a folder holds
            continue
        search = _Search()
        _search(path, Path(), recursive, search)
        _require_images(path, search)
        notes += search.notes(path)
        for item in search.images:
            # The key is the real path: a file that is named twice, or through a link, is processed once.
            # An image that was named itself stays so: its result gets no subfolder.
            found.setdefault(item.path.resolve(), item)
    return list(found.values()), notes


@dataclass(slots=True)
class _Search:
    """Images found in one folder so far, and counts of what was left out."""

    images: list[Found] = field(default_factory=list)
    others: int = 0
    subfolders: int = 0
    unfinished: int = 0
    unreadable: list[str] = field(default_factory=list)

    def notes(self, folder: Path) -> list[str]:
        """Say what was left out."""
        others = ("file is no image that can be opened and is", "files are no images that can be opened and are")
        found = [f"{number_of(self.others, *others)} left out"] if self.others else []
        if self.subfolders:
            folders = number_of(self.subfolders, "subfolder is", "subfolders are")
            found.append(f"{folders} left out: --recursive, or 'and subfolders' in the window, takes them, too")
        if self.unfinished:
            results = number_of(self.unfinished, "unfinished result was no image", "unfinished results were no images")
            found.append(f"{results} to work on: --resume, or Start in the window, goes on with what is unfinished")
        found = [f"{folder}: {said}" for said in found]
        return found + [f"{name} cannot be read and is left out" for name in self.unreadable]


def _search(folder: Path, within: Path, recursive: bool, search: _Search) -> None:
    try:
        inside = sorted(folder.iterdir())
    except OSError as error:
        if not within.parts:
            raise ImageError(_unreadable(folder, error)) from error
        # A subfolder without permission must not end the search; the folder that the user named must.
        search.unreadable.append(f"{folder} ({error.strerror})")
        return
    for path in inside:
        # Hidden files are the system's, or temporary ones of ours; sidecars belong to their image. Neither is counted.
        if path.name.startswith(".") or is_sidecar(path):
            continue
        # Before the test for stores: an unfinished store has the metadata of a store and would be taken for an image.
        if path.name.endswith(PART):
            search.unfinished += 1
        elif path.is_file() and is_image(path):
            search.images.append(Found(path, within))
        elif not path.is_dir():
            search.others += 1
        # A Zarr store is a folder for the system and an image for us: it must not be searched for its chunks.
        elif _is_store(path):
            search.images.append(Found(path, within))
        elif not recursive:
            search.subfolders += 1
        elif not path.is_symlink():  # a link can lead back up
            _search(path, within / path.name, recursive, search)


def _is_store(folder: Path) -> bool:
    try:
        return is_image(folder)
    except OSError:  # no permission to enter it: reported when it is searched
        return False


def _is_folder(path: Path) -> bool:
    """Return whether this is a folder to search."""
    try:
        # A folder of TIFF planes is no image here, and its planes are images each; --stack asks for the other meaning.
        return path.is_dir() and not is_image(path)
    except OSError as error:
        raise ImageError(_unreadable(path, error)) from error


def _unreadable(path: Path, error: OSError) -> str:
    return f"{path} cannot be read ({error.strerror}): ask its owner for permission, or copy it to a folder of yours"


def _require_images(folder: Path, search: _Search) -> None:
    if not search.images:
        folders = number_of(search.subfolders, "subfolder", "subfolders")
        inside = f"; --recursive looks into its {folders}" if search.subfolders else ""
        raise ImageError(f"there is no image that can be opened in the folder {folder}{inside}")
