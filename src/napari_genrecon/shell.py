"""Names in commands that a message prints, ready to be copied into a shell."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

__all__ = ["quoted"]


def quoted(name: str | Path) -> str:
    """Return a name as the shell of this system takes it for one word.

    >>> quoted("cells.tif")
    'cells.tif'
    """
    return subprocess.list2cmdline([str(name)]) if os.name == "nt" else shlex.quote(str(name))
