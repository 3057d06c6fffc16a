"""A lock for one process at a time; the operating system releases it when the process ends, however it ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from napari_genrecon.errors import GenReconError

__all__ = ["exclusive"]


@contextmanager
def exclusive(path: Path, refusal: GenReconError) -> Iterator[None]:
    """Hold a lock file, which is removed at the end; one that a killed process left holds nobody up.

    Parameters
    ----------
    path : Path
        The lock file. It lies beside a folder that is renamed while it is held: Windows renames no folder with an
        open file in it.
    refusal : GenReconError
        The error to raise if another process holds the lock.

    Raises
    ------
    GenReconError
        `refusal`, if another process holds the lock.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path, timeout=0, thread_local=False)  # a run may be closed by another thread than started it
    try:
        lock.acquire()
    except Timeout:
        raise refusal from None
    try:
        yield
    finally:
        if os.name == "posix":  # while this process holds it: later it could be the lock of another one
            path.unlink(missing_ok=True)
        lock.release()
        if os.name == "nt":  # an open file, or one that another process holds by now, cannot be removed there
            with suppress(OSError):
                path.unlink(missing_ok=True)
