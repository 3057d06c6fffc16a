"""Write files whole or not at all, and never over another file unasked.

The content is written beside the target under a temporary name, synced to disk, and then given its name in one step.
A crash, a full disk or a cancel at any moment leaves either the old file or the new one.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from napari_genrecon.errors import ExistsError, OutputError
from napari_genrecon.io.zarr.places import is_zarr

__all__ = [
    "DISK_FULL", "check_target", "publishing", "refused_sentence", "remove", "rename", "replace", "require_space",
    "sentence", "sync_folder", "write_file",
]  # fmt: skip

DISK_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
"""Error numbers that mean that the disk, or what the user may use of it, is full."""

PART = ".part"
"""Ending of the temporary name; a file with it is never a result."""

_PAUSES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4)  # seconds between attempts to rename; about a second in all
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS, errno.EACCES, errno.EINVAL)
"""Errors of file systems without hard links; Windows says EINVAL on exFAT."""


def check_target(path: Path, *, overwrite: bool = False, sources: Iterable[Path] = (), folder: bool = False) -> None:
    """Refuse a target that must not be written, before any work is done.

    Parameters
    ----------
    path : Path
        Path of the result.
    overwrite : bool
        Whether an existing file may be replaced. A source never is.
    sources : iterable of Path
        Files that are being read: also through links, other spellings of their names and folders above them.
    folder : bool
        Whether the result is a folder (a Zarr store).

    Raises
    ------
    ExistsError
        If the file exists and may not be replaced.
    OutputError
        If the path is a source, lies inside a Zarr store, or its folder does not exist or may not be written to.
    """
    for source in sources:
        if _is_same(path, Path(source)):
            raise OutputError(f"{path} is the input itself: choose another name for the result")
    # A file inside a store would be taken for a chunk or a node of it, and overwriting the store would delete the file.
    store = next((parent for parent in path.absolute().parents if is_zarr(parent)), None)
    if store is not None:
        raise OutputError(f"{path} lies inside the Zarr store {store}, which it would damage: choose another folder")
    # `lexists` also finds a link that leads nowhere, which a plain `exists` would not: the rename would replace it.
    if os.path.lexists(path) and not overwrite:
        raise ExistsError(f"{path} exists already and is not replaced: choose another name, or move it away first")
    if path.is_dir() and not folder:
        raise OutputError(f"{path} is a folder: give the name of a file")
    # A store is replaced by deleting a whole folder: never one that holds anything else.
    if folder and os.path.lexists(path) and not is_zarr(path):
        raise OutputError(f"{path} is not a Zarr store: choose another name")
    parent = path.absolute().parent
    if not parent.is_dir():
        raise OutputError(f"the folder {parent} does not exist: create it first")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(f"{path} cannot be written (no permission for {parent}): choose a folder you may write to")


def _is_same(path: Path, source: Path) -> bool:
    # `samefile` compares the files themselves: it sees hard links, and other spellings where case does not matter.
    if path.exists() and source.exists() and os.path.samefile(path, source):
        return True
    # A result above its source would delete it with the folder; one inside a store that is read would damage that.
    target, origin = path.resolve(), source.resolve()
    return target == origin or target in origin.parents or (origin.is_dir() and origin in target.parents)


@contextmanager
def publishing(
    path: Path, *, overwrite: bool = False, sources: Iterable[Path] = (), expected_bytes: int = 0
) -> Iterator[Path]:
    """Give a temporary path to write to; when the block ends without an error, it becomes the file.

    Parameters
    ----------
    path, overwrite, sources
        See `check_target`.
    expected_bytes : int
        Size of the content as far as it is known; refused if the disk has less room.

    Yields
    ------
    Path
        Path to write to. The file is removed if the block fails or is cancelled.

    Raises
    ------
    OutputError
        If the file cannot be written; what was there before is then still there. A file that is complete but may not
        take its name, as happens on Windows while the old one is open in another program, is kept; the message says
        where.
    """
    path = Path(path)
    check_target(path, overwrite=overwrite, sources=sources)
    part: Path | None = None
    try:
        require_space(path, expected_bytes)
        part = _temporary(path)
        yield part
        # Before the rename: after a power failure the name could otherwise stand for an empty file.
        _sync(part)
        try:
            _give_name(part, path, overwrite)
        except PermissionError as error:
            # Nothing is left to remove: hours of computing are not thrown away because a viewer holds the old file.
            kept, part = part, None
            raise OutputError(refused_sentence(kept, path, error)) from error
    except OSError as error:
        # OutputError is an OSError itself, and has its sentence already.
        if isinstance(error, OutputError):
            raise
        raise OutputError(sentence(path, error)) from error
    finally:
        if part is not None:
            with suppress(OSError):
                part.unlink(missing_ok=True)


def require_space(path: Path, expected: int) -> None:
    """Refuse to start writing what the disk has no room for."""
    free = shutil.disk_usage(path.absolute().parent).free
    if expected > free:
        raise OutputError(f"not enough space for {path}: it needs about {_size(expected)}, {_size(free)} are free")


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e8 else f"{count / 1e6:.2f} MB"


def _temporary(path: Path) -> Path:
    # In the folder of the target: a rename is one step only within a file system.
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=PART, dir=path.absolute().parent)
    os.close(handle)
    # mkstemp makes the file private; the result should be as readable as any file the user makes.
    # The mask can only be read by setting it.
    umask = os.umask(0)
    os.umask(umask)
    os.chmod(name, 0o666 & ~umask)
    return Path(name)


def _sync(part: Path) -> None:
    # Open for writing, as Windows refuses to sync a file that is open for reading.
    with part.open("rb+") as stream:
        os.fsync(stream.fileno())


def _give_name(part: Path, path: Path, overwrite: bool) -> None:
    if overwrite:
        replace(part, path)
    else:
        _link_or_fail(part, path)
    sync_folder(path.absolute().parent)


def replace(source: Path, target: Path) -> None:
    """Rename a file over another in one step.

    Windows refuses while another program reads the old file, mostly for milliseconds: try again for about a second.
    Fail at once for a folder that may not be written to.
    """
    _patiently(partial(os.replace, source, target), target.absolute().parent)


def rename(source: Path, target: Path) -> None:
    """Rename a folder, or a file to a name that is free; patiently, as `replace` does."""
    _patiently(partial(os.rename, source, target), target.absolute().parent)


def remove(path: Path) -> None:
    """Remove a file, if it is there; patiently, as `replace` does."""
    _patiently(partial(path.unlink, missing_ok=True), path.absolute().parent)


def _patiently(act: Callable[[], None], folder: Path) -> None:
    for pause in _PAUSES:
        try:
            return act()
        except PermissionError:
            if not os.access(folder, os.W_OK):
                raise
            time.sleep(pause)
    # The last attempt lets the error through.
    return act()


def write_file(path: Path, content: bytes, *, sync: bool = True) -> None:
    """Write a small file of the program itself so that a reader sees all of it or none of it.

    Parameters
    ----------
    path : Path
        Replaced if it exists.
    content : bytes
        Content of the file.
    sync : bool
        Whether the file must survive a power failure; costs some milliseconds.
    """
    # The process in the name, so that two processes that write the same file do not write into one temporary file.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        replace(temporary, path)
    except BaseException:
        with suppress(OSError):  # make room for the next attempt if the disk is full
            temporary.unlink(missing_ok=True)
        raise


def _link_or_fail(part: Path, path: Path) -> None:
    """Give the file its name unless the name was taken meanwhile: a rename would silently replace it."""
    try:
        # A hard link fails if the name is taken, in one step; the temporary name is removed at the end of `publishing`.
        os.link(part, path)
    except FileExistsError:
        raise OutputError(f"{path} was created by something else meanwhile: choose another name") from None
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _rename_or_fail(part, path)


def _rename_or_fail(part: Path, path: Path) -> None:
    """Give the file its name on a file system without hard links (exFAT, FAT, many network drives).

    On Windows a rename refuses an existing target by itself. Elsewhere the name is claimed with an empty file first.
    """
    try:
        if os.name == "nt":
            return rename(part, path)
        # O_EXCL: the file system creates the name or says that it exists, with no moment in between.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        raise OutputError(f"{path} was created by something else meanwhile: choose another name") from None
    try:
        replace(part, path)
    except BaseException:
        with suppress(OSError):
            path.unlink()  # the empty file that held the name
        raise


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to disk where the system can; a network drive that refuses is no failure."""
    if os.name != "posix":  # Windows cannot open a folder for this, and does not need it
        return
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def refused_sentence(kept: Path, path: Path, error: OSError) -> str:
    """Say what to do with a result that is complete but was not allowed to take its name."""
    return (
        f"the result is complete but could not be named {path} ({error.strerror}): it may be open in another program. "
        f"It is kept as {kept}: close that program and rename it"
    )


def sentence(path: Path, error: OSError) -> str:
    """Return what an error of the operating system means for the file that was being written."""
    if error.errno in DISK_FULL:
        return f"the disk is full: {path} was not written and nothing was changed; free some space and try again"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{path} cannot be written ({error.strerror}): choose a folder you may write to"
    return f"{path} could not be written ({error.strerror or error}); nothing was changed"
