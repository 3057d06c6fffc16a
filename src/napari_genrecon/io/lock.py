"""A lock for one process at a time; the operating system releases it when the process ends, however it ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from napari_genrecon.errors import OutputError

__all__ = ["exclusive"]


@contextmanager
def exclusive(path: Path, refusal: str) -> Iterator[None]:
    """Hold a lock file and remove it at the end; one that a killed process left does not block anybody.

    Parameters
    ----------
    path : Path
        Path of the lock file, beside the folder that it protects: Windows renames no folder with an open file in it.
    refusal : str
        Message of the error if another process holds the lock.

    Raises
    ------
    OutputError
        If another process holds the lock.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path, timeout=0, thread_local=False)  # a run may be closed by another thread than started it
    try:
        lock.acquire()
    except Timeout:
        raise OutputError(refusal) from None
    try:
        yield
    finally:
        if os.name == "posix":  # while this process holds it: later it could be the lock of another one
            path.unlink(missing_ok=True)
        lock.release()
        if os.name == "nt":  # an open file, or one that another process holds by now, cannot be removed there
            with suppress(OSError):
                path.unlink(missing_ok=True)
