"""The record: how a result was made, as JSON, kept with the layer and with the file."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

__all__ = ["RECORD_NAMESPACE", "SCHEMA", "make_record"]

SCHEMA = "genrecon-record/1"
RECORD_NAMESPACE = "napari-genrecon/record"
"""Namespace of the OME annotation that holds the record in a file."""


def make_record(task: str, nature: str, **facts: Any) -> dict[str, Any]:
    """A record of one run.

    Parameters
    ----------
    task : str
        The task's name, such as ``"denoise"``.
    nature : str
        What kind of data the result is: ``restored``, ``upscaled``, ``deblurred``, ``inpainted`` or ``synthetic``.
    **facts
        What the task has to say, JSON values only: options, model, noise, axes, input, output, warnings.

    Returns
    -------
    dict
        Ready for `json.dumps`.
    """
    return {
        "schema": SCHEMA,
        "task": task,
        "nature": nature,
        "utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        **facts,
    }


def versions() -> Mapping[str, str]:
    """Versions of what computed the result; torch only if it was loaded."""
    names = ["napari-genrecon", "numpy", "scipy", *(["torch"] if "torch" in sys.modules else [])]
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in names}}
