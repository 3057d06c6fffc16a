"""Read JSON that somebody else may have written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from napari_genrecon.errors import ImageError

__all__ = ["read_json"]

_MAX_JSON = 16 << 20


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file of a sensible size that is not a link.

    Raises
    ------
    ImageError
        If it is anything else.
    """
    if path.is_symlink():
        raise ImageError(f"{path} is a link: what leads elsewhere is not read; put the file itself there")
    if path.stat().st_size > _MAX_JSON:
        raise ImageError(f"{path} has {path.stat().st_size} bytes of metadata; at most {_MAX_JSON} are read")
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ImageError(f"{path} is not readable JSON, it may be damaged: {error}") from error
    if not isinstance(found, dict):
        raise ImageError(f"{path} is not a JSON object, it may be damaged")
    return found
