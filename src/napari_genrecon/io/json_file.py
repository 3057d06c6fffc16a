"""Read JSON from files that another program may have written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from napari_genrecon.errors import ImageError

__all__ = ["MAX_JSON", "parsed_json", "read_json"]

MAX_JSON = 16 << 20
"""Most bytes that are read: 16 MB; larger metadata are refused, as a damaged or hostile file could fill the memory."""


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file of a sensible size that is not a link.

    Raises
    ------
    ImageError
        If it is anything else.
    """
    # A store from somebody else could otherwise make the program read files outside it.
    if path.is_symlink():
        raise ImageError(f"{path} is a link, and links are not followed: put the file itself there")
    try:
        # Asked before reading: `read_bytes` would take the memory first.
        if path.stat().st_size > MAX_JSON:
            raise ImageError(f"{path} has {path.stat().st_size} bytes of metadata; at most {MAX_JSON} are read")
        content = path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path} cannot be read ({error.strerror or error})") from error
    return parsed_json(str(path), content)


def parsed_json(name: str, content: bytes) -> dict[str, Any]:
    """Return the JSON object in the content of a file of this name, in UTF-8 or, as PowerShell writes it, in UTF-16.

    Raises
    ------
    ImageError
        If it is none.
    """
    try:
        found = json.loads(content)  # bytes: json finds the encoding itself
    # RecursionError: a small file of nothing but opening brackets is enough for it.
    except (ValueError, RecursionError) as error:
        raise ImageError(f"{name} is not readable JSON, it may be damaged: {error}") from error
    if not isinstance(found, dict):
        raise ImageError(f"{name} is not a JSON object, it may be damaged")
    return found
