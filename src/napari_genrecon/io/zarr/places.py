"""Address of a node of a Zarr store: a folder, also inside a zip file. No link out of the store is followed."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from napari_genrecon.errors import ImageError
from napari_genrecon.io.json_file import MAX_JSON, parsed_json, read_json

__all__ = ["ATTRIBUTE", "HIDDEN_METADATA", "MAX_CHUNK", "METADATA", "Place", "is_zarr", "place_of"]

METADATA, HIDDEN_METADATA = "zarr.json", "zarr.json.part"
"""Name of the metadata of a finished store, and of one that is not finished yet."""

ATTRIBUTE = "genrecon"
"""Name of our own attribute beside those of OME."""

MAX_CHUNK = 1 << 30  # bytes, packed or not; a chunk is read whole, so that a larger one could fill the memory


def is_zarr(path: Path) -> bool:
    """Return whether a folder is a Zarr store."""
    return any((path / name).is_file() for name in (METADATA, HIDDEN_METADATA, ".zgroup", ".zarray"))


@dataclass(frozen=True, slots=True)
class Place:
    """A node of a store.

    Attributes
    ----------
    root : Path
        The folder of the store, or the zip file that holds it.
    inner : str
        Path inside it, with slashes; empty for the store itself.
    """

    root: Path
    inner: str = ""

    def __str__(self) -> str:
        return str(self.root / self.inner) if self.inner else str(self.root)

    @property
    def zipped(self) -> bool:
        """Whether the node lies in a zip file."""
        return self.root.is_file()

    def has(self, name: str) -> bool:
        """Return whether the node has a file of this name."""
        return self._key(name) in _members(self.root) if self.zipped else (self.root / self.inner / name).exists()

    def json(self, name: str) -> dict[str, Any]:
        """Return the JSON object in a file.

        Raises
        ------
        ImageError
            If it is none, is too large, or a link.
        """
        if not self.zipped:
            return read_json(self.root / self.inner / name)
        with zipfile.ZipFile(self.root) as file:
            # The size is known before anything is unpacked: a small zip file can hold gigabytes of zeros.
            member = file.getinfo(self._key(name))
            if member.file_size > MAX_JSON:
                raise ImageError(f"{self}/{name} has {member.file_size} bytes of metadata; at most {MAX_JSON} are read")
            return parsed_json(f"{self}/{name}", file.read(member))

    def folders(self) -> list[str]:
        """Return the names of the folders in it, in the order of their numbers and names."""
        if self.zipped:
            # A zip file has no folders, only names with slashes.
            start = self._key("")
            inside = (key.removeprefix(start) for key in _members(self.root) if key.startswith(start))
            found = {key.split("/")[0] for key in inside if "/" in key}
        else:
            found = {path.name for path in (self.root / self.inner).iterdir() if path.is_dir()}
        # Images of a converted file are called 0, 1, … 10: in the order of numbers, not of texts.
        return sorted(found, key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name))

    def at(self, name: str) -> Place:
        """Return a node that the metadata name.

        Raises
        ------
        ImageError
            If it is not there, lies outside the store, or is a link.
        """
        # The name comes from the metadata of somebody else. "\\" and ":" lead out of the folder on Windows.
        parts = str(name).split("/")
        if not name or "\\" in name or ":" in name or any(part in ("", ".", "..") for part in parts):
            raise ImageError(f"{self} names an array {name!r}: only folders inside the store are read")
        found = Place(self.root, self._key(str(name)))
        if self.zipped:
            there = any(key.startswith(f"{found.inner}/") for key in _members(self.root))
        else:
            self._refuse_links(parts)
            there = (self.root / found.inner).is_dir()
        if not there:
            raise ImageError(f"{self} names an array {name!r} that is not there")
        return found

    def array(self) -> Any:
        """Open it as a Zarr array, for reading."""
        import zarr
        from zarr.storage import ZipStore

        if not self.zipped:
            return zarr.open_array(self.root / self.inner, mode="r")
        return zarr.open_array(ZipStore(self.root, mode="r"), path=self.inner, mode="r")

    def _refuse_links(self, parts: list[str]) -> None:
        # Every folder on the way, as a link in the middle leads out as well.
        folder = self.root / self.inner
        for part in parts:
            folder = folder / part
            if folder.is_symlink():
                raise ImageError(f"{folder} is a link, and links are not followed: put the folder itself there")

    def _key(self, name: str) -> str:
        return f"{self.inner}/{name}" if self.inner else name


def place_of(path: Path) -> Place:
    """Return the root of a store; in a zip file it may lie in the only folder there is."""
    place = Place(path)
    if not place.zipped or any(place.has(name) for name in (METADATA, ".zgroup", ".zarray")):
        return place
    # Zipping a folder often puts the folder itself into the zip file.
    folders = place.folders()
    return Place(path, folders[0]) if len(folders) == 1 else place


def _members(path: Path) -> dict[str, int]:
    # The stamp makes a file that was changed another entry of the cache.
    found = path.stat()
    return _listed(path, (found.st_mtime_ns, found.st_size))


@lru_cache(maxsize=8)
def _listed(path: Path, _stamp: tuple[int, int]) -> dict[str, int]:
    """Return names and sizes of all files in a zip file."""
    with zipfile.ZipFile(path) as file:
        members = {info.filename: info.file_size for info in file.infolist()}
    largest = max(members, key=lambda name: members[name], default="")
    if largest and members[largest] > MAX_CHUNK:
        raise ImageError(f"{path.name} holds a piece of {members[largest]} bytes, {largest}: too large to read")
    return members
