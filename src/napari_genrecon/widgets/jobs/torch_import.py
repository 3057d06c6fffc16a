"""Turn any error of loading PyTorch into one sentence."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from napari_genrecon.errors import MissingPackageError
from napari_genrecon.models import torch_missing

__all__ = ["as_sentence"]


def as_sentence(error: Any) -> Any:
    """Return the error of a job, or a `MissingPackageError` in its place if it was raised while torch was imported.

    On Windows, the libraries of torch cannot be loaded after those of Qt (WinError 1114 or 126): an OSError that says
    neither which package it is about nor what to do.
    """
    if not isinstance(error, ImportError | OSError) or isinstance(error, MissingPackageError):
        return error
    # A torch that is not installed never runs code of its own; Python's error names it then.
    if not _within_torch(error.__traceback__) and getattr(error, "name", None) != "torch":
        return error
    found = torch_missing(error)
    # So that the log shows what went wrong, too.
    found.__cause__ = error
    return found


def _within_torch(traceback: TracebackType | None) -> bool:
    """Return whether the error came from the import of torch's own package."""
    while traceback is not None:
        frame = traceback.tb_frame
        # `torch/__init__.py` loads the libraries, and all further modules of torch.
        if frame.f_code.co_name == "<module>" and frame.f_globals.get("__name__") == "torch":
            return True
        traceback = traceback.tb_next
    return False
