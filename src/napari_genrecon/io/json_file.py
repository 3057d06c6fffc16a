"""Read JSON that somebody else may have written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from napari_genrecon.errors import ImageError

__all__ = ["read_json", "read_json_value"]

_MAX_JSON = 16 << 20


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file of a sensible size that is not a link.

    Raises
    ------
    ImageError
        If it is anything else.
    """
    if path.is_symlink():
        raise ImageError(f"{path} is a link: what leads elsewhere is not read; put the file itself there")
    found = read_json_value(path)
    if not isinstance(found, dict):
        raise ImageError(f"{path} is not a JSON object, it may be damaged")
    return found


def read_json_value(path: Path) -> Any:
    """Return whatever JSON a file of a sensible size holds, in UTF-8 or, as PowerShell redirects it, in UTF-16.

    Raises
    ------
    ImageError
        If it holds none.
    """
    try:
        if path.stat().st_size > _MAX_JSON:
            raise ImageError(f"{path} has {path.stat().st_size} bytes of metadata; at most {_MAX_JSON} are read")
        return json.loads(path.read_bytes())  # bytes: the encoding is told from the first ones
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(f"{path} is not readable JSON, it may be damaged: {error}") from error
