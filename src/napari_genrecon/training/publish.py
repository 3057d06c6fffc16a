"""Files of a training run appear whole or not at all. Importing this loads no torch."""

from __future__ import annotations

import errno

from napari_genrecon.io.publish import write_file as publish

__all__ = ["FULL", "publish"]

FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
"""Error numbers that mean that the disk, or what the user may use of it, is full."""
