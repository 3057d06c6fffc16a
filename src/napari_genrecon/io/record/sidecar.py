"""The record beside a result, as a file that can be read without opening the image."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from napari_genrecon.io.json_file import read_json
from napari_genrecon.io.publish import publishing
from napari_genrecon.io.reader import open_image

__all__ = ["is_sidecar", "read_sidecar", "sidecar_of", "write_sidecar"]

_ENDING = ".genrecon.json"


def sidecar_of(path: Path) -> Path:
    """Return the path of a result's sidecar: the whole name of the result with ``.genrecon.json`` behind it."""
    return path.with_name(path.name + _ENDING)


def is_sidecar(path: Path) -> bool:
    """Return whether a file has the name of a sidecar."""
    return path.name.endswith(_ENDING)


def write_sidecar(path: Path, *, overwrite: bool) -> Path | None:
    """Write the record of a finished result beside it, whole or not at all.

    Parameters
    ----------
    path : Path
        Path of the result.
    overwrite : bool
        Whether an older sidecar may be replaced.

    Returns
    -------
    Path or None
        Path of the sidecar; None for an image without a record, which napari-genrecon did not make.

    Raises
    ------
    OutputError
        If it cannot be written; the result is complete without it.
    """
    # Read back from the finished file: the record has its seal only there.
    record = open_image(path).record
    if record is None:
        return None
    with publishing(sidecar_of(path), overwrite=overwrite) as part:
        # Indented and with letters of all scripts as they are: people read this file.
        part.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return sidecar_of(path)


def read_sidecar(path: Path) -> dict[str, Any] | None:
    """Return the record beside a result, if there is one.

    Raises
    ------
    ImageError
        If it cannot be read.
    """
    found = sidecar_of(path)
    # `lexists`, so that a link that leads nowhere is refused in a sentence, and does not pass for "no sidecar".
    return read_json(found) if os.path.lexists(found) else None
