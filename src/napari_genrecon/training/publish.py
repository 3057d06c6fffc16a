"""Files of a training run appear whole or not at all. Importing this loads no torch."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

__all__ = ["FULL", "publish"]

FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
"""Error numbers that mean that the disk, or what the user may use of it, is full."""


def publish(path: Path, data: bytes, *, sync: bool = True) -> None:
    """Write a file so that a reader, or a run after a crash, sees all of it or none of it.

    Parameters
    ----------
    path : Path
        Replaced if it exists.
    data : bytes
        The content.
    sync : bool
        Whether it must also survive a power failure; costs some milliseconds.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):  # on a full disk, room for the next attempt
            temporary.unlink(missing_ok=True)
        raise
